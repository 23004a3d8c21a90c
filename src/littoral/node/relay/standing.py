"""Answers whose way is not settled yet: a client is served by one thing now, by another later."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from littoral.node.relay.flight import Flight
from littoral.node.relay.leg import Leg
from littoral.web.errors import defect, draining
from littoral.web.hot import OVER, Reply, Underway

__all__ = ["Joined", "Sought", "Work"]


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


class Joined(_Standing):
    """One who joined a handler's answer; asks by itself if whoever asked first is over limits.

    A handler counts the prompt before it knows whether the key's budget has room, and others may
    have joined meanwhile: their own limits have let them in. The request that asks anew counts once
    more towards the requests of its key.
    """

    __slots__ = ("_anew",)

    def __init__(self, leg: Leg, flight: Flight, anew: Callable[[], Underway]) -> None:
        """Join.

        Args:
            leg: the client's.
            flight: what the handler works on.
            anew: takes the request once more.
        """
        super().__init__(leg)
        self._anew = anew
        leg.anew = self._again
        leg.feed = flight.join(leg)

    def _again(self) -> None:
        self.served_by(self._anew())


class Sought(_Standing):
    """One whose long batch is looked up, while others run, before its answer is begun."""

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
