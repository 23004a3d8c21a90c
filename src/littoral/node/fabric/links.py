"""Round trips to the other PoPs, measured on warm connections.

Rules
- Each PoP is asked every LINK_S, those first that were asked longest ago; a fleet of
  more than LINKS_EACH is measured in turns.
- A time is smoothed towards the lower ones: a busy loop delays an answer and is no longer link.
- Who does not answer has no time any more.
- One that can't be dialled is asked as requests are: over what it holds here, or another PoP.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from littoral.node.fabric.calls import Calls
from littoral.node.fabric.relaying import PING, Relaying
from littoral.routing.fleet import Fleet, Known
from littoral.terms.errors import UpstreamFailedError
from littoral.terms.ids import PopId
from littoral.terms.limits import LINK_S, LINKS_AT_ONCE, LINKS_EACH
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Instant

__all__ = ["Links"]

_UP: Final = 0.1
_DOWN: Final = 0.5
"""How far one sample moves a smoothed time that is less, or more, than it."""


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
        self._asked: dict[PopId, Instant] = {}
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
        now = self._clock.now()
        due = [each for each in self._others() if now >= self._due(each)]
        due.sort(key=self._due)
        places = asyncio.Semaphore(LINKS_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for known in due[:LINKS_EACH]:
                tasks.create_task(self._ask(known, places))

    def _others(self) -> list[Known]:
        fleet = self._fleet().pops
        gone = self._asked.keys() - fleet.keys()
        for pop in gone:
            del self._asked[pop]
            self._seconds.pop(pop, None)
        return [
            known
            for pop, known in fleet.items()
            if pop != self._here and known.alive and (known.state.url or known.state.relays)
        ]

    def _due(self, known: Known) -> int:
        asked = self._asked.get(known.state.pop)
        return 0 if asked is None else asked + int(LINK_S * SECOND)

    async def _ask(self, known: Known, places: asyncio.Semaphore) -> None:
        pop = known.state.pop
        async with places:
            first = pop not in self._asked
            self._asked[pop] = self._clock.now()
            try:
                if first:  # opens the connection
                    await self.ping(known)
                began = self._clock.now()
                await self.ping(known)
            except UpstreamFailedError:
                self._seconds.pop(pop, None)
                return
            self._learn(pop, (self._clock.now() - began) / SECOND)

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

    def _learn(self, pop: PopId, seconds: float) -> None:
        known = self._seconds.get(pop)
        if known is None:
            self._seconds[pop] = seconds
        else:
            self._seconds[pop] = known + (seconds - known) * (_DOWN if seconds < known else _UP)
