"""The answer cache as a process uses it: memory first, then the disk that all processes share.

Rules
- A look-up never waits for a write, and a put never waits at all.
- After a purge has returned, in whichever process, no look-up in any process gives what it named.
- A cache is never a reason to fail: whatever goes wrong here is a miss, is counted, and says why in
  `failure`. The disk is then left alone for a while.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from littoral.adapters.answers.file import AnswerFile
from littoral.adapters.answers.front import Front
from littoral.adapters.answers.place import Place, is_damage
from littoral.adapters.answers.rows import Totals
from littoral.adapters.answers.writer import Writer
from littoral.cache.answers import Entry, Selector, StoredAnswer, StoredVector
from littoral.terms import limits
from littoral.terms.errors import OperatorError
from littoral.terms.facts import CacheChanged
from littoral.terms.ports import Clock, Observe
from littoral.terms.values import SECOND, Instant

__all__ = ["AnswerStore", "CacheBounds", "CacheStats", "open_answers"]

log = logging.getLogger("littoral")

_PURGE_TRIES: Final = 10
"""Of half a second each, while another process is writing."""

E = TypeVar("E", StoredAnswer, StoredVector)


@dataclass(frozen=True, slots=True)
class CacheBounds:
    """The operator's bounds."""

    disk_bytes: int = limits.CACHE_BYTES_MAX
    """Of the database file; its log may take limits.CACHE_WAL_BYTES_MAX beside it."""
    memory_bytes: int = limits.CACHE_MEMORY_BYTES
    """Of each process."""
    answer_bytes: int = limits.ANSWER_STORED_BYTES_MAX


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The cache as it is now."""

    totals: Totals | None
    """None when the disk can't be read."""
    memory_entries: int
    memory_bytes: int
    refused: int
    """Entries that were not taken: the queue was full, or the disk was off."""
    lost: int
    """Entries that could not be written."""
    failure: str | None
    """Why nothing is kept at present."""


