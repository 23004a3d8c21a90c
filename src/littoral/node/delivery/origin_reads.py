"""Runs of chunks read from an origin, on threads: each is checked, written, and told of.

A run may go over the border of two files; each file is then asked for its part.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from littoral.adapters.artifacts import DraftIntake, Intake
from littoral.delivery.chunk_set import ChunkSet, Run
from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import DigestMismatchError, LittoralError, OriginError
from littoral.terms.ports import Origin

__all__ = ["OriginReads", "Reading"]


@dataclass(slots=True)
class Reading:
    """A run that is being read; told of on the loop."""

    landed: Callable[[int, ChunkSet, bool], None]
    """A chunk is here: its number, all that is here because of it, and whether one that was here
    before was another."""
    spoiled: Callable[[int], None]
    """A chunk came that is not what it is to be."""
    ended: Callable[[LittoralError | None], None]
    """Nothing more comes."""
    stop: threading.Event = field(default_factory=threading.Event)
    received_bytes: int = 0
    """So far; counted on its thread."""

    def drop(self) -> None:
        """It is not wanted any more, and tells nothing more."""
        self.stop.set()


class OriginReads:
    """The files of one artifact at their origin."""

    def __init__(
        self,
        origin: Origin,
        files: Sequence[OriginFile],
        intake: Intake | DraftIntake,
        threads: Executor,
    ) -> None:
        """Read nothing yet.

        Args:
            origin: where they are.
            files: in the order of the artifact.
            intake: where chunks go.
            threads: to read on.
        """
        self._origin = origin
        self._files = files
        self._intake = intake
        self._threads = threads
        self._loop = asyncio.get_running_loop()

    def read(self, run: Run, reading: Reading) -> None:
        """Begin to read a run; `reading` is told."""
        self._threads.submit(self._read, run, reading)

    def _read(self, run: Run, reading: Reading) -> None:
        error: LittoralError | None = None
        try:
            self._read_run(run, reading)
        except LittoralError as raised:
            error = raised
        except OSError as raised:
            error = OriginError(f"reading from the origin failed ({raised})")
        self._tell(reading, reading.ended, error)

    def _read_run(self, run: Run, reading: Reading) -> None:
        first, end = run
        table = self._intake.table
        while first < end and not reading.stop.is_set():
            chunk = table[first]
            _, file_end = table.run_of(chunk.file)
            last = min(end, file_end)
            final = table[last - 1]
            file = self._files[chunk.file]
            stop_at = final.start + final.size_bytes
            with self._origin.read(file, chunk.start, stop_at) as pieces:
                self._cut(iter(pieces), range(first, last), reading)
            first = last

    def _cut(self, pieces: Iterator[bytes], numbers: range, reading: Reading) -> None:
        """Chunks out of pieces of any size."""
        rest = memoryview(b"")
        for number in numbers:
            size = self._intake.table[number].size_bytes
            parts, had = [], 0
            while had < size:
                if not rest:
                    rest = memoryview(next(pieces, b""))
                    reading.received_bytes += len(rest)
                    if not rest:
                        raise OriginError("the origin sent less than it was asked for")
                part, rest = rest[: size - had], rest[size - had :]
                parts.append(part)
                had += len(part)
            if reading.stop.is_set():
                return
            self._keep(number, parts[0] if len(parts) == 1 else b"".join(parts), reading)

    def _keep(self, number: int, data: bytes | memoryview, reading: Reading) -> None:
        intake = self._intake
        before = intake.hash_of(number) if isinstance(intake, DraftIntake) else None
        try:
            new = intake.write(number, data)
        except DigestMismatchError:
            self._tell(reading, reading.spoiled, number)
            return
        changed = False
        if before is not None:
            assert isinstance(intake, DraftIntake)
            changed = intake.hash_of(number) != before
        self._tell(reading, reading.landed, number, new, changed)

    def _tell(self, reading: Reading, call: Callable[..., None], *arguments: object) -> None:
        def told() -> None:
            if not reading.stop.is_set():
                call(*arguments)

        self._loop.call_soon_threadsafe(told)
