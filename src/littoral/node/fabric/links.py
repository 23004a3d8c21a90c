"""Round trips to the other PoPs, measured on warm connections.

Rules
- Each PoP is asked every LINK_S, those first that are due longest; a fleet of more than LINKS_EACH
  is measured in turns. While a link stays as it is the pause doubles, up to LINK_STEADY_S:
  measuring all of them was most of what a PoP at rest did.
- Who comes is first asked within SPREAD_S for each PoP there is, at a moment by chance: all
  see it at once, and would all shake hands with it at once.
- A time is smoothed towards the lower ones: a busy loop delays an answer and is no longer link.
- Who does not answer has no time any more.
- One that can't be dialled is asked as requests are: over what it holds here, or another PoP.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from littoral.node.fabric.calls import Calls
from littoral.node.fabric.relaying import PING, Relaying
from littoral.node.fabric.saying import link_moved
from littoral.routing.fleet import Fleet, Known
from littoral.terms.errors import UpstreamFailedError
from littoral.terms.ids import PopId
from littoral.terms.limits import (
    LINK_S,
    LINK_STEADY_S,
    LINKS_AT_ONCE,
    LINKS_EACH,
)
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Instant

__all__ = ["SPREAD_S", "Links"]

SPREAD_S: Final = 0.1
"""For each PoP there is, within which a newcomer is measured first; LINK_S in all at most."""
_UP: Final = 0.1
_DOWN: Final = 0.5
"""How far one sample moves a smoothed time that is less, or more, than it."""


@dataclass(slots=True)
class _Turn:
    """When a PoP is asked next, and how long after that again."""

    due_at: Instant
    pause_s: float = LINK_S


class Links:
    """Of one PoP."""

    def __init__(
        self,
        here: PopId,
        fleet: Callable[[], Fleet],
        calls: Calls,
        relaying: Relaying,
        clock: Clock,
    ) -> None:
        """Nothing is measured yet."""
        self._here = here
        self._fleet = fleet
        self._calls = calls
        self._relaying = relaying
        self._clock = clock
        self._turns: dict[PopId, _Turn] = {}
        self._seconds: dict[PopId, float] = {}

    @property
    def seconds(self) -> Mapping[PopId, float]:
        """Of a round trip to each PoP that has answered; the same object all along."""
        return self._seconds

    async def measure(self) -> None:
        """Measure until cancelled."""
        while True:
            await self.measure_once()
            await asyncio.sleep(LINK_S / 10)

    async def measure_once(self) -> None:
        """Ask those whose turn it is."""
        now, others = self._clock.now(), self._others()
        for known in others:
            if known.state.pop not in self._turns:
                self._turns[known.state.pop] = _Turn(self._first(now, len(others)))
        due = [each for each in others if now >= self._due(each)]
        due.sort(key=self._due)
        places = asyncio.Semaphore(LINKS_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for known in due[:LINKS_EACH]:
                tasks.create_task(self._ask(known, places))

    def _others(self) -> list[Known]:
        fleet = self._fleet().pops
        gone = self._turns.keys() - fleet.keys()
        for pop in gone:
            del self._turns[pop]
            self._seconds.pop(pop, None)
        return [
            known
            for pop, known in fleet.items()
            if pop != self._here and known.alive and (known.state.url or known.state.relays)
        ]

    def _first(self, now: Instant, others: int) -> Instant:
        """When somebody new is asked."""
        by_chance = int.from_bytes(self._clock.random_bytes(2)) / 0x10000
        return Instant(now + int(min(SPREAD_S * others, LINK_S) * by_chance * SECOND))

    def _due(self, known: Known) -> Instant:
        return self._turns[known.state.pop].due_at

    async def _ask(self, known: Known, places: asyncio.Semaphore) -> None:
        pop = known.state.pop
        turn = self._turns[pop]
        async with places:
            try:
                if pop not in self._seconds:  # opens the connection
                    await self.ping(known)
                began = self._clock.now()
                await self.ping(known)
            except UpstreamFailedError:
                self._seconds.pop(pop, None)
                turn.pause_s = LINK_S
            else:
                steady = self._learn(pop, (self._clock.now() - began) / SECOND)
                turn.pause_s = min(2 * turn.pause_s, LINK_STEADY_S) if steady else LINK_S
            turn.due_at = Instant(self._clock.now() + int(turn.pause_s * SECOND))

    async def ping(self, known: Known) -> None:
        """Ask a PoP for a sign of life, by the way that requests take.

        Raises:
            UpstreamFailedError: it gives none.
        """
        name, state = known.member.name, known.state
        if state.url:
            await self._calls.ask(name, state.url, "GET", PING)
            return
        relay = self._fleet().relay_of(known, self._here)
        if relay is None:
            raise UpstreamFailedError(f"no PoP passes anything on to {state.pop}")
        if relay.state.pop == self._here:
            await self._relaying.ping(state.pop)
        else:
            through = relay.member.name, relay.state.url
            await self._calls.ask(*through, "POST", PING, to=state.pop)

    def _learn(self, pop: PopId, seconds: float) -> bool:
        """Take one sample; whether it is about what was known."""
        known = self._seconds.get(pop)
        if known is None:
            self._seconds[pop] = seconds
            return False
        self._seconds[pop] = known + (seconds - known) * (_DOWN if seconds < known else _UP)
        return not link_moved(known, seconds)
