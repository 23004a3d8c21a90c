"""Holds connections to PoPs that can be dialled, for a PoP that can't be: it is asked over them.

Rules
- Connections go to HOLD_RELAYS PoPs of the same owner, the nearest that take them. Which they are
  changes only when one goes, drains, or refuses.
- A few wait for requests at each of them; when none does, their number is doubled, within HELD_MAX.
- One that refuses is asked again with growing pauses, and another one meanwhile.
- A connection is replaced before either certificate on it runs out.
- Which PoPs hold one is said to all (`PopState.relays`), nearest first.

What comes over them is answered as at the fabric listener (neighbours.py). The other end is
relaying.py.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from littoral.adapters.http.held import turned
from littoral.adapters.http.line import Dialler
from littoral.adapters.http.watch import Watch
from littoral.adapters.http.words import HttpError, Origin, Peering
from littoral.node.fabric.relaying import HOLD, HOLDING
from littoral.routing.fleet import Fleet, Known
from littoral.terms.errors import LittoralError
from littoral.terms.ids import OwnerId, PopId
from littoral.terms.limits import (
    CALL_WAIT_S,
    HELD_MAX,
    HOLD_AGE_S,
    HOLD_IDLE,
    HOLD_LOOK_S,
    HOLD_PAUSE_S,
    HOLD_PAUSE_S_MAX,
    HOLD_RELAYS,
    HOLD_SETTLE_S,
)
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Instant
from littoral.trust.members import Member
from littoral.web.adopted import Adopted

__all__ = ["Adopt", "Holding"]

log = logging.getLogger("littoral")

Adopt = Callable[[asyncio.Transport, bytes, Callable[[], None]], Adopted]
"""Answers on a connection: see web.listener.Server.adopt."""

_NEVER: Final = Instant(0)


@dataclass(slots=True)
class _Relay:
    """A PoP that holds connections of this one, or is to."""

    known: Known
    connections: list[tuple[Adopted, Instant]] = field(default_factory=list)
    """Each with when it was opened."""
    leaving: bool = False
    """It is gone, or drains: what is under way may end, and nothing is opened."""
    opening: bool = False
    failures: int = 0
    """In a row."""
    again_at: Instant = _NEVER

    @property
    def holds(self) -> bool:
        """Whether it has one now."""
        return any(each.open for each, _ in self.connections)

    def wanted(self, now: Instant) -> int:
        """How many connections are to be opened."""
        if self.leaving:
            return 0
        fresh = [each for each, opened in self.connections if each.open and not _old(opened, now)]
        if len(fresh) < HOLD_IDLE:
            return HOLD_IDLE - len(fresh)
        if any(each.idle for each in fresh):
            return 0
        return max(0, min(len(fresh), HELD_MAX - len(self.connections)))


class Holding:
    """Of one PoP."""

    def __init__(
        self,
        here: Member,
        fleet: Callable[[], Fleet],
        links: Mapping[PopId, float],
        adopt: Adopt,
        tls: Callable[[OwnerId], ssl.SSLContext],
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        """Hold nothing yet.

        Args:
            here: this PoP.
            fleet: all, as now.
            links: seconds of a round trip to each, as measured.
            adopt: answers on a connection.
            tls: how PoPs of an owner are dialled.
            clock: for pauses and ages.
            changed: hears that other PoPs hold connections than before.
        """
        self._here = here
        self._fleet = fleet
        self._links = links
        self._adopt = adopt
        self._tls = tls
        self._clock = clock
        self._changed = changed
        self._watch = Watch(asyncio.get_running_loop())
        self._relays: dict[PopId, _Relay] = {}
        self._said: tuple[PopId, ...] = ()
        self.moved = asyncio.Event()
        """Set it when there may be something to do."""

    @property
    def relays(self) -> tuple[PopId, ...]:
        """The PoPs that hold connections of this one, nearest first."""
        return tuple(
            sorted((pop for pop, each in self._relays.items() if each.holds), key=self._far)
        )

    async def go_on(self) -> None:
        """Hold them until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self.moved.clear()
                    self._look(tasks)
                    try:
                        async with asyncio.timeout(HOLD_LOOK_S):
                            await self.moved.wait()
                        await asyncio.sleep(HOLD_SETTLE_S)
                    except TimeoutError:
                        continue
        finally:
            self._watch.close()

    # --- parts ----------------------------------------------------------------------------------

    def _look(self, tasks: asyncio.TaskGroup) -> None:
        now = self._clock.now()
        self._choose(now)
        for relay in self._relays.values():
            relay.connections = [each for each in relay.connections if each[0].open]
            if relay.wanted(now) and not relay.opening and now >= relay.again_at:
                relay.opening = True
                tasks.create_task(self._open(relay, relay.wanted(now)))
            elif not relay.opening:
                for each, opened in relay.connections:
                    if each.idle and _old(opened, now):
                        each.drain()
        if self.relays != self._said:
            self._said = self.relays
            self._changed()

    def _choose(self, now: Instant) -> None:
        """Keep to those that are well, and take the nearest others for the rest."""
        there = {pop: known for pop, known in self._fleet().pops.items() if self._may(known)}
        enough = sum(each.holds for each in self._relays.values()) >= HOLD_RELAYS
        for pop, relay in list(self._relays.items()):
            relay.known, relay.leaving = there.get(pop, relay.known), pop not in there
            if enough and not relay.holds and not relay.opening:
                del self._relays[pop]
            elif relay.leaving and not relay.opening:
                for each, _ in relay.connections:
                    if each.idle:
                        each.drain()
                if not relay.holds:
                    del self._relays[pop]
        serving = [
            each
            for each in self._relays.values()
            if not each.leaving and (each.holds or now >= each.again_at)
        ]
        for pop in sorted(there.keys() - self._relays.keys(), key=self._far):
            if len(serving) >= HOLD_RELAYS:
                return
            self._relays[pop] = _Relay(there[pop])
            serving.append(self._relays[pop])

    def _may(self, known: Known) -> bool:
        state, member = known.state, known.member
        own = member.owner == self._here.owner and member.pop != self._here.pop
        return own and known.alive and bool(state.url) and not state.draining

    def _far(self, pop: PopId) -> tuple[float, PopId]:
        return self._links.get(pop, float("inf")), pop

    async def _open(self, relay: _Relay, connections: int) -> None:
        member, url = relay.known.member, relay.known.state.url
        try:
            for _ in range(connections):
                await self._hold(relay, member, url)
            relay.failures = 0
        except (HttpError, LittoralError) as error:
            pause_s = min(HOLD_PAUSE_S * 2 ** min(relay.failures, 16), HOLD_PAUSE_S_MAX)
            relay.failures += 1
            relay.again_at = Instant(self._clock.now() + int(pause_s * SECOND))
            log.warning("%s holds no connection of this PoP: %s", member.pop, error)
        finally:
            relay.opening = False
            self.moved.set()

    async def _hold(self, relay: _Relay, member: Member, url: str) -> None:
        origin, _ = Origin.of_url(url)
        peering = Peering(member.name, partial(self._tls, member.owner))
        hop = await Dialler(origin, self._watch, None, peering=peering).dial(CALL_WAIT_S)
        head = (
            f"POST {HOLD} HTTP/1.1\r\nhost: {origin.authority}\r\ncontent-length: 0\r\n"
            f"connection: upgrade\r\nupgrade: {HOLDING}\r\n\r\n"
        )
        transport, asked = await turned(hop, head.encode("latin-1"), CALL_WAIT_S)
        adopted = self._adopt(transport, asked, self.moved.set)
        relay.connections.append((adopted, self._clock.now()))


def _old(opened: Instant, now: Instant) -> bool:
    return now - opened >= HOLD_AGE_S * SECOND
