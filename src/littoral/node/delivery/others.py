"""The other PoPs that deliver, as the mover was told of them, and how they are reached."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from littoral.adapters.addresses import host_and_port
from littoral.adapters.moving.words import Peer
from littoral.node.delivery.words import Dealing, FleetTold, PeerTold
from littoral.routing.fleet import Delivery
from littoral.terms.errors import ConfigError
from littoral.terms.ids import PopId, SiteName
from littoral.trust.members import Member

__all__ = ["Mate", "Other", "Others", "group_of"]


@dataclass(frozen=True, slots=True)
class Other:
    """One of them."""

    member: Member
    own: bool
    """It is of this PoP's owner."""
    peer: Peer | None
    """How it is dialled; None where it can't be, or may not."""
    deliveries: tuple[Delivery, ...]
    """What may be had from it."""
    dealing: Dealing


@dataclass(frozen=True, slots=True)
class Mate:
    """One that has an artifact or draft, or is pulling it."""

    site: SiteName
    peer: Peer | None
    """How it is dialled; None where it can't be."""
    whole: bool = False
    """It says that it has all of it."""
    gets: bool = True
    """It may fetch from here; else it has no reason to dial."""


class Others:
    """All of them. A value: what is told makes the next one."""

    def __init__(self, told: FleetTold) -> None:
        self.site: SiteName = told.site
        held = told.listen is not None
        self.by_name: Mapping[PopId, Other] = {each.pop: _other(each, held) for each in told.peers}
        self._readers: Mapping[str, frozenset[PopId]] = {
            each.artifact: frozenset(each.pops) for each in told.readers
        }

    @property
    def names(self) -> frozenset[str]:
        """SPIFFE names of all."""
        return frozenset(each.member.name for each in self.by_name.values())

    def with_group(self, name: str) -> dict[PopId, Mate]:
        """Who has this artifact or draft, or is pulling it; or wishes what this names."""
        group = group_of(name)
        return {
            pop: Mate(each.member.site, each.peer, delivery.whole, each.dealing.gets)
            for pop, each in self.by_name.items()
            for delivery in each.deliveries
            if delivery.group == group
        }

    def wishing(self, wish: str) -> frozenset[PopId]:
        """Who wants what this names, and has not found yet what that is."""
        return frozenset(self.with_group(wish))

    def with_reference(self, mark: bytes) -> Iterator[tuple[Other, Delivery]]:
        """Who has or wants what a pinned reference means; PoPs in the order of their names."""
        for _, each in sorted(self.by_name.items()):
            for delivery in each.deliveries:
                if delivery.reference == mark:
                    yield each, delivery

    def is_own(self, member: Member) -> bool:
        """Whether it is of this PoP's owner, and known to be there."""
        other = self.by_name.get(member.pop)
        return other is not None and other.own and other.member == member

    def may_get(self, member: Member) -> bool:
        """Whether it may fetch from here, and is known to be there."""
        other = self.by_name.get(member.pop)
        return other is not None and other.dealing.gets and other.member == member

    def may_give(self, member: Member) -> bool:
        """Whether this PoP may fetch from it."""
        other = self.by_name.get(member.pop)
        return other is not None and other.dealing.gives and other.member == member

    def reads(self, member: Member, name: str) -> bool:
        """Whether these segments of a collection may go to it."""
        return member.pop in self._readers.get(name, ()) and self.is_own(member)


def group_of(name: str) -> bytes:
    """What PoPs say in the place of this name of an artifact, draft or wish: its digest."""
    return bytes.fromhex(name.rpartition(":")[2])


def _other(told: PeerTold, held: bool) -> Other:
    member = Member(owner=told.owner, zone=told.zone, site=told.site, pop=told.pop)
    peer, deliveries = _peer(member, told.address), told.deliveries
    if not told.address and told.own and held:
        peer = Peer(member, "", 0)  # where this PoP is reached, it holds connections
    if not told.dealing.gives:
        peer, deliveries = None, ()
    return Other(member, told.own, peer, deliveries, told.dealing)


def _peer(member: Member, address: str) -> Peer | None:
    """Only addresses are dialled: no name is looked up because another PoP says so."""
    if not address:
        return None
    try:
        host, port = host_and_port(address, "mover")
        return Peer(member, str(ip_address(host.strip("[]"))), port)
    except (ConfigError, ValueError):
        return None
