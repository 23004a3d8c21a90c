"""A worker's standard error, kept in a bounded file; its last lines explain a death."""

from collections import deque
from pathlib import Path
from typing import Final

from littoral.terms import limits

__all__ = ["LOG_BYTES_MAX", "WorkerLog"]

LOG_BYTES_MAX: Final = 1024 * 1024
"""One log file; the one before it is kept too."""

_LINE_CHARS_MAX: Final = 400


class WorkerLog:
    """Appends to `path`, and begins it anew when it is full."""

    def __init__(self, path: Path, bytes_max: int = LOG_BYTES_MAX) -> None:
        """Open nothing yet."""
        self.path = path
        self._bytes_max = bytes_max
        self._lines: deque[str] = deque(maxlen=limits.STDERR_LINES_MAX)

    def write(self, data: bytes) -> None:
        """Keep some whole lines of output. A full disk loses them and harms nothing else."""
        for line in data.decode("utf-8", errors="replace").splitlines():
            if line.strip():
                self._lines.append(line[:_LINE_CHARS_MAX])
        try:
            if self.path.exists() and self.path.stat().st_size + len(data) > self._bytes_max:
                self.path.replace(self.path.with_suffix(".log.1"))
            with self.path.open("ab") as file:
                file.write(data[-self._bytes_max :])
        except OSError:
            return

    def last(self, count: int) -> list[str]:
        """The last lines, oldest first."""
        return list(self._lines)[-count:]

    def begin(self) -> None:
        """A new process writes from here: the lines of the one before explain nothing."""
        self._lines.clear()
