"""Copies of collections between the PoPs of an owner: both sides of it, as the fabric needs them.

    POST /fabric/memory/changes   ChangesWanted -> signed changes    who follows, by its certificate
    POST /fabric/memory/segments  SegmentsWanted -> SegmentsShown    the same
    POST /fabric/memory/write     WritesWanted -> Applied            the same

Not here: what is sent (`offering.py`), and what becomes of it (`following.py`).
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from littoral.adapters.memory.embedded import open_replicas
from littoral.node.fabric.calls import Calls
from littoral.node.memory.following import CHANGES_PATH, SEGMENTS_PATH, WRITE_PATH, Following
from littoral.node.memory.house import House
from littoral.node.memory.offering import Offering
from littoral.node.memory.segmenting import Segmenting
from littoral.node.memory.segments import Mover, Segments
from littoral.routing.fleet import Fleet
from littoral.terms.errors import NotFoundError
from littoral.terms.ids import PopId
from littoral.terms.ports import Clock, Signer
from littoral.terms.replicas import ChangesWanted, Offer, SegmentsWanted, WritesWanted
from littoral.trust.members import Member
from littoral.trust.names import pop_id
from littoral.trust.records import Record
from littoral.web.dialects.reading import read_body
from littoral.web.health import send_json
from littoral.web.http import Request, Responder

__all__ = ["Replication"]

_SIGNED: Final = {"content-type": "application/octet-stream"}


class Replication:
    """Of one PoP."""

    def __init__(
        self,
        home: Path,
        house: House,
        mover: Mover,
        signer: Signer,
        clock: Clock,
        spawn: Callable[..., "asyncio.Task[None]"],
    ) -> None:
        """Have the house answer with the copies that there are.

        Raises:
            HomeUnwritableError, StoreError: what is kept of it can't be used.
        """
        threads, me = house.threads, pop_id(signer.public_key)
        self._segments = segments = Segments(home, mover, clock)
        self._segmenting = Segmenting(home, segments, threads, signer, clock, spawn)
        self.offering = Offering(home, house, self._segmenting, segments, signer, clock)
        self.following = Following(open_replicas(home), segments, threads, clock, spawn)
        house.following = self.following

        def offered(key: tuple[str, PopId]) -> Offer | None:
            name, its_home = key
            own = its_home == me
            return self.offering.standing(name) if own else self.following.heard(name, its_home)

        segments.offered = offered

    def join(
        self, member: Member, say: Callable[[str, bytes], None], calls: Calls
    ) -> Callable[[Fleet], None]:
        """This PoP is a member from now on; the answer takes every change of the fleet."""
        self._segments.join(member)
        self.offering.join(member, say)
        seen = self.following.join(member, calls)

        def follow(fleet: Fleet) -> None:
            self._segments.meet(fleet)
            seen(fleet)

        return follow

    def works(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What goes on as long as it is a member."""
        return (self.following.go_on(),)

    async def sweep(self) -> None:
        """Drop segments that are of no more use, member or not, until cancelled."""
        await self._segments.go_on()

    def part(self) -> None:
        """It is a member no longer."""
        self.following.part()
        self._segments.part()

    def close(self) -> None:
        """Write nothing more for others."""
        self._segmenting.close()

    def hear(self, record: Record) -> None:
        """An offer was said by another PoP."""
        self.following.hear(record)

    async def answer(self, asker: Member, request: Request, responder: Responder) -> None:
        """Answer another PoP."""
        match request.method, request.path:
            case "POST", path if path == CHANGES_PATH:
                changes = await self.offering.changes(asker, read_body(request, ChangesWanted))
                await responder.send(200, _SIGNED, changes)
            case "POST", path if path == SEGMENTS_PATH:
                shown = await self.offering.segments(asker, read_body(request, SegmentsWanted))
                await send_json(responder, 200, shown)
            case "POST", path if path == WRITE_PATH:
                applied = await self.offering.write(asker, read_body(request, WritesWanted))
                await send_json(responder, 200, applied)
            case _:
                raise NotFoundError(f"there is nothing at {request.path[:200]}")
