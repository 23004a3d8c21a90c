"""What becomes of requests under way at a PoP that is gone: they end, and go elsewhere if they may.

A PoP that is frozen, or whose link was cut, closes no connection: whoever waits for its answer
would wait for minutes. The fabric sees within its lease that it is gone.

Rules
- It is asked once more, by the way that requests take: where it answers within STILL_S, it is the
  fabric that is disturbed, and what is under way goes on, as long as it answers each second.
- Else what it was asked ends: before the first byte another PoP is asked; after it the client hears
  that the answer is lost, unless something of it came within STILL_S.
- Of one that is no member any more it ends without that question; of one that is shut out,
  everything does.
- While it is gone nothing is sent to it; once it is back all is as before.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from littoral.adapters.upstreams.upstreams import Upstreams
from littoral.node.fabric.relaying import Relaying
from littoral.routing.fleet import Fleet, Known
from littoral.terms.errors import LittoralError
from littoral.terms.ids import PopId
from littoral.terms.limits import STILL_S

__all__ = ["Parting"]


class Parting:
    """Of one PoP: watches its view of the fleet."""

    def __init__(
        self,
        upstreams: Upstreams,
        relaying: Relaying,
        ping: Callable[[Known], Awaitable[None]],
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Nobody is there yet.

        Args:
            upstreams: where requests are under way.
            relaying: where those of other PoPs are.
            ping: asks whoever seems gone, by the way that requests take.
            tasks: own these questions.
        """
        self._upstreams: Final = upstreams
        self._relaying = relaying
        self._ping = ping
        self._tasks = tasks
        self._asking: dict[PopId, asyncio.Task[None]] = {}
        self._there: frozenset[PopId] = frozenset()

    def look(self, fleet: Fleet) -> None:
        """The fleet is this from now on."""
        there = frozenset(pop for pop, known in fleet.pops.items() if known.alive)
        for pop in self._there - there:
            known = fleet.pops.get(pop)
            if known is None:
                self._end(pop)
            elif pop not in self._asking:
                self._asking[pop] = self._tasks.create_task(self._ask(known))
        for pop in there - self._there:
            self._upstreams.regain(pop)
            self._relaying.regain(pop)
        self._there = there

    def close(self) -> None:
        """Ask nobody any more."""
        for task in list(self._asking.values()):
            task.cancel()

    def shut_out(self, pops: Iterable[PopId]) -> None:
        """Nothing is wanted of these any more."""
        for pop in pops:
            self._upstreams.lose(pop, f"{pop} was shut out")
            self._relaying.cut(pop)

    def _end(self, pop: PopId) -> None:
        self._upstreams.lose(pop, f"{pop} is gone", STILL_S)
        self._relaying.lose(pop, f"{pop} is gone", STILL_S)

    async def _ask(self, known: Known) -> None:
        """See whether it answers, until it is back or does not."""
        pop = known.state.pop
        try:
            while pop not in self._there:
                async with asyncio.timeout(STILL_S):
                    await self._ping(known)
                await asyncio.sleep(STILL_S)
        except (TimeoutError, LittoralError):
            if pop not in self._there:
                self._end(pop)
        finally:
            del self._asking[pop]
