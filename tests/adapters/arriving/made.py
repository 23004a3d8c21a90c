"""A file that arrives as a test wants it to, and other processes that read it."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from littoral.adapters.arriving import Mount, NoMountError, Take

WAIT_S = 20.0

MOUNT_AND_WAIT = """
import asyncio, sys
from pathlib import Path
from littoral.adapters.arriving import Mount
async def main():
    Mount(asyncio.get_running_loop(), Path(sys.argv[1]), lambda: None)
    print("mounted", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


class Arriving:
    """See `arriving.Bytes`: bytes come in pieces, in any order."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.here = bytearray(len(data))
        self.waits: list[tuple[int, int, Take]] = []
        self.asked: list[int] = []
        """Where reads began that had to wait."""
        self.failed = False

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read(self, start: int, end: int, take: Take) -> Callable[[], None]:
        wait = start, end, take
        if self._give(wait):
            return lambda: None
        self.asked.append(start)
        self.waits.append(wait)

        def forget() -> None:
            with suppress(ValueError):
                self.waits.remove(wait)

        return forget

    def come(self, start: int, end: int) -> None:
        self.here[start:end] = b"\1" * (min(end, len(self.data)) - start)
        self.waits = [wait for wait in self.waits if not self._give(wait)]

    def fail(self) -> None:
        self.failed = True
        self.waits = [wait for wait in self.waits if not self._give(wait)]

    def _give(self, wait: tuple[int, int, Take]) -> bool:
        start, end, take = wait
        if all(self.here[start:end]):
            take([memoryview(self.data)[start:end]])
            return True
        if self.failed:
            take(None)
        return self.failed


NO_FUSE = "" if Path("/dev/fuse").exists() else "this kernel has no /dev/fuse"


def mounted(folder: Path, idle: Callable[[], None] = lambda: None) -> Mount:
    """A mount; where none can be, the test is skipped and says why."""
    try:
        return Mount(asyncio.get_running_loop(), folder, idle)
    except NoMountError as error:
        pytest.skip(NO_FUSE or str(error))


async def python(program: str, *arguments: object) -> Process:
    """Another process, which may read what this one has mounted."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *map(str, arguments)), stdout=PIPE, stderr=PIPE
    )


async def said(process: Process) -> str:
    """What it has printed, once it has ended well."""
    async with asyncio.timeout(WAIT_S):
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def until(holds: Callable[[], object]) -> None:
    """Wait for it."""
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0.005)


async def stale_mount(folder: Path) -> None:
    """What a process leaves behind that had a mount there, and was killed."""
    holder = await python(MOUNT_AND_WAIT, folder)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"mounted\n"
    holder.kill()
    await holder.wait()
