"""The workers of a PoP, as the process that started them sees them.

The conductor is the process of `littoral up`. It holds the home, runs the models, and answers its
workers on a socket file; the workers (worker.py) answer clients at the PoP's address.

Rules
- A worker is in a session of its own, so that the terminal's Ctrl-C reaches only the conductor, and
  can't outlive it (lifeline.py).
- What a worker is told goes over its standard input: keys are among it.
- A worker that dies is started again, at once at first, then with growing pauses. Before that, what
  it held of budgets and targets is free again.
- At the first start all are waited for; one that can't start is the PoP's failure to start.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from littoral.node.home import Home
from littoral.node.worker import Charge, worker_socket
from littoral.terms.errors import EngineStartError
from littoral.terms.limits import WORKER_READY_S
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND

__all__ = ["Workers", "conducted"]

log = logging.getLogger("littoral")

_QUICK: Final = 10 * SECOND
"""A worker that dies sooner than this after its start died quickly."""
_PAUSES_S: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Before the start after the first, second, … quick death in a row, and the later ones."""
_END_S: Final = 2.0
"""Beyond its drain, for a worker to end by itself."""


class _Said(msgspec.Struct, frozen=True):
    """The line that a worker says once: that it is ready, or why it can't be."""

    ready: dict[str, object] | None = None
    error: str | None = None


class Workers:
    """All workers. Made by `conducted` alone."""

    def __init__(
        self,
        home: Home,
        charge: Callable[[int], Charge],
        forget: Callable[[int], None],
        clock: Clock,
    ) -> None:
        self._home = home
        self._charge = charge
        self._forget = forget
        self._clock = clock
        self._processes: dict[int, Process] = {}
        self._ending = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.deaths = 0
        """How many have died by themselves."""

    @property
    def pids(self) -> tuple[int, ...]:
        """Of those that run now."""
        return tuple(process.pid for _, process in sorted(self._processes.items()))

    async def start(self, numbers: range, tasks: asyncio.TaskGroup) -> None:
        """Start them, and return once all take requests.

        Raises:
            EngineStartError: one can't; the message has its reason.
        """
        loop = asyncio.get_running_loop()
        firsts: list[asyncio.Future[None]] = []
        for number in numbers:
            first = loop.create_future()
            firsts.append(first)
            self._tasks.append(tasks.create_task(self._keep(number, first)))
        await asyncio.gather(*firsts)

    async def drain(self, wait_s: float) -> None:
        """Have all end: answers under way may go on for so long. Nothing of them remains."""
        self._ending.set()
        for process in self._processes.values():
            _signal(process, signal.SIGTERM)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=wait_s)
        for process in self._processes.values():
            _signal(process, signal.SIGKILL)
        if self._tasks:
            await asyncio.wait(self._tasks)

    # --- one worker ---

    async def _keep(self, number: int, first: "asyncio.Future[None]") -> None:
        """Keep one running until all are to end."""
        quick = 0
        while not self._ending.is_set():
            began = self._clock.now()
            how = await self._live(number, first)
            self._forget(number)
            if self._ending.is_set():
                break
            if not first.done():
                first.set_exception(EngineStartError(f"worker {number} did not start: {how}"))
                return
            self.deaths += 1
            quick = quick + 1 if self._clock.now() - began < _QUICK else 0
            log.error("worker %d has died (%s); it is started again", number, how)
            pause_s = _PAUSES_S[min(quick, len(_PAUSES_S)) - 1] if quick else 0.0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._ending.wait()
        if not first.done():
            first.cancel()

    async def _live(self, number: int, first: "asyncio.Future[None]") -> str:
        """Run one process from start to end; says how it ended."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "littoral.node.worker"),
                stdin=PIPE,
                stdout=PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return f"no process could be made: {error.strerror}"
        self._processes[number] = process
        try:
            reason = await self._begin(process, number)
            if reason is None:
                if not first.done():
                    first.set_result(None)
                if self._ending.is_set():
                    _signal(process, signal.SIGTERM)
            else:
                _signal(process, signal.SIGKILL)
            status = await process.wait()
        finally:
            if process.returncode is None:
                _signal(process, signal.SIGKILL)
                await process.wait()
            del self._processes[number]
            worker_socket(self._home, number).unlink(missing_ok=True)
        return reason or (f"ended by signal {-status}" if status < 0 else f"ended with {status}")

    async def _begin(self, process: Process, number: int) -> str | None:
        """Tell a process what it is and wait until it takes requests; else why it does not."""
        assert process.stdin is not None
        assert process.stdout is not None
        told = {**msgspec.to_builtins(self._charge(number)), "parent": os.getpid()}
        try:
            process.stdin.write(msgspec.json.encode(told) + b"\n")  # it stays open: the lifeline
            async with asyncio.timeout(WORKER_READY_S):
                line = await process.stdout.readline()
            said = msgspec.json.decode(line, type=_Said) if line else _Said(error="it ended")
        except TimeoutError:
            return f"not ready after {WORKER_READY_S:g} s"
        except (ValueError, OSError):
            return "it said something that is not understood"
        return said.error


@asynccontextmanager
async def conducted(
    home: Home,
    numbers: range,
    charge: Callable[[int], Charge],
    *,
    forget: Callable[[int], None],
    clock: Clock,
    tasks: asyncio.TaskGroup,
) -> AsyncIterator[Workers]:
    """Workers that answer while the context is open; none is left when it closes.

    Args:
        home: of the PoP.
        numbers: of the workers.
        charge: what each is told.
        forget: one has died: what it held is free again.
        clock: for how long each has lived.
        tasks: owns the watching of them.

    Raises:
        EngineStartError: one can't start.
    """
    workers = Workers(home, charge, forget, clock)
    try:
        await workers.start(numbers, tasks)
        yield workers
    finally:
        await workers.drain(_END_S)


def _signal(process: Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
