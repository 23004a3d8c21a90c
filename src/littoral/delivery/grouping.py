"""Groups: whom a PoP pulls together with, out of all that want the same artifact.

Within a group everybody passes on to everybody, so it must stay small, and links within a site are
quick while those between sites are not. So all PoPs that want an artifact make a tree of two
levels: the PoPs of a site are a group, the first of each site is its head, and the heads are a
group. Between sites each chunk goes to each head once, and the origin is read by heads only.

Rules
- Who knows of the same PoPs sees the same groups; whoever knows of others sees nearly the same.
- A site with more PoPs than a group may have is cut into several, which count as sites.
- Where nobody is far and they are few, all are one group without a head.

It opens no links; whoever does says the roles to the pull (`words.Met`).
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from littoral.delivery.words import Role
from littoral.terms.ids import PopId, SiteName

__all__ = ["company"]

_GROUP_MAX: Final = 50
"""PoPs of one site in one group."""


def company(me: PopId, sites: Mapping[PopId, SiteName]) -> dict[PopId, Role]:
    """Whom a PoP is to be linked with, and what they are to it.

    Args:
        me: the PoP.
        sites: of all PoPs that want the artifact, this one among them, where they are.
    """
    members: dict[SiteName, list[PopId]] = {}
    for pop, site in sites.items():
        members.setdefault(site, []).append(pop)
    cells: dict[tuple[SiteName, int], list[PopId]] = {}
    for site, pops in members.items():
        parts = -(-len(pops) // _GROUP_MAX)
        for pop in pops:
            cells.setdefault((site, _part(pop, parts)), []).append(pop)
    if len(cells) == 1:
        return {pop: Role.EQUAL for pop in sites if pop != me}
    heads = {cell: min(pops) for cell, pops in cells.items()}
    mine = (sites[me], _part(me, -(-len(members[sites[me]]) // _GROUP_MAX)))
    if heads[mine] == me:
        roles = {head: Role.EQUAL for head in heads.values() if head != me}
        return roles | {pop: Role.BELOW for pop in cells[mine] if pop != me}
    roles = {pop: Role.EQUAL for pop in cells[mine] if pop != me}
    return roles | {heads[mine]: Role.SPRING}


def _part(pop: PopId, parts: int) -> int:
    """Which part of a large site a PoP belongs to."""
    return int.from_bytes(blake2b(pop.encode(), digest_size=8).digest()) % parts