class AnswerStore:
    """Used from one thread; closed by whoever opened it."""

    def __init__(
        self,
        home: Path,
        bounds: CacheBounds,
        *,
        clock: Clock,
        observe: Observe = lambda _: None,
    ) -> None:
        """Open the cache of a home; `open_answers` is the way that never fails.

        Raises:
            HomeUnwritableError, DiskShortError: not even a few bytes can be written there.
        """
        self._bounds = bounds
        self._clock = clock
        self._observe = observe
        self._place = Place(home, clock)
        self._words = self._place.shared.words
        self._epoch = self._words[0]
        self._front = Front(bounds.memory_bytes)
        self._asked: dict[bytes, int] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._damaged: list[bytes] = []
        self._file: AnswerFile | None = None
        self._failure: OperatorError | None = None
        self._off_until = Instant(0)
        self._open()
        self._writer = Writer(self._place, bounds.disk_bytes, clock)

    @property
    def epoch(self) -> int:
        """To be read when a request begins, and given to `put` with its answer."""
        return self._words[0]

    @property
    def failure(self) -> str | None:
        """Why the cache keeps nothing at present; None when all is well."""
        error = self._failure or self._writer.failure
        return None if error is None else str(error)

    def get(self, key: bytes, model: str) -> StoredAnswer | None:
        """The answer of this key, fresh or not: `cache.freshness.is_fresh` says which.

        Args:
            key: `cache.keys.answer_key`.
            model: whose miss it is, if it is one.
        """
        if self._words[0] != self._epoch:
            self._forget()
        entry = self._front.get(key)
        if entry is None:
            entry = self._from_disk([key]).get(key)
        found = isinstance(entry, StoredAnswer)
        hits, misses = self._counts.get(model, (0, 0))
        self._counts[model] = (hits + found, misses + (not found))
        if isinstance(entry, StoredAnswer):
            self._asked[key] = self._asked.get(key, 0) + 1
            if len(self._asked) >= limits.CACHE_HITS_UNWRITTEN_MAX:
                self.hand_over()
            return entry
        return None

    def keeps(self, key: bytes) -> bool:
        """Whether there is an entry of this key; counted as asked for by nobody."""
        return self._front.get(key) is not None or key in self._from_disk([key])

    def get_many(self, keys: Sequence[bytes], model: str | None) -> dict[bytes, StoredVector]:
        """The vectors of these keys that are there, fresh or not.

        The disk gives about 50,000 vectors a second: a caller with many looks them up in slices
        and lets others run between.

        Args:
            keys: `cache.keys.embedding_keys`.
            model: whose hits and misses they are; None for a look that was counted before.
        """
        if self._words[0] != self._epoch:
            self._forget()
        found = {key: entry for key in keys if (entry := self._front.get(key)) is not None}
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if missing:
            found |= self._from_disk(missing)
        vectors = {key: entry for key, entry in found.items() if isinstance(entry, StoredVector)}
        if model is None:
            return vectors
        hits, misses = self._counts.get(model, (0, 0))
        there = sum(key in vectors for key in keys)
        self._counts[model] = (hits + there, misses + len(keys) - there)
        for key in vectors:
            self._asked[key] = self._asked.get(key, 0) + 1
        if len(self._asked) >= limits.CACHE_HITS_UNWRITTEN_MAX:
            self.hand_over()
        return vectors

    def put(self, answer: StoredAnswer, *, epoch: int) -> bool:
        """Keep an answer; it is there at once in this process, and soon in the others.

        Args:
            answer: whole.
            epoch: `epoch` as it was when the answer's request began: if a purge since has named
                this answer, it is not kept. If one has named others, it is there soon, and not at
                once.

        Returns:
            Whether it was taken.
        """
        if len(answer.body) > min(self._bounds.answer_bytes, self._bounds.disk_bytes // 8):
            return False
        return self._keep([answer], epoch)

    def put_many(self, vectors: Sequence[StoredVector], *, epoch: int) -> bool:
        """Keep vectors, all or none of them; otherwise as `put`."""
        return self._keep(vectors, epoch)

    def hand_over(self) -> None:
        """Have the writer count what was asked for, and remove what is damaged."""
        if self._asked or self._counts or self._damaged:
            self._writer.tell(self._asked, self._counts, self._damaged)
            self._asked, self._counts, self._damaged = {}, {}, []

    def purge(self, selector: Selector) -> tuple[int, int]:
        """Drop every entry that is all of what the selector says, at once in all processes.

        It takes some 50 µs for each entry that goes, so it is not for an event loop: whoever serves
        leaves it to a process, or a thread with a store of its own.

        Returns:
            How many entries that were on disk, and their bytes.

        Raises:
            OperatorError: the disk does not take it. What is in memory is gone, in all processes.
        """
        self.hand_over()
        for left in reversed(range(_PURGE_TRIES)):
            try:
                return self._purge(selector)
            except OperatorError as error:
                if is_damage(error) and self._file is not None:
                    self._fail(error)
                elif error.details.get("database") != "held":
                    raise
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    def stats(self) -> CacheStats:
        """The cache as it is now, its counts up to date as soon as the writer has settled."""
        self.hand_over()
        self._tell_changes()
        totals: Totals | None = None
        file = self._usable()
        if file is not None:
            try:
                totals = file.totals()
            except OperatorError as error:
                self._fail(error)
        return CacheStats(
            totals=totals,
            memory_entries=len(self._front),
            memory_bytes=self._front.size_bytes,
            refused=self._writer.refused,
            lost=self._writer.lost,
            failure=self.failure,
        )

    def settled(self, timeout_s: float) -> bool:
        """Wait until what was put is on disk; whether that came to be."""
        return self._writer.settled(timeout_s)

    def close(self) -> None:
        """Write what is left and let go of the files."""
        self.hand_over()
        ended = self._writer.close()
        self._tell_changes()
        if self._file is not None:
            self._file.close()
        if ended:
            self._place.close()

    def _keep(self, entries: Sequence[StoredAnswer] | Sequence[StoredVector], epoch: int) -> bool:
        if self._words[0] != self._epoch:
            self._forget()
        if not self._writer.take(entries, epoch):
            return False
        if epoch == self._epoch:  # else the writer sees what was purged
            for entry in entries:
                self._front.put(entry)
        self._tell_changes()
        return True

    def _purge(self, selector: Selector) -> tuple[int, int]:
        file = self._file if self._is_current() else self._open()
        if file is None:
            assert self._failure is not None
            raise self._failure
        dropped = file.purge(selector)
        self._forget()
        with suppress(OperatorError):  # somebody writes: the next purge gives the space back
            file.shrink()
        return dropped

    def _from_disk(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        file = self._usable()
        if file is None:
            return {}
        try:
            found, damaged = file.read(keys)
        except OperatorError as error:
            self._fail(error)
            return {}
        for entry in found.values():
            self._front.put(entry)
        if damaged:
            self._damaged += damaged
            self.hand_over()
        return found

    def _usable(self) -> AnswerFile | None:
        """The file that is in use now, if the disk is not off."""
        if self._is_current():
            return self._file
        return None if self._clock.now() < self._off_until else self._open()

    def _is_current(self) -> bool:
        return self._file is not None and self._file.generation == self._words[1]

    def _open(self, *, damaged_generation: int | None = None) -> AnswerFile | None:
        if self._file is not None:
            self._file.close()
            self._file = None
        try:
            self._file = self._place.open(damaged_generation=damaged_generation)
        except OperatorError as error:
            if self._failure is None:
                log.warning("the answer cache can't be read for now: %s", error)
            self._failure = error
            self._off_until = Instant(self._clock.now() + int(limits.CACHE_PAUSE_S * SECOND))
        else:
            self._failure = None
        return self._file

    def _fail(self, error: OperatorError) -> None:
        """The file can't be read: begin it anew if it is damaged, else leave it alone."""
        assert self._file is not None
        if is_damage(error):
            log.warning("the answer cache is damaged, and is begun anew: %s", error)
            self._open(damaged_generation=self._file.generation)
            return
        log.warning("the answer cache can't be read for now: %s", error)
        self._file.close()
        self._file = None
        self._failure = error
        self._off_until = Instant(self._clock.now() + int(limits.CACHE_PAUSE_S * SECOND))

    def _forget(self) -> None:
        """There was a purge: what is in memory may be of what it named."""
        self._front.clear()
        self._epoch = self._words[0]

    def _tell_changes(self) -> None:
        entries, size = self._writer.changes()
        if entries or size:
            self._observe(CacheChanged(entries, size))


def open_answers(
    home: Path, bounds: CacheBounds, *, clock: Clock, observe: Observe = lambda _: None
) -> AnswerStore | None:
    """The cache of a home, or None where it is off: by its setting, or as nothing can be kept.

    Args:
        home: the state directory.
        bounds: with 0 bytes of disk there is no cache.
        clock: the machine's.
        observe: told of what is stored and dropped, in the caller's thread.
    """
    if bounds.disk_bytes == 0:
        return None
    try:
        return AnswerStore(home, bounds, clock=clock, observe=observe)
    except OperatorError as error:
        log.warning("there is no answer cache: %s", error)
        return None
