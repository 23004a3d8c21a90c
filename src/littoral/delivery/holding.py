"""What a PoP holds of an artifact while it pulls, and who vouches for it.

In a draft a chunk is as right as whoever vouches for its hash. Where a whole file turns out wrong,
the chunks of one voucher after the other are read again at the origin, until it is right.
"""

from collections.abc import Iterable

from littoral.delivery.chunk_set import ChunkSet, Run
from littoral.terms.ids import PopId
from littoral.terms.limits import NEWS_RUNS_MAX

__all__ = ["Holding", "runs_of"]


def runs_of(chunks: Iterable[int]) -> list[Run]:
    """Numbers, in any order, as runs; ascending where they are."""
    runs: list[Run] = []
    for chunk in sorted(chunks):
        if runs and runs[-1][1] == chunk:
            runs[-1] = (runs[-1][0], chunk + 1)
        else:
            runs.append((chunk, chunk + 1))
    return runs


class Holding:
    """Chunks held, and those that came since others were told."""

    __slots__ = ("_flags", "_fresh", "_settled", "_vouchers", "all", "doubted", "lacking", "lost")

    def __init__(self, count: int, has: ChunkSet) -> None:
        """Begin with what was held before.

        Args:
            count: chunks of the artifact.
            has: those that are here.
        """
        self.all = ChunkSet.of_runs([(0, count)])
        assert not has - self.all, "it holds chunks of the artifact only"
        self._settled = has
        self.lacking = count - len(has)
        """Chunks that are not held."""
        self._flags = bytearray(count)
        for first, end in has.runs():
            self._flags[first:end] = b"\1" * (end - first)
        self._fresh: list[int] = []
        """Came since the set was last put together."""
        self._vouchers: dict[int, PopId] = {}
        self.doubted = ChunkSet()
        """To be read again, at the origin only."""
        self.lost = ChunkSet()
        """Doubted since others were told."""

    def add(self, chunk: int, voucher: PopId) -> bool:
        """A chunk came; whether it was lacking. An empty voucher vouches for nothing but itself."""
        if self._flags[chunk]:
            return False
        self._flags[chunk] = 1
        self.lacking -= 1
        self._fresh.append(chunk)
        if voucher:
            self._vouchers[chunk] = voucher
        return True

    def fresh(self) -> list[Run]:
        """What came since this was last asked, as runs; no more of them than news may have."""
        runs = runs_of(self._fresh)
        said, rest = runs[:NEWS_RUNS_MAX], runs[NEWS_RUNS_MAX:]
        self._settled |= ChunkSet.of_runs(runs)
        self._fresh = [chunk for first, end in rest for chunk in range(first, end)]
        return said

    @property
    def set(self) -> ChunkSet:
        """All that is held."""
        return self._settled | ChunkSet.of(self._fresh) if self._fresh else self._settled

    def suspects(self, run: Run) -> dict[PopId, ChunkSet]:
        """Of these chunks, those that others vouch for, by voucher."""
        by: dict[PopId, list[int]] = {}
        for chunk in range(*run):
            if chunk in self._vouchers and self._flags[chunk]:
                by.setdefault(self._vouchers[chunk], []).append(chunk)
        return {pop: ChunkSet.of(chunks) for pop, chunks in sorted(by.items())}

    def doubt(self, chunks: ChunkSet) -> None:
        """Have these, which are held and vouched for by others, read again."""
        self._settled -= chunks
        self._fresh = [chunk for chunk in self._fresh if chunk not in chunks]
        for chunk in chunks:
            self._flags[chunk] = 0
        self.lacking += len(chunks)
        self.doubted |= chunks
        self.lost |= chunks

    def trust(self, chunks: ChunkSet) -> None:
        """These, which were doubted, do not have to be read again."""
        for chunk in chunks:
            self._flags[chunk] = 1
        self._fresh.extend(chunks)
        self.lacking -= len(chunks)
        self.doubted -= chunks
        self.lost -= chunks

    def read_again(self, chunk: int) -> PopId:
        """A doubted chunk came from the origin; who had vouched for it."""
        self.doubted -= ChunkSet.of_runs([(chunk, chunk + 1)])
        return self._vouchers.pop(chunk)
