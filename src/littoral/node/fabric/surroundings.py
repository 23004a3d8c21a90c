"""The rest of a PoP, as its membership in the fabric needs it."""

import ssl
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

from littoral.adapters.upstreams.upstreams import Upstreams
from littoral.node.delivery.office import Office
from littoral.node.delivery.wishing import Wishing
from littoral.node.delivery.words import Dealing, ListenTold
from littoral.node.fabric.ahead import Ahead
from littoral.node.fabric.calls import Calls
from littoral.node.fabric.saying import Place
from littoral.node.host import ModelHost
from littoral.node.memory.replication import Replication
from littoral.node.neighbours import Fabric
from littoral.routing.fleet import Fleet
from littoral.terms.ids import OwnerId, PopId
from littoral.terms.limits import CHANGES_ASK_S, CHANGES_ASKED_MAX, CHANGES_BYTES_MAX
from littoral.trust.members import Member
from littoral.trust.records import Record, RecordKind
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
    replication: Replication
    """Copies of collections."""
    serve: Serve
    """How others are answered."""

    def join(
        self,
        member: Member,
        dealing: Callable[[Member], Dealing],
        listen: ListenTold | None,
        say: Callable[[str, bytes], None],
        tls: Callable[[OwnerId], ssl.SSLContext],
    ) -> Sequence[Callable[[Fleet], None]]:
        """This PoP is a member from now on; the answers take every change of the fleet.

        Args:
            member: which.
            dealing: whom it delivers to, and who to it.
            listen: where its mover does.
            say: says a record to all.
            tls: whom of an owner to believe, and what to show.
        """
        calls = Calls(
            tls,
            wait_s=CHANGES_ASK_S,
            bytes_max=CHANGES_BYTES_MAX,
            connections_max=CHANGES_ASKED_MAX,
        )
        return (
            self.office.follower(member, dealing, listen, self.wishing.wished),
            self.wishing.join(member, say),
            self.replication.join(member, say, calls),
        )

    def part(self) -> None:
        """It is a member no longer."""
        self.replication.part()

    def hear(self, record: Record) -> bool:
        """Take what another PoP says of where something is to be; False where it says no such."""
        match record.kind:
            case RecordKind.WISH:
                self.wishing.hear(record)
            case RecordKind.OFFER:
                self.replication.hear(record)
            case _:
                return False
        return True

    def works(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What goes on as long as it is a member."""
        return self.wishing.go_on(), *self.replication.works()

    @property
    def rates(self) -> tuple[tuple[PopId, int], ...]:
        """Bytes in a second that other PoPs have given."""
        return () if self.office.said is None else self.office.said.rates

    def delivers(self, place: Place) -> Place:
        """What the PoP says of where it is, with what it delivers, wants, and has room for."""
        said = self.office.said
        return replace(
            place,
            disk_free=self.office.room_bytes(),
            demand=self.wishing.demand(),
            mover="" if said is None else said.address,
            deliveries=() if said is None else said.deliveries,
            rates=self.rates,
        )
