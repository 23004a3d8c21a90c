"""Sets of real vectors for benches, what is truly nearest in them, and engines that search them.

Rules
- The texts are real, and so are their vectors (bench/stand/embedding.py); queries are texts from
  elsewhere than documents.
- A million vectors are each real one and nine noisy neighbours of it; 768 and 1,536 dimensions are
  two and four vectors of different texts, one after the other, so that nothing in them is repeated.
- What is truly nearest is found by comparing everything, once, and kept.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from bench.peers.vector_engines import COUNT, WANTED
from bench.stand.embedding import TEXTS, documents, queries
from bench.stand.running import ROOT, Running, running

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["Asked", "Searcher", "VectorSet", "searcher", "vector_set"]

NOISE: Final = 0.035
"""Of each dimension: a neighbour's cosine to the real one is about 0.82."""

FEW_MORE: Final = 2
MILLION: Final = 10
"""Times the real vectors."""

TOGETHER: Final = 65_536
PEERS_PYTHON: Final = ROOT / ".peers/memory/bin/python"
OURS_PYTHON: Final = ROOT / ".venv/bin/python"


@dataclass(frozen=True, slots=True)
class VectorSet:
    """Vectors and queries on disk, and what is nearest, also among one in ten and in a hundred."""

    vectors: Path
    queries: Path
    nearest: dict[int, list[list[int]]]
    """By the share that is searched; 0 is all."""
    rows: int
    dimensions: int


def vector_set(folder: Path, rows: int, *, times: int = 1, asked: int = 1_000) -> VectorSet:
    """Make one.

    Args:
        folder: where it lies.
        rows: how many there are at most; from FEW_MORE times the real ones on, all with neighbours.
        times: real vectors in each.
        asked: queries.
    """
    import numpy as np

    real, wanted = documents(), queries()[:asked]
    vectors = _widened(real[:rows], times)
    wanted = _widened(wanted, times)
    path = folder / f"vectors-{rows}x{vectors.shape[1]}.npy"
    if rows > FEW_MORE * len(real):
        vectors = _with_neighbours(path, real)
    else:
        np.save(path, vectors)
    asked_path = folder / f"queries-{asked}x{vectors.shape[1]}.npy"
    np.save(asked_path, wanted)
    nearest = {0: _nearest(vectors, wanted, 1, 0)}
    if rows <= FEW_MORE * len(real) and times == 1:
        nearest |= {n: _nearest(vectors, wanted, n, value) for n, value in WANTED.items()}
    return VectorSet(path, asked_path, nearest, *vectors.shape)


def _widened(vectors: "Floats", times: int) -> "Floats":
    import numpy as np

    if times == 1:
        return vectors
    turned = [np.roll(vectors, -number, axis=0) for number in range(times)]
    return np.concatenate(turned, axis=1) / np.float32(times**0.5)


def _with_neighbours(path: Path, real: "Floats") -> "Floats":
    import numpy as np

    rng = np.random.default_rng(1)
    count = len(real)
    shape = (MILLION * count, real.shape[1])
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    vectors[:count] = real
    for number in range(1, MILLION):
        near = real + NOISE * rng.standard_normal(real.shape, dtype=np.float32)
        near /= np.linalg.norm(near, axis=1, keepdims=True)
        vectors[number * count : (number + 1) * count] = near
    return cast("Floats", vectors)


def _nearest(vectors: "Floats", wanted: "Floats", share: int, value: int) -> list[list[int]]:
    """Rows of the nearest of one in `share`, by comparing all."""
    import numpy as np

    scores = np.empty((len(wanted), 0), np.float32)
    rows = np.empty((len(wanted), 0), np.int64)
    for begin in range(0, len(vectors), TOGETHER):
        numbers = np.arange(begin, min(begin + TOGETHER, len(vectors)))
        numbers = numbers[numbers % share == value]
        part = wanted @ vectors[numbers].T
        best = np.argpartition(-part, COUNT, axis=1)[:, :COUNT]
        scores = np.concatenate([scores, np.take_along_axis(part, best, axis=1)], axis=1)
        rows = np.concatenate([rows, numbers[best]], axis=1)
    order = np.argsort(-scores, axis=1)[:, :COUNT]
    found: list[list[int]] = np.take_along_axis(rows, order, axis=1).tolist()
    return found


@dataclass(slots=True)
class Asked:
    """What some searches gave."""

    rate: float
    """Queries a second of one core."""
    recall: float
    p50_ms: float
    wall_rate: float


@dataclass(slots=True)
class Searcher:
    """An engine that has taken everything in."""

    name: str
    set: VectorSet
    process: Running
    taken_s: float
    built_s: float
    built_cpu_s: float
    ram_bytes: int
    efforts: Sequence[int]
    effort: int
    begin: int = field(default=0)

    def ask(
        self, count: int, share: int = 0, *, seconds: float = 3.0, writer: bool = False
    ) -> Asked:
        """Search, each time with other queries.

        Raises:
            RuntimeError: it failed.
        """
        asked = {"begin": self.begin, "count": count, "effort": self.effort, "share": share}
        try:
            said = self.process.ask({**asked, "seconds": seconds, "writer": writer})
        except (OSError, EOFError, ValueError) as error:
            self.process.process.kill()  # what hangs would go on beside the others
            raise RuntimeError(str(error)) from error
        if "error" in said:
            raise RuntimeError(said["error"])
        found = cast("list[list[int]]", said["found"])
        self.begin = (self.begin + len(found)) % len(self.set.nearest[0])
        truth = self.set.nearest[share]
        hits = sum(len(set(rows) & set(truth[number])) for number, *rows in found)
        cpu_s, wall_s = cast("float", said["cpu_s"]), cast("float", said["wall_s"])
        return Asked(
            len(found) / max(cpu_s, 1e-9),
            hits / (COUNT * len(found)),
            cast("float", said["p50_ms"]),
            len(found) / wall_s,
        )

    def settle(self, recall: float, count: int, seconds: float) -> None:
        """Take the least effort that gives this recall, or the most."""
        for effort in self.efforts:
            self.effort = effort
            if self.ask(count, seconds=seconds).recall >= recall:
                return


@contextmanager
def searcher(name: str, given: VectorSet, folder: Path, wait_s: float) -> Iterator[Searcher]:
    """Start an engine and wait until everything is in.

    Raises:
        RuntimeError: it failed, or was not ready in time.
    """
    home = folder / f"{name}-{given.rows}x{given.dimensions}"
    home.mkdir()
    python = OURS_PYTHON if name.startswith("littoral") else PEERS_PYTHON
    texts = TEXTS / "documents.txt"
    words: list[str | Path] = [python, "-m", "bench.peers.vectors", name]
    words += [given.vectors, given.queries, texts, home]
    with running(words, wait_s=wait_s) as process:
        said: dict[str, Any] = process.said
        yield Searcher(
            name,
            given,
            process,
            said["taken_s"],
            said["built_s"],
            said["built_cpu_s"],
            said["ram"],
            said["efforts"],
            said["efforts"][0],
        )
