"""Runs of chunks read from an origin, on threads: each is checked, written, and told of.

A run may go over the border of two files; each file is then asked for its part.

One run is read after the other: two at once share the link, and what was asked for first comes as
late as the rest. The next is begun when what is left of the one before will be here in NEARLY_S, so
that the link is busy while the origin is asked.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from littoral.adapters.artifacts import DraftIntake, Intake
from littoral.delivery.chunk_set import ChunkSet, Run
from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import DigestMismatchError, LittoralError, OriginError
from littoral.terms.ports import Clock, Origin
from littoral.terms.values import SECOND, Instant

__all__ = ["NEARLY_S", "OriginReads", "Reading"]

_NEVER: Final = Instant(0)
NEARLY_S: Final = 0.05
"""About what it takes until the first byte of an answer comes."""


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
    left_bytes: int = 0
    since: Instant = _NEVER
    """What has come so far and is still to come since it was asked for; counted on its thread."""
    nearly: bool = False
    """The rest will be here in a moment."""
    passes_on: Callable[[], None] = lambda: None
    """Has the next one begin; called on the loop."""

    def drop(self) -> None:
        """It is not wanted any more, and tells nothing more."""
        self.stop.set()
        self.passes_on()


class OriginReads:
    """The files of one artifact at their origin."""

    def __init__(
        self,
        origin: Origin,
        files: Sequence[OriginFile],
        intake: Intake | DraftIntake,
        threads: Executor,
        clock: Clock,
    ) -> None:
        """Read nothing yet.

        Args:
            origin: where they are.
            files: in the order of the artifact.
            intake: where chunks go.
            threads: to read on.
            clock: tells how quickly it goes.
        """
        self._origin = origin
        self._files = files
        self._intake = intake
        self._threads = threads
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._turn: Reading | None = None
        """What is read now, if it is not nearly here."""
        self._queue: deque[tuple[Run, Reading]] = deque()

    def read(self, run: Run, reading: Reading, *, at_once: bool = False) -> None:
        """Read a run in its turn, or beside all others; `reading` is told."""
        if at_once:
            self._threads.submit(self._read, run, reading)
            return
        reading.passes_on = partial(self._pass_on, reading)
        self._queue.append((run, reading))
        if self._turn is None:
            self._next()

    def _next(self) -> None:
        while self._queue and self._turn is None:
            run, reading = self._queue.popleft()
            if not reading.stop.is_set():
                self._turn = reading
                self._threads.submit(self._read, run, reading)

    def _pass_on(self, reading: Reading) -> None:
        """The next one has its turn, if it is this one's now."""
        if self._turn is reading:
            self._turn = None
            self._next()

    def _read(self, run: Run, reading: Reading) -> None:
        error: LittoralError | None = None
        try:
            self._read_run(run, reading)
        except LittoralError as raised:
            error = raised
        except OSError as raised:
            error = OriginError(f"reading from the origin failed ({raised})")
        self._tell(reading, reading.ended, error)
        self._loop.call_soon_threadsafe(reading.passes_on)

    def _read_run(self, run: Run, reading: Reading) -> None:
        first, end = run
        table = self._intake.table
        reading.left_bytes = table.bytes_of(ChunkSet.of_runs([run]))
        reading.since = self._clock.now()
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
                    if not rest:
                        raise OriginError("the origin sent less than it was asked for")
                    self._came(len(rest), reading)
                part, rest = rest[: size - had], rest[size - had :]
                parts.append(part)
                had += len(part)
            if reading.stop.is_set():
                return
            self._keep(number, parts[0] if len(parts) == 1 else b"".join(parts), reading)

    def _came(self, size_bytes: int, reading: Reading) -> None:
        """Count bytes; have the next reading begin when the rest is nearly here."""
        reading.received_bytes += size_bytes
        reading.left_bytes -= size_bytes
        took_s = max(1, self._clock.now() - reading.since) / SECOND
        if not reading.nearly and reading.left_bytes * took_s <= reading.received_bytes * NEARLY_S:
            reading.nearly = True
            self._loop.call_soon_threadsafe(reading.passes_on)

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
