"""A worker process, a model's or another: started, watched, restarted, and ended with all it had.

Rules
- The worker is in a process group of its own, so that the terminal's Ctrl-C reaches only the PoP.
- It can't outlive the PoP (see lifeline.py), and it is gone within 2 s when `serve` is cancelled.
- A worker that dies by itself fails the calls it worked on with EngineLostError and is started
  again, at once at first, then with growing pauses; after several quick deaths in a row, or when
  it says itself that it can't start, this gives up and says why, with the last lines of its log.
- Every life has a fresh socket and a fresh random key, which goes over standard input.

Not here: what is asked of the worker (llama.py, onnx.py).
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from littoral.adapters.engines.worker_log import WorkerLog
from littoral.adapters.http.client import HttpClient, Response
from littoral.adapters.http.words import (
    Deadlines,
    HttpError,
    NoConnectionFreeError,
    Origin,
    WaitedTooLongError,
)
from littoral.terms import limits
from littoral.terms.errors import EngineLostError, EngineStartError, QueueFullError
from littoral.terms.facts import WorkerDied
from littoral.terms.ids import ModelName
from littoral.terms.ports import Clock, Observe
from littoral.terms.values import SECOND, Down, Starting

__all__ = ["Worker", "WorkerPlan"]

_SOCKET_PATH_BYTES_MAX: Final = 100
"""The kernel takes 107; macOS 103."""

_QUICK_NS: Final = 10 * SECOND
"""A worker that dies sooner than this after its start died quickly."""

_QUICK_DEATHS_MAX: Final = 5
_PAUSES_S: Final = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Before the restart after the first, second, … death in a row."""

_TERMINATE_S: Final = 1.0
"""Between the polite signal and the other one."""

_READY_WAIT_S: Final = 10.0
"""A call that meets a restart waits this long for the new worker."""

_DOUBT_S: Final = 0.5
"""A worker whose connection is lost is dead within this, or lives."""

_MESSAGE_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What to run, for what, and where its socket and log go."""

    name: str
    """In facts and file names: of an engine, its model's."""
    what: str
    """In errors: `the engine of NAME`."""
    module: str
    run_dir: Path
    log_dir: Path
    deadlines: Deadlines = field(default_factory=Deadlines)
    may_wait: Callable[[], bool] = lambda: False
    """Whether it waits for something else now, and so may take longer to be ready."""


class _Message(msgspec.Struct, frozen=True):
    """One line that a worker says."""

    stage: str | None = None
    ready: dict[str, object] | None = None
    error: str | None = None


def _ready_by() -> float:
    """When a worker that begins to load now has to be ready, on the loop's clock."""
    return asyncio.get_running_loop().time() + limits.WORKER_READY_S


@dataclass(slots=True)
class _Life:
    """One process, from its start to its end."""

    process: Process
    client: HttpClient
    started_at: int
    ready_by: float = field(default_factory=_ready_by)
    """On the loop's clock."""
    ready: bool = False
    replaced: bool = False
    """Ended by us to start another; no death."""
    under_way: int = 0
    lost: int = 0
    """Requests that ended with an error because of this life's end."""
    error: str | None = None
    """What the worker itself said was wrong."""


_R = TypeVar("_R")
"""What a worker that is ready is, as whoever keeps it says it."""


