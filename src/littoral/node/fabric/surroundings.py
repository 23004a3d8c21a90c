"""The rest of a PoP, as its membership in the fabric needs it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from littoral.adapters.upstreams.upstreams import Upstreams
from littoral.node.delivery.office import Office
from littoral.node.delivery.wishing import Wishing
from littoral.node.delivery.words import ListenTold
from littoral.node.fabric.ahead import Ahead
from littoral.node.fabric.saying import Place
from littoral.node.host import ModelHost
from littoral.node.neighbours import Fabric
from littoral.routing.fleet import Fleet
from littoral.trust.members import Member
from littoral.web.listener import Server

__all__ = ["Serve", "Surroundings"]

Serve = Callable[[Fabric], AbstractAsyncContextManager[Server]]
"""Answers other PoPs while its context is open."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The rest of a PoP that may be a member."""

    host: ModelHost
    """Its models."""
    upstreams: Upstreams
    """How others are asked."""
    ahead: Ahead
    office: Office
    """Delivers."""
    wishing: Wishing
    """What is to be delivered, and where."""
    serve: Serve
    """How others are answered."""

    def follower(
        self, member: Member, may_deal: Callable[[Member], bool], listen: ListenTold | None
    ) -> Callable[[Fleet], None]:
        """What has the office follow the fleet that this PoP is a member of."""
        return self.office.follower(member, may_deal, listen, self.wishing.wished)

    def delivers(self, place: Place) -> Place:
        """What the PoP says of where it is, with what it delivers, wants, and has room for."""
        said = self.office.said
        return replace(
            place,
            disk_free=self.office.room_bytes(),
            demand=self.wishing.demand(),
            mover="" if said is None else said.address,
            deliveries=() if said is None else said.deliveries,
        )
