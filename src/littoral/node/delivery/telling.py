"""What a mover is told of the fleet: who may fetch from it, and from whom it may fetch.

Rules
- PoPs of this owner are told with all that they have. Another owner's PoP is told only where that
  owner may ask here, and so fetch from here, or may serve, and so be fetched from; which of the two
  is told with it. What is private is neither given to it nor told of.
- Who is removed or revoked is not told, and so gets nothing from then on.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from littoral.node.config import Config
from littoral.node.delivery.words import Dealing, FleetTold, ListenTold, PeerTold
from littoral.routing.fleet import Fleet, Known
from littoral.trust.members import Member

__all__ = ["listen_of", "told_of"]


def told_of(
    fleet: Fleet,
    member: Member,
    dealing: Callable[[Member], Dealing],
    listen: ListenTold | None,
    wished: tuple[bytes, ...],
) -> FleetTold:
    """What the mover of this member is to know.

    Args:
        fleet: all PoPs.
        member: this one.
        dealing: whether artifacts may go to a member, and come from it.
        listen: where others reach the mover.
        wished: what copies are wished of.
    """
    peers = [
        _peer(known, member, ways)
        for pop, known in sorted(fleet.pops.items())
        if pop != member.pop and known.alive and (ways := dealing(known.member))
    ]
    return FleetTold(member.site, tuple(peers), listen, wished)


def listen_of(config: Config, host: str, url: str) -> ListenTold | None:
    """Where the mover listens; None where this PoP can't be dialled.

    Args:
        config: of the PoP.
        host: that its fabric listener is at.
        url: by which others reach that; empty where they can't.
    """
    reached = urlsplit(url).hostname if url else None
    if reached is None:
        return None
    return ListenTold(host, config.mover_port, reached, config.mover_address)


def _peer(known: Known, member: Member, dealing: Dealing) -> PeerTold:
    state, other = known.state, known.member
    own = other.owner == member.owner
    return PeerTold.of(other, state.mover, state.deliveries, own=own, dealing=dealing)
