"""Runs machines: the only code that takes their effects to the world.

Two shapes, one rule (an effect is performed in order; what it yields is the next event):

- `Driver` for a machine that lives as long as the PoP and hears from many sides. Effects are
  performed synchronously; timers follow `deadline()`. Stepping is re-entrant: an event posted while
  effects are performed is taken right after them.
- `pump` for a machine that lives as long as one request, whose effects await.

`owned_tasks` is the scope that tasks live in.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from littoral.terms.ports import Clock, Machine
from littoral.terms.values import SECOND, Instant

__all__ = ["Driver", "owned_tasks", "pump"]

E = TypeVar("E")
F = TypeVar("F")


class Driver(Generic[E, F]):
    """Feeds one long-lived machine and performs its effects at once."""

    def __init__(
        self,
        machine: Machine[E, F],
        perform: Callable[[F], None],
        *,
        tick: E,
        clock: Clock,
    ) -> None:
        self._machine = machine
        self._perform = perform
        self._tick = tick
        self._clock = clock
        self._inbox: deque[E] = deque()
        self._stepping = False
        self._timer: asyncio.TimerHandle | None = None
        self._due: Instant | None = None
        """When the timer goes off."""

    def post(self, event: E) -> None:
        """Take the event now, or right after those before it."""
        self._inbox.append(event)
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._inbox:
                for effect in self._machine.step(self._inbox.popleft(), self._clock.now()):
                    self._perform(effect)
        finally:
            self._stepping = False
        self._set_timer()

    def close(self) -> None:
        """Hear of the time no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._due = None

    def _set_timer(self) -> None:
        moment = self._machine.deadline()
        if moment == self._due:
            return
        self.close()
        if moment is not None:
            delay_s = max(0, moment - self._clock.now()) / SECOND
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay_s, self._wake)
            self._due = moment

    def _wake(self) -> None:
        self._timer = self._due = None
        self.post(self._tick)


async def pump(
    machine: Machine[E, F], first: E, perform: Callable[[F], Awaitable[E | None]], clock: Clock
) -> None:
    """Step the machine with an event, then with what its effects yield, until nothing is left."""
    inbox = deque([first])
    while inbox:
        for effect in machine.step(inbox.popleft(), clock.now()):
            outcome = await perform(effect)
            if outcome is not None:
                inbox.append(outcome)


@asynccontextmanager
async def owned_tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that passes on a lone exception as it is, not wrapped into a group of one."""
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        failure = group
        while isinstance(failure, BaseExceptionGroup) and len(failure.exceptions) == 1:
            failure = failure.exceptions[0]
    if failure is not None:
        raise failure
