"""The machines of the story: each a PoP in a process, a home and a process group of its own.

Rules
- All of it lies in one temporary folder, and models are links into the home they were brought into.
- Whatever ends the context ends every process, first as Ctrl-C does, then hard, with all that they
  started; then the folder goes.
- Ctrl-C at the terminal is the story's business: it does not reach them by itself.
"""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from littoral.adapters.addresses import free_port
from littoral.adapters.models import Catalogue
from littoral.node.config import bare_environment
from littoral.node.home import Home, RunningPop
from littoral.terms.errors import DemoFailedError
from littoral.terms.ids import ModelName, PopId

__all__ = ["Network", "Process", "Ran", "machines", "until"]

T = TypeVar("T")

_HOST: Final = "127.0.0.1"

_READY_WAIT_S: Final = 60.0
_END_WAIT_S: Final = 10.0
_LOOK_S: Final = 0.005
_LOG_BYTES: Final = 64 * 1024
_LOG_LINES: Final = 6


class _Model(msgspec.Struct, frozen=True):
    name: ModelName
    ready: bool


class _Ready(msgspec.Struct, frozen=True):
    """The line by which `littoral up --json` says that it is ready."""

    ready: bool
    url: str
    pop: PopId
    key: str | None
    models: tuple[_Model, ...]


@dataclass(slots=True)
class Process:
    """One PoP."""

    name: str
    home: Path
    fabric_port: int
    state_port: int
    models: tuple[ModelName, ...]
    options: tuple[str, ...]
    ready_s: float = 0.0
    url: str = ""
    pop: PopId = field(default=PopId(""))
    key: str = ""
    """The API key that its first start made."""
    process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> Path:
        """What it logs."""
        return self.home.parent / f"{self.home.name}.log"

    def running(self) -> RunningPop:
        """What it says of itself to this machine.

        Raises:
            DemoFailedError: it does not run.
        """
        found = Home(self.home).running()
        if found is None:
            raise DemoFailedError(f"{self.name} has ended by itself")
        return found

    def logged(self) -> Sequence[str]:
        """The last lines of its log."""
        with suppress(OSError), self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _LOG_BYTES))
            return file.read(_LOG_BYTES).decode(errors="replace").splitlines()
        return ()

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self.process is not None, "started"
        self.process.kill()

    async def killed(self) -> None:
        """End it so, and wait until it is gone."""
        self.kill()
        assert self.process is not None, "started"
        await self.process.wait()


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended."""

    code: int
    errors: str


class Network:
    """All machines, while their context is open."""

    def __init__(self, folder: Path, catalogue: Catalogue) -> None:
        """Run nothing yet.

        Args:
            folder: for homes and logs.
            catalogue: where models are.
        """
        self.folder = folder
        self._catalogue = catalogue
        self._all: list[Process] = []

    def machine(
        self, name: str, models: Sequence[ModelName], *options: str, fabric_port: int = 0
    ) -> Process:
        """One that does not run yet, with links to these models and no others."""
        home = self.folder / name.replace(" ", "-")
        (home / "models").mkdir(mode=0o700, parents=True)
        for model in models:
            source = self._catalogue.models_dir / model
            (home / "models" / model).symlink_to(source.resolve(), target_is_directory=True)
        made = Process(
            name,
            home,
            fabric_port or free_port(_HOST),
            free_port(_HOST),
            tuple(models),
            options,
        )
        self._all.append(made)
        return made

    async def start(self, machine: Process, *command: str) -> None:
        """Run it by `littoral COMMAND`, until it is ready.

        Raises:
            DemoFailedError: it, or one of its models, does not become ready.
        """
        began = asyncio.get_running_loop().time()
        with machine.log.open("ab") as log:
            machine.process = await _spawn(
                *(*command, "--json", "--verbose", "--home", str(machine.home), "--port", "0"),
                *("--fabric-port", str(machine.fabric_port)),
                *("--state-port", str(machine.state_port)),
                *("--models", ",".join(machine.models)),
                *machine.options,
                stdout=asyncio.subprocess.PIPE,
                stderr=log.fileno(),
            )
        assert machine.process.stdout is not None, "a pipe"
        try:
            async with asyncio.timeout(_READY_WAIT_S):
                line = await machine.process.stdout.readline()
            ready = msgspec.json.decode(line, type=_Ready)
        except (TimeoutError, msgspec.DecodeError):
            raise DemoFailedError(f"{machine.name} did not start") from None
        if lacking := [model.name for model in ready.models if not model.ready]:
            raise DemoFailedError(f"{machine.name} can't load {', '.join(lacking)}")
        machine.ready_s = round(asyncio.get_running_loop().time() - began, 3)
        machine.url, machine.pop = ready.url, ready.pop
        machine.key = ready.key or machine.key

    async def run(self, *command: str) -> Ran:
        """Run a command of `littoral` to its end.

        Raises:
            DemoFailedError: it does not end.
        """
        process = await _spawn(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(_READY_WAIT_S):
                _, errors = await process.communicate()
        except TimeoutError:
            raise DemoFailedError(f"`littoral {command[0]}` did not end") from None
        finally:
            _kill_group(process)
        assert process.returncode is not None, "it has ended"
        return Ran(process.returncode, errors.decode(errors="replace"))

    def logs(self) -> dict[str, Sequence[str]]:
        """The last lines of each machine's log."""
        return {each.name: each.logged()[-_LOG_LINES:] for each in self._all}

    async def end(self) -> None:
        """End all that runs."""
        started = [each.process for each in self._all if each.process is not None]
        async with asyncio.TaskGroup() as tasks:
            for each in started:
                tasks.create_task(_end(each))


@asynccontextmanager
async def machines(catalogue: Catalogue) -> AsyncIterator[Network]:
    """Room for machines; when the context ends, so have they, and nothing is left.

    Raises:
        DemoFailedError: as its body does, with the last lines of all logs in its details.
    """
    with tempfile.TemporaryDirectory(prefix="littoral-demo-") as folder:
        network = Network(Path(folder), catalogue)
        try:
            yield network
        except DemoFailedError as error:
            error.details = {**error.details, "logs": network.logs()}
            raise
        finally:
            await network.end()


async def until(what: str, within_s: float, look: Callable[[], Awaitable[T | None]]) -> T:
    """Look until there is something.

    Args:
        what: what should be; it is in the error.
        within_s: how long that may take.
        look: gives None as long as it is not so.

    Raises:
        DemoFailedError: it did not come to be.
    """
    try:
        async with asyncio.timeout(within_s):
            while True:
                if (found := await look()) is not None:
                    return found
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise DemoFailedError(f"{what}: not within {within_s:g} s") from None


async def _spawn(*command: str, stdout: int, stderr: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "littoral.cli", *command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=bare_environment(),
        start_new_session=True,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """As Ctrl-C does; then hard, with whatever it has started."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_WAIT_S):
                await process.wait()
    _kill_group(process)
    await process.wait()


def _kill_group(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
