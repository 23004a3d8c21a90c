"""How many bytes chunks of one artifact have, and runs and sets of them."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from littoral.delivery.chunk_set import ChunkSet, Run

__all__ = ["Sizes"]


class Sizes:
    """The sizes of all chunks, in the order of their numbers."""

    __slots__ = ("_ends", "count", "mean", "total")

    def __init__(self, sizes: Iterable[int]) -> None:
        """Take them in.

        Args:
            sizes: bytes of each chunk, from chunk 0 on; at least one, each at least 1.
        """
        self._ends = array("Q", accumulate(sizes, initial=0))
        self.count = len(self._ends) - 1
        self.total = self._ends[-1]
        self.mean = max(1, self.total // self.count)
        """Bytes of a usual chunk."""

    def of(self, chunk: int) -> int:
        """Bytes of one chunk."""
        return self._ends[chunk + 1] - self._ends[chunk]

    def of_run(self, run: Run) -> int:
        """Bytes of a run."""
        return self._ends[run[1]] - self._ends[run[0]]

    def of_set(self, chunks: ChunkSet) -> int:
        """Bytes of a set; as quick as it has few runs."""
        return sum(map(self.of_run, chunks.runs()))

    def reach(self, run: Run, most: int) -> int:
        """Where to cut a run so that its beginning has at most so many bytes, or is one chunk."""
        first, end = run
        return max(first + 1, min(end, bisect_right(self._ends, self._ends[first] + most) - 1))
