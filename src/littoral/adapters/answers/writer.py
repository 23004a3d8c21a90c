"""The thread that writes the cache to disk, so that no request waits for it.

Rules
- The queue before it is bounded in entries and in bytes; what comes when it is full is not kept.
- It writes what has gathered as one transaction, of at most `_GROUP_BYTES_MAX`.
- A write that fails is lost, not tried for ever: a cache may forget. While the disk is full or the
  file is held, nothing is taken for limits.CACHE_PAUSE_S; then it is tried again. A damaged file
  is begun anew.
- Nothing that happens here reaches a request. The reason of a failure is logged, once.
"""

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from littoral.adapters.answers.file import AnswerFile
from littoral.adapters.answers.place import Place, is_damage
from littoral.adapters.answers.rows import Group, Written
from littoral.cache.answers import Entry
from littoral.terms.errors import OperatorError
from littoral.terms.limits import (
    CACHE_COUNTS_WAITING_MAX,
    CACHE_PAUSE_S,
    CACHE_QUEUE_BYTES_MAX,
    CACHE_QUEUE_ENTRIES_MAX,
)
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Instant

__all__ = ["Writer"]

log = logging.getLogger("littoral")

_GATHER_S: Final = 0.01
"""How long a first entry waits for others: a commit costs as much as writing ten."""

_GROUP_BYTES_MAX: Final = 4 * 1024 * 1024
_END_WAIT_S: Final = 5.0
_TRIES: Final = 4
"""Of half a second each, for a file that another process is writing to."""


class Writer:
    """One thread, its queue, and its own connection to the file."""

    def __init__(self, place: Place, bytes_max: int, clock: Clock) -> None:
        self._place = place
        self._bytes_max = bytes_max
        self._clock = clock
        self._file: AnswerFile | None = None
        self._queue: deque[tuple[Entry, int]] = deque()
        self._told: deque[Group] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._ending = threading.Event()
        self._off_until = Instant(0)
        self._entries_changed = 0
        self._bytes_changed = 0
        self.failure: OperatorError | None = None
        self.refused = 0
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name="cache", daemon=True)
        self._thread.start()

    def take(self, entries: Sequence[Entry], epoch: int) -> bool:
        """Keep entries by and by; False when there is no room for them, or the disk is off.

        Args:
            entries: all of them are taken, or none.
            epoch: the shared epoch at which their request began.
        """
        size = sum(entry.size_bytes for entry in entries)
        with self._lock:
            room = (
                self._bytes + size <= CACHE_QUEUE_BYTES_MAX
                and len(self._queue) + len(entries) <= CACHE_QUEUE_ENTRIES_MAX
            )
            if not room or self._clock.now() < self._off_until or self._ending.is_set():
                self.refused += len(entries)
                return False
            self._bytes += size
            self._queue.extend([(entry, epoch) for entry in entries])
            self._rouse()
        return True

    def tell(
        self,
        asked: Mapping[bytes, int],
        counts: Mapping[str, tuple[int, int]],
        damaged: Sequence[bytes],
    ) -> None:
        """Count hits and misses by and by, and remove what is damaged."""
        with self._lock:
            if self._clock.now() < self._off_until:
                return
            self._told.append(Group(asked=asked, counts=counts, damaged=damaged))
            while len(self._told) > CACHE_COUNTS_WAITING_MAX:
                self._told.popleft()
            self._rouse()

    def changes(self) -> tuple[int, int]:
        """How many entries, and bytes, there are more on disk by this thread since last asked."""
        with self._lock:
            changes = self._entries_changed, self._bytes_changed
            self._entries_changed = self._bytes_changed = 0
        return changes

    def settled(self, timeout_s: float) -> bool:
        """Wait until all that was taken is on disk or lost; whether that came to be."""
        return self._idle.wait(timeout_s)

    def close(self) -> bool:
        """Write what is left, within a bound of time, and end the thread; whether it has ended."""
        self._ending.set()
        self._wake.set()
        self._thread.join(_END_WAIT_S)
        return not self._thread.is_alive()

    def _rouse(self) -> None:
        self._idle.clear()
        self._wake.set()

    def _run(self) -> None:
        try:
            while True:
                self._wake.wait()
                self._ending.wait(_GATHER_S)
                self._wake.clear()
                while (group := self._next()) is not None:
                    self._perform(group)
                if self._ending.is_set():
                    break
        except Exception:
            log.exception("the answer cache has a defect and is off: please report it")
            self._off_until = Instant(2**62)
        finally:
            self._idle.set()
            if self._file is not None:
                self._file.close()

    def _next(self) -> Group | None:
        """What to write next: some entries, or what else was told; None when there is nothing."""
        with self._lock:
            group = self._told.popleft() if self._told else Group()
            size = 0
            while self._queue and size < _GROUP_BYTES_MAX:
                entry, epoch = self._queue.popleft()
                size += entry.size_bytes
                group.puts.append((entry, epoch))
            self._bytes -= size
            if not (group.puts or group.asked or group.counts or group.damaged):
                self._idle.set()
                return None
            return group

    def _perform(self, group: Group) -> None:
        error: OperatorError | None = None
        for _ in range(_TRIES):
            try:
                self._note(self._write(group))
            except OperatorError as failed:
                error = failed
                if failed.details.get("database") != "held" or self._ending.is_set():
                    break
            else:
                self.failure = None
                return
        assert error is not None
        self.lost += len(group.puts)
        self._fail(error)

    def _note(self, written: Written) -> None:
        with self._lock:
            self._entries_changed += written.stored - written.dropped
            self._bytes_changed += written.bytes

    def _write(self, group: Group) -> Written:
        file = self._file
        if file is not None and file.generation != self._place.shared.generation:
            file.close()
            file = self._file = None
        if file is None:
            file = self._file = self._place.open()
        return file.write(group, bytes_max=self._bytes_max, unix_ns=self._clock.unix_ns())

    def _fail(self, error: OperatorError) -> None:
        if is_damage(error) and self._file is not None:
            try:
                fresh = self._place.open(damaged_generation=self._file.generation)
            except OperatorError as second:
                error = second
            else:
                self._file.close()
                self._file = fresh
                log.warning("the answer cache was damaged, and is begun anew: %s", error)
                return
        if self.failure is None:
            log.warning("the answer cache keeps nothing for now: %s", error)
        self.failure = error
        self._off_until = Instant(self._clock.now() + int(CACHE_PAUSE_S * SECOND))
