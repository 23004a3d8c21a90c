"""What is asked for now: fetches under way, and which of their chunks are still to come."""

from collections.abc import Iterator

from littoral.delivery.chunk_set import ChunkSet
from littoral.terms.ids import PopId
from littoral.terms.values import Instant

__all__ = ["Fetches", "Under"]


class Under:
    """One fetch under way."""

    __slots__ = ("_base", "_left", "asked_at", "id", "source", "trimmed", "want")

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
        self.trimmed = False
        """It would bring more than is waited for."""

    @property
    def left(self) -> ChunkSet:
        """What is still to come."""
        return ChunkSet(self._left << self._base)

    def __len__(self) -> int:
        return self._left.bit_count()

    def __contains__(self, chunk: int) -> bool:
        return chunk >= self._base and bool(self._left >> (chunk - self._base) & 1)

    def trim(self, chunks: ChunkSet) -> None:
        """These do not have to come any more."""
        before = self._left
        self._left &= ~(chunks.mask >> self._base)
        self.trimmed |= self._left != before

    def take(self, chunk: int) -> bool:
        """A chunk does not have to come any more; whether it was to."""
        if chunk not in self:
            return False
        self._left ^= 1 << (chunk - self._base)
        return True


class Fetches:
    """All of one pull."""

    __slots__ = ("_by_id", "_by_source", "_doubled", "_next", "ever")

    def __init__(self) -> None:
        self._by_id: dict[int, Under] = {}
        self._by_source: dict[PopId, dict[int, Under]] = {}
        self._doubled: set[int] = set()
        """Chunks that may be in several fetches."""
        self._next = 0
        self.ever = ChunkSet()
        """All chunks that were asked of whoever was dealt them."""

    def __iter__(self) -> Iterator[Under]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, number: int) -> Under | None:
        """The fetch of this number, if it is under way."""
        return self._by_id.get(number)

    def begin(
        self, source: PopId, chunks: ChunkSet, doubled: ChunkSet, *, want: bool, now: Instant
    ) -> Under:
        """A new one; those of its chunks that are doubled are asked of others already."""
        self._doubled.update(doubled)
        self._next += 1
        under = self._by_id[self._next] = Under(self._next, source, chunks, want=want, now=now)
        self._by_source.setdefault(source, {})[self._next] = under
        if not want:
            self.ever |= chunks
        return under

    def end(self, number: int) -> None:
        """It is not under way any more."""
        under = self._by_id.pop(number, None)
        if under is not None:
            of_source = self._by_source[under.source]
            del of_source[number]
            if not of_source:
                del self._by_source[under.source]

    def of(self, source: PopId) -> list[Under]:
        """Those of one source, the oldest first."""
        return list(self._by_source.get(source, {}).values())

    def left(self) -> dict[PopId, ChunkSet]:
        """What is still to come from each source that is asked for something."""
        left = {}
        for source, unders in self._by_source.items():
            mask = 0
            for under in unders.values():
                mask |= under.left.mask
            left[source] = ChunkSet(mask)
        return left

    def landed(self, number: int, chunk: int) -> list[int]:
        """A chunk came with this fetch; the fetches that are over now, and would bring more."""
        under = self._by_id.get(number)
        awaited = under is not None and under.take(chunk)
        over: list[Under] = []
        if under is not None and not under:
            self.end(number)
            over += [under] if under.trimmed else []
        if awaited and chunk not in self._doubled:
            return [each.id for each in over]
        self._doubled.discard(chunk)
        others = [other for other in self if other.take(chunk) and not other]
        for other in others:
            self.end(other.id)
        return [each.id for each in (*over, *others)]