class Worker(Generic[_R]):
    """Keeps one worker process running and takes requests to it."""

    def __init__(
        self,
        plan: WorkerPlan,
        *,
        arguments: Callable[[], Mapping[str, object]],
        describe: Callable[[Mapping[str, object], int], _R],
        clock: Clock,
        observe: Observe,
    ) -> None:
        """Start nothing yet.

        Args:
            plan: what to run.
            arguments: asked for at every start; `socket_path` and `key` are added here.
            describe: what a ready worker is, by its message and its process id.
            clock: time, and randomness for keys.
            observe: hears of deaths.
        """
        self._plan = plan
        self._arguments = arguments
        self._describe = describe
        self._clock = clock
        self._observe = observe
        file_name = plan.name.replace("/", "_").replace(":", "_")
        self._log = WorkerLog(plan.log_dir / f"{file_name}.log")
        self._life: _Life | None = None
        self._ready = asyncio.Event()

    # --- requests ------------------------------------------------------------------------------

    @property
    def under_way(self) -> int:
        """Requests that the worker is answering."""
        return self._life.under_way if self._life is not None else 0

    @asynccontextmanager
    async def request(self, method: str, path: str, body: bytes = b"") -> AsyncIterator[Response]:
        """Ask the worker; leaving early cancels its work.

        Raises:
            EngineLostError: it is not there, died, or has been silent for too long.
            QueueFullError: too many are asking it.
        """
        life = await self._ready_life()
        life.under_way += 1
        try:
            async with life.client.request(method, path, body) as response:
                yield response
        except NoConnectionFreeError as error:
            raise QueueFullError(
                f"{self._plan.what} is asked too much at once",
                advice="it is the machine's limit, not your key's; try again later",
                retry_after_s=2.0,
            ) from error
        except WaitedTooLongError as error:
            life.lost += 1
            self._kill(life)
            raise EngineLostError(f"{self._plan.what} was ended after {error}") from error
        except HttpError as error:
            await self._doubt(life)
            life.lost += 1  # until now it was under way
            raise EngineLostError(
                f"the worker of {self._plan.what} died during this request"
            ) from error
        finally:
            life.under_way -= 1

    async def _doubt(self, life: _Life) -> None:
        """A connection was lost: whoever comes next waits until it is known whether the worker was.

        The end of a connection is seen a moment before the end of its process.
        """
        if self._life is not life:
            return
        self._ready.clear()
        try:
            async with asyncio.timeout(_DOUBT_S):
                await life.process.wait()
        except TimeoutError:
            pass  # it lives, and has let one connection go
        finally:
            if self._life is life and life.ready and life.process.returncode is None:
                self._ready.set()

    async def _ready_life(self) -> _Life:
        try:
            async with asyncio.timeout(_READY_WAIT_S):
                await self._ready.wait()
        except TimeoutError:
            raise EngineLostError(f"{self._plan.what} has no running worker") from None
        assert self._life is not None
        return self._life

    def restart(self) -> None:
        """End the worker and start another, with the arguments as they are then."""
        if self._life is not None:
            self._life.replaced = True
            self._kill(self._life)

    # --- lives ---------------------------------------------------------------------------------

    async def serve(self, report: Callable[[Starting | Down | _R], None]) -> None:
        """Keep a worker running until cancelled; returns only when it gives up."""
        with self._socket_dir() as socket_dir:
            deaths_in_a_row = 0
            while True:
                try:
                    life = await self._live(socket_dir, report)
                except OSError as error:
                    report(Down(self._not_started(error), retrying=False))
                    return
                if life.replaced:
                    report(Starting("restarting"))
                    continue
                status, lost = life.process.returncode or 0, life.lost + life.under_way
                self._observe(WorkerDied(ModelName(self._plan.name), status, lost))
                quick = self._clock.now() - life.started_at < _QUICK_NS
                deaths_in_a_row = deaths_in_a_row + 1 if quick else 1
                if life.error is not None or deaths_in_a_row >= _QUICK_DEATHS_MAX:
                    report(Down(self._explain(life), retrying=False))
                    return
                report(Down(self._explain(life), retrying=True))
                await asyncio.sleep(_PAUSES_S[deaths_in_a_row - 1])

    async def _live(
        self, socket_dir: Path, report: Callable[[Starting | Down | _R], None]
    ) -> _Life:
        """Run one worker process from start to end."""
        report(Starting("starting the worker"))
        self._log.begin()
        socket = socket_dir / f"{self._clock.random_bytes(4).hex()}.sock"
        key = self._clock.random_bytes(32).hex()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", self._plan.module),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=_MESSAGE_BYTES_MAX,
            start_new_session=True,
        )
        client = HttpClient(
            Origin(socket_path=str(socket)),
            headers={"authorization": f"Bearer {key}"},
            deadlines=self._plan.deadlines,
        )
        life = self._life = _Life(process, client, self._clock.now())
        arguments = {**self._arguments(), "socket_path": str(socket), "key": key}
        try:
            self._tell(process, {**arguments, "parent": os.getpid()})
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_log(process))
                tasks.create_task(self._listen(life, report))
                await process.wait()
                self._ready.clear()
        finally:
            self._ready.clear()
            self._life = None
            await self._end(life, socket)
        return life

    @staticmethod
    def _tell(process: Process, arguments: Mapping[str, object]) -> None:
        """Write the one line; the pipe stays open, as the worker's lifeline."""
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(arguments) + b"\n")

    async def _keep_log(self, process: Process) -> None:
        assert process.stderr is not None
        while data := await process.stderr.read(64 * 1024):
            self._log.write(data)

    async def _listen(self, life: _Life, report: Callable[[Starting | Down | _R], None]) -> None:
        """Follow what the worker says, up to its end."""
        try:
            while (message := await self._hear(life)) is not None:
                if message.ready is not None:
                    life.ready = True
                    report(self._describe(message.ready, life.process.pid))
                    self._ready.set()
                elif message.stage is not None:
                    report(Starting(message.stage))
                else:
                    life.error = message.error
        except TimeoutError:
            life.error = f"not ready after {limits.WORKER_READY_S:g} s"
            self._kill(life)
        except ValueError:  # no JSON, or a line over the limit
            life.error = "it said something that is not understood"
            self._kill(life)

    async def _hear(self, life: _Life) -> _Message | None:
        """The next that it says; raises TimeoutError where it should be ready by now."""
        assert life.process.stdout is not None
        while True:
            try:
                async with asyncio.timeout_at(None if life.ready else life.ready_by):
                    line = await life.process.stdout.readline()
            except TimeoutError:
                if not self._plan.may_wait():
                    raise
                life.ready_by = _ready_by()
            else:
                return msgspec.json.decode(line, type=_Message) if line else None

    async def _end(self, life: _Life, socket: Path) -> None:
        """Leave nothing of this life: no process, connection or socket file."""
        life.client.close()
        try:
            if life.process.returncode is None:
                _signal_group(life.process, signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_TERMINATE_S):
                        await life.process.wait()
        finally:
            if life.process.returncode is None:
                _signal_group(life.process, signal.SIGKILL)
                await life.process.wait()
            _remove(socket)

    def _kill(self, life: _Life) -> None:
        """End the process at once; `serve` sees it and goes on from there."""
        self._ready.clear()
        if life.process.returncode is None:
            _signal_group(life.process, signal.SIGKILL)

    def _explain(self, life: _Life) -> EngineStartError:
        """Why the worker is gone, in a sentence, with where to read more."""
        status = life.process.returncode or 0
        how = f"was ended by {_signal_name(-status)}" if status < 0 else f"ended with {status}"
        when = "" if life.ready else " before it was ready"
        reason = life.error or f"its worker {how}{when}"
        lines = self._log.last(3)
        tail = f", which ends: {' | '.join(lines)}" if lines else ""
        return EngineStartError(
            f"{self._plan.what} is not running: {reason}",
            advice=f"read {self._log.path}{tail}",
            details={"log": self._log.last(limits.STDERR_LINES_MAX)},
        )

    def _not_started(self, error: OSError) -> EngineStartError:
        return EngineStartError(
            f"no process could be started for {self._plan.what}: {error.strerror}",
            advice="look at the machine's limits on processes, open files and memory",
        )

    @contextmanager
    def _socket_dir(self) -> Iterator[Path]:
        """The run directory, or a short private one when its path is too long for a socket."""
        name = self._plan.run_dir / "00000000.sock"
        if len(os.fsencode(name)) <= _SOCKET_PATH_BYTES_MAX:
            yield self._plan.run_dir
            return
        with tempfile.TemporaryDirectory(prefix="littoral-") as folder:  # made 0700
            yield Path(folder)


def _signal_group(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
