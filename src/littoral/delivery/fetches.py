"""What is asked for now: fetches under way, and which of their chunks are still to come."""

from collections.abc import Iterator
from typing import Final

from littoral.delivery.chunk_set import ChunkSet
from littoral.terms.ids import PopId
from littoral.terms.values import Instant

__all__ = ["Fetches", "Under"]

_NONE: Final = ChunkSet()


class Under:
    """One fetch under way."""

    __slots__ = ("_base", "_left", "asked_at", "id", "source", "want")

    def __init__(
        self, number: int, source: PopId, chunks: ChunkSet, *, want: bool, now: Instant
    ) -> None:
        mask = chunks.mask
        self.id = number
        self.source = source
        self._base = (mask & -mask).bit_length() - 1
        self._left = mask >> self._base
        """Shifted by its lowest chunk, so that an artifact of any size costs the same."""
        self.want = want
        """It was chosen for its chunks, which the source has; else it takes what comes there."""
        self.asked_at = now

    @property
    def left(self) -> ChunkSet:
        """What is still to come."""
        return ChunkSet(self._left << self._base)

    def __len__(self) -> int:
        return self._left.bit_count()

    def __contains__(self, chunk: int) -> bool:
        return chunk >= self._base and bool(self._left >> (chunk - self._base) & 1)

    def take(self, chunk: int) -> bool:
        """A chunk does not have to come any more; whether it was to."""
        if chunk not in self:
            return False
        self._left ^= 1 << (chunk - self._base)
        return True


class Fetches:
    """All of one pull."""

    __slots__ = ("_by_id", "_doubled", "_next")

    def __init__(self) -> None:
        self._by_id: dict[int, Under] = {}
        self._doubled: set[int] = set()
        """Chunks that may be in several fetches."""
        self._next = 0

    def __iter__(self) -> Iterator[Under]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, number: int) -> Under | None:
        """The fetch of this number, if it is under way."""
        return self._by_id.get(number)

    def begin(self, source: PopId, chunks: ChunkSet, *, want: bool, now: Instant) -> Under:
        """A new one; some of its chunks may be asked of others already."""
        doubled = chunks & self.chunks()
        if doubled:
            self._doubled.update(doubled)
        self._next += 1
        under = self._by_id[self._next] = Under(self._next, source, chunks, want=want, now=now)
        return under

    def end(self, number: int) -> None:
        """It is not under way any more."""
        self._by_id.pop(number, None)

    def of(self, source: PopId) -> list[Under]:
        """Those of one source, the oldest first."""
        return [under for under in self._by_id.values() if under.source == source]

    def chunks(self) -> ChunkSet:
        """All that is still to come."""
        mask = 0
        for under in self._by_id.values():
            mask |= under.left.mask
        return ChunkSet(mask)

    def landed(self, number: int, chunk: int) -> list[int]:
        """A chunk came with this fetch; the fetches that have nothing more to bring, without it."""
        under = self._by_id.get(number)
        if under is not None:
            under.take(chunk)
            if not under:
                self.end(number)
        if chunk not in self._doubled:
            return []
        self._doubled.discard(chunk)
        over = [other for other in self if other.take(chunk) and not other]
        for other in over:
            self.end(other.id)
        return [other.id for other in over]
