"""What tests of the vector index share: a truth in memory, and what it says is nearest."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from littoral.adapters.memory.scan import Among, Neighbours, Truth, VectorScan
from littoral.terms.memory import Metric

BATCH = 1_000


def clustered(count: int, dimensions: int, seed: int = 0) -> np.ndarray:
    """Vectors in groups, as texts are."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((64, dimensions))
    noise = rng.standard_normal((count, dimensions))
    return (centres[rng.integers(64, size=count)] + 0.7 * noise).astype(np.float32)


@dataclass
class Vectors:
    """A truth: rows with vectors, and the number of its last change."""

    dimensions: int
    metric: Metric
    sequence: int = 0
    row: int = 0
    held: dict[int, np.ndarray] = field(default_factory=dict)

    def change(self, scan: VectorScan, removed: list[int], brought: np.ndarray) -> list[int]:
        """Change the truth, then the index. Gives the new rows."""
        rows = list(range(self.row + 1, self.row + 1 + len(brought)))
        self.row += len(brought)
        self.sequence += 1
        for row in removed:
            self.held.pop(row, None)
        self.held |= dict(zip(rows, brought, strict=True))
        scan.change(self.sequence, np.array(removed, np.int64), np.array(rows, np.int64), brought)
        return rows

    def opened(self, before: Callable[[], object] = lambda: None) -> Truth:
        """As it is now."""
        rows = np.array(sorted(self.held), np.int64)
        vectors = np.array([self.held[row] for row in rows], np.float32)
        vectors = vectors.reshape(-1, self.dimensions)

        def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for begin in range(0, len(rows), BATCH):
                before()
                yield rows[begin : begin + BATCH], vectors[begin : begin + BATCH]

        return Truth(self.sequence, batches())

    def scores(self, query: np.ndarray, among: list[int] | None = None) -> dict[int, float]:
        """The score of each row."""
        wanted = self.held if among is None else [row for row in among if row in self.held]
        return {row: self._score(query, self.held[row]) for row in wanted}

    def nearest(
        self, query: np.ndarray, count: int, among: list[int] | None = None
    ) -> list[tuple[int, float]]:
        """Rows with scores, best first."""
        scores = self.scores(query, among)
        return sorted(scores.items(), key=lambda each: (-each[1], each[0]))[:count]

    def _score(self, query: np.ndarray, vector: np.ndarray) -> float:
        one, other = query.astype(np.float64), vector.astype(np.float64)
        match self.metric:
            case Metric.L2:
                return -float(np.square(one - other).sum())
            case Metric.DOT:
                return float(one @ other)
            case Metric.COSINE:
                lengths = np.linalg.norm(one) * np.linalg.norm(other)
                return float(one @ other / lengths) if lengths else 0.0


def agree(found: Neighbours, wanted: list[tuple[int, float]]) -> None:
    """The same scores, and the same rows where no others are as near."""
    scores = [score for _, score in wanted]
    assert len(found.rows) == len(wanted)
    assert np.allclose(found.scores, scores, rtol=1e-4, atol=1e-4)
    assert (np.diff(found.scores) <= 0).all()
    for place, (row, score) in enumerate(wanted):
        near = [other for other in scores if abs(other - score) < 1e-3 + abs(score) * 1e-3]
        if len(near) == 1 and place + 1 < len(wanted):
            assert found.rows[place] == row


def recall(
    scan: VectorScan, truth: Vectors, queries: np.ndarray, among: Among | None = None
) -> float:
    """The share of the ten nearest that a search finds."""
    rows = np.array(sorted(truth.held) if among is None else among.rows)
    rows = np.array([row for row in rows if row in truth.held])
    vectors = np.array([truth.held[row] for row in rows])
    if truth.metric is Metric.COSINE:
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    hits = 0
    for query in queries:
        scores = (
            -np.square(vectors - query).sum(axis=1)
            if truth.metric is Metric.L2
            else vectors @ query
        )
        wanted = rows[np.argsort(-scores)[:10]]
        hits += len(set(wanted) & set(scan.search(query, 10, among).rows))
    return hits / (10 * len(queries))
