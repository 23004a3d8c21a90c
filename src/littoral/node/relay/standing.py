"""Answers whose way is not settled yet: a client is served by one thing now, by another later."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from littoral.terms.errors import (
    BudgetExhaustedError,
    LittoralError,
    PeerError,
    QueueFullError,
    RateLimitedError,
)
from littoral.web.errors import defect, draining
from littoral.web.hot import OVER, Reply, Underway

__all__ = ["NO_ANSWER", "OVER_LIMITS", "Again", "Renewable", "Sought", "Work"]


@dataclass(frozen=True, slots=True)
class Work:
    """Who owns what the hot path has to do in tasks, and hears of its defects."""

    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    on_defect: Callable[[BaseException], None]


class _Standing:
    """Tells whatever serves the client now what the client does."""

    __slots__ = ("_live", "_paused", "left")

    def __init__(self, live: Underway) -> None:
        self._live = live
        self._paused = False
        self.left = False

    def served_by(self, live: Underway) -> None:
        """From now on by this."""
        self._live = live
        if self._paused:
            live.pause()

    def pause(self) -> None:
        """The client is slow."""
        self._paused = True
        self._live.pause()

    def resume(self) -> None:
        """The client has caught up."""
        self._paused = False
        self._live.resume()

    def gone(self) -> None:
        """The client has left."""
        self.left = True
        self._live.gone()


OVER_LIMITS: Final = (RateLimitedError, BudgetExhaustedError)
"""What one key may be told, and another not."""

NO_ANSWER: Final = (PeerError, QueueFullError)
"""What is told when no upstream could answer."""


class Renewable(Underway, Protocol):
    """What serves a client, and can be begun anew."""

    anew: Callable[[LittoralError], bool] | None
    """May see to the request in another way, where there was no answer: says whether."""


class Again(_Standing):
    """One whose answer may have to be begun anew, before a byte of it was sent.

    So it is with who joined a handler's answer: a handler counts the prompt before it knows whether
    its key's budget has room, and others may have joined meanwhile, whom their own limits let in.
    And with who asks for a model that a model of this machine stands in for, once no upstream can
    answer. A request that is begun anew counts once more towards the requests of its key.
    """

    __slots__ = ("_begin", "_errors")

    def __init__(
        self, leg: Renewable, errors: tuple[type[LittoralError], ...], begin: Callable[[], Underway]
    ) -> None:
        """Be served by a leg.

        Args:
            leg: what serves the client first.
            errors: what it is begun anew for.
            begin: begins it anew.
        """
        super().__init__(leg)
        self._errors = errors
        self._begin = begin
        leg.anew = self._anew

    def _anew(self, error: LittoralError) -> bool:
        if self.left or not isinstance(error, self._errors):
            return False
        self.served_by(self._begin())
        return True


class Sought(_Standing):
    """One for whom something is looked for, while others run, before its answer is begun."""

    __slots__ = ("_reply", "_task", "_then", "_work")

    def __init__(
        self,
        work: Work,
        reply: Reply,
        look: Coroutine[Any, Any, None],
        then: Callable[[], Underway],
    ) -> None:
        """Look, and then answer.

        Args:
            work: owns the task.
            reply: the way to the client.
            look: finds what is there.
            then: begins the answer.
        """
        super().__init__(OVER)
        self._work = work
        self._reply = reply
        self._then = then
        self._task = work.spawn(self._run(look))

    def gone(self) -> None:
        """The client has left."""
        super().gone()
        self._task.cancel()

    async def _run(self, look: Coroutine[Any, Any, None]) -> None:
        try:
            await look
        except asyncio.CancelledError:
            if not self.left:
                self._reply.fail(draining())
            raise
        except Exception as error:
            self._work.on_defect(error)
            self._reply.fail(defect())
        else:
            self.served_by(self._then())
