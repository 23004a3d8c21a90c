"""A person at a terminal: the lines they type, and their Ctrl-C.

Rules
- Reading a line blocks neither the event loop nor the end of the process.
- While `Interrupts` is open, Ctrl-C ends one piece of work and never the process. Pressed twice in
  a row it means the same as once: the second does not end the prompt that comes next.

Editing within a line is the terminal's own.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

__all__ = ["Interrupted", "Interrupts", "typed_line"]

_READ_BYTES: Final = 4096
"""A terminal hands over one line at a time, and none is longer."""

_TWICE_S: Final = 0.5
"""Two of Ctrl-C within this time are one."""


class Interrupted(Exception):  # noqa: N818 - not an error
    """Ctrl-C ended the work."""


class Interrupts:
    """Takes Ctrl-C while it is open."""

    def __init__(self) -> None:
        """Take nothing yet."""
        self._loop = asyncio.get_running_loop()
        self._work: asyncio.Timeout | None = None
        self._not_before_s = 0.0
        self._ended_s = -_TWICE_S

    def __enter__(self) -> Self:
        """Take Ctrl-C from here on."""
        self._loop.add_signal_handler(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self._loop.remove_signal_handler(signal.SIGINT)

    @asynccontextmanager
    async def ending(self, *, prompt: bool = False) -> AsyncIterator[None]:
        """What Ctrl-C ends.

        Args:
            prompt: it follows on other work: Ctrl-C may have been pressed for that.

        Raises:
            Interrupted: it did.
        """
        work = asyncio.timeout(None)  # cancels what is in it, at a time that Ctrl-C sets
        try:
            async with work:
                self._work = work
                self._not_before_s = self._ended_s + _TWICE_S if prompt else 0.0
                yield
        except TimeoutError:
            if work.expired():
                raise Interrupted from None
            raise
        finally:
            self._work = None

    def _interrupt(self) -> None:
        now_s = self._loop.time()
        if self._work is None or self._work.expired() or now_s < self._not_before_s:
            return
        self._ended_s = now_s
        self._work.reschedule(now_s)


async def typed_line(prompt: str) -> str | None:
    """The next line that is typed; None when there will be none."""
    sys.stdout.write(prompt)
    sys.stdout.flush()
    loop, terminal, line, ready = (
        asyncio.get_running_loop(),
        sys.stdin.fileno(),
        b"",
        asyncio.Event(),
    )
    loop.add_reader(terminal, ready.set)
    try:
        while not line.endswith(b"\n"):
            await ready.wait()
            ready.clear()
            data = os.read(terminal, _READ_BYTES)
            if not data:
                return None
            line += data
    except OSError:
        return None  # the terminal is gone
    finally:
        loop.remove_reader(terminal)
    return line.decode(errors="replace").rstrip("\r\n")
