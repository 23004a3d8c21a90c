"""PoPs of which nothing is heard, and that answer all the same: the fabric is opened anew for them.

Zenoh links two PoPs when a third one tells of them, and tries that once. Where it fails, as it may
in the moment in which a link that was cut comes back, the two never hear of each other again.

Rules
- Who is gone is asked by the way that requests take: soon, and less and less often.
- Where it answers and is gone still, the fabric is opened anew, with its address among those that
  are dialled until they answer. Requests under way see nothing of that.
- Of two that miss each other the one with the lower name does so first.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from littoral.routing.fleet import Fleet, Known
from littoral.terms.errors import LittoralError
from littoral.terms.ids import PopId
from littoral.terms.limits import LINKS_AT_ONCE, MISSING_ASK_S, MISSING_PAUSE_S_MAX, STILL_S
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Instant

__all__ = ["Missing"]

log = logging.getLogger("littoral")


@dataclass(slots=True)
class _Turn:
    """When one is asked next, and how long after that again."""

    due_at: Instant
    pause_s: float = MISSING_ASK_S


class Missing:
    """Of one PoP."""

    def __init__(
        self,
        here: PopId,
        fleet: Callable[[], Fleet],
        ping: Callable[[Known], Awaitable[None]],
        reopen: Callable[[Sequence[str]], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """Nobody is missed yet.

        Args:
            here: this PoP.
            fleet: all that are known.
            ping: asks one for a sign of life.
            reopen: opens the fabric anew, dialling these as well.
            clock: for when.
        """
        self._here = here
        self._fleet = fleet
        self._ping = ping
        self._reopen = reopen
        self._clock = clock
        self._turns: dict[PopId, _Turn] = {}

    async def look(self) -> None:
        """Look for them until cancelled."""
        while True:
            await self.look_once()
            await asyncio.sleep(MISSING_ASK_S / 4)

    async def look_once(self) -> None:
        """Ask those whose turn it is, and dial those that answer."""
        gone = {
            pop: known
            for pop, known in self._fleet().pops.items()
            if pop != self._here
            and not known.alive
            and known.state.url
            and known.state.state_address
        }
        for pop in self._turns.keys() - gone.keys():
            del self._turns[pop]
        now = self._clock.now()
        for pop in gone.keys() - self._turns.keys():
            first_s = MISSING_ASK_S * (1 if self._here < pop else 2)
            self._turns[pop] = _Turn(Instant(now + int(first_s * SECOND)))
        due = [known for pop, known in gone.items() if now >= self._turns[pop].due_at]
        answer = await self._answering(due)
        fleet = self._fleet().pops
        still = [each for each in answer if not fleet.get(each.state.pop, each).alive]
        if not still:
            return
        for each in still:
            log.info("%s answers, and nothing is heard of it: it is dialled", each.state.pop)
        try:
            await self._reopen([each.state.state_address for each in still])
        except LittoralError as error:
            log.warning("the fabric can't be opened anew: %s", error)

    async def _answering(self, due: Sequence[Known]) -> Sequence[Known]:
        """Those that answer; several are asked at once, so that a whole site may be silent."""
        places = asyncio.Semaphore(LINKS_AT_ONCE)

        async def asked(known: Known) -> bool:
            async with places:
                return await self._answers(known)

        answers = await asyncio.gather(*map(asked, due))
        return [known for known, answered in zip(due, answers, strict=True) if answered]

    async def _answers(self, known: Known) -> bool:
        turn = self._turns[known.state.pop]
        try:
            async with asyncio.timeout(STILL_S):
                await self._ping(known)
        except (TimeoutError, LittoralError):
            answers = False
        else:
            answers = True
        turn.due_at = Instant(self._clock.now() + int(turn.pause_s * SECOND))
        turn.pause_s = min(2 * turn.pause_s, MISSING_PAUSE_S_MAX)
        return answers
