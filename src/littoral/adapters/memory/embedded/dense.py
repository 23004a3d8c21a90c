"""The vectors of a collection in memory, for exact comparison; derived from the truth.

Rules
- What is held is of one moment of the truth, and brought to a later one when a search needs that,
  by the rows that came and went. It is never changed in place: who searches keeps what they have.
- Scores are computed in double precision for whatever may be among the best.

Not here: which rows a filter leaves; the order among equal scores.
"""

# ruff: noqa: S608 - names of tables and marks go in, values never

from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from littoral.adapters.memory.embedded.layout import Layout
from littoral.adapters.memory.embedded.reading import Reader
from littoral.terms.errors import MissingExtraError
from littoral.terms.memory import Metric, VectorField

__all__ = ["Dense", "Held"]

Array = Any
"""Of numpy, which comes with an extra."""


_MARGIN: Final = 1e-5
"""Of float32 sums, relative to what is summed; generous."""
_PART: Final = 1_000
"""Records that are compared at once where each has many vectors."""


@dataclass(frozen=True, slots=True)
class Held:
    """All vectors of one field, as of one change."""

    field: VectorField
    through: int
    rows: Array
    """Their numbers, ascending."""
    starts: Array
    """Where each row's first vector is, and one past the last."""
    matrix: Array

    def best(self, query: bytes, count: int, among: Array | None) -> list[tuple[int, float]]:
        """Rows with their scores: the best, and whatever is as good as the last of them.

        Args:
            query: packed.
            count: how many are wanted.
            among: the numbers of rows that are meant, ascending; None is all.
        """
        np = _numpy()
        places = np.arange(len(self.rows))
        if among is not None:
            at = np.searchsorted(self.rows, among)
            at = at[at < len(self.rows)]
            places = np.intersect1d(at, at[np.isin(self.rows[at], among)])
        if not len(places):
            return []
        wanted = np.frombuffer(query, dtype="<f4").reshape(-1, self.field.dimensions)
        if self.field.multi:
            scores = self._most(wanted.astype(np.float64), places)
        else:
            places = self._candidates(wanted[0], places, count)
            scores = _scores(
                self.field.metric, self.matrix[places].astype(np.float64), wanted[:1].astype(float)
            )[:, 0]
        if len(scores) > count:
            least = np.partition(scores, len(scores) - count)[len(scores) - count]
            places, scores = places[scores >= least], scores[scores >= least]
        return list(zip(self.rows[places].tolist(), scores.tolist(), strict=True))

    def _candidates(self, query: Array, places: Array, count: int) -> Array:
        """Of many, those that single precision can't rule out."""
        np = _numpy()
        if len(places) <= 4 * count:
            return places
        vectors = self.matrix if len(places) == len(self.rows) else self.matrix[places]
        with np.errstate(all="ignore"):
            scores = _scores(self.field.metric, vectors, query[None])[:, 0]
            if self.field.metric is Metric.COSINE:
                margin = 10 * _MARGIN
            else:
                lengths = np.einsum("ij,ij->i", vectors, vectors).max() + query @ query
                margin = _MARGIN * float(lengths)
            least = np.partition(scores, len(scores) - count)[len(scores) - count]
            return places[~(scores < least - margin)]

    def _most(self, query: Array, places: Array) -> Array:
        """MaxSim: for each vector of the query its best one of the row."""
        np = _numpy()
        found = np.empty(len(places))
        for first in range(0, len(places), _PART):
            part = places[first : first + _PART]
            spans = [(self.starts[at], self.starts[at + 1]) for at in part]
            vectors = np.concatenate([self.matrix[start:end] for start, end in spans])
            lengths = [end - start for start, end in spans]
            scores = _scores(self.field.metric, vectors.astype(np.float64), query)
            begins = np.cumsum([0, *lengths[:-1]])
            found[first : first + _PART] = np.maximum.reduceat(scores, begins, axis=0).sum(axis=1)
        return found


class Dense:
    """What is held of each field of one collection."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._held: dict[str, Held] = {}
        self._lock = Lock()

    def held(self, name: str, reader: Reader) -> Held | None:
        """All vectors of a field as the reader sees them; None where later ones are held."""
        with self._lock:
            through = reader.through()
            held = self._held.get(name) or self._empty(name)
            if held.through > through:
                return None
            if held.through < through:
                held = self._held[name] = self._brought_on(held, name, reader, through)
            return held

    def _empty(self, name: str) -> Held:
        np = _numpy()
        field = self._layout.field(name)
        matrix = np.empty((0, field.dimensions), dtype=np.float32)
        return Held(field, 0, np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64), matrix)

    def _brought_on(self, held: Held, name: str, reader: Reader, through: int) -> Held:
        """What is held now, without what went and with what came."""
        np = _numpy()
        database, number = reader.database, self._layout.dense[name]
        ((oldest,),) = database.read("SELECT oldest_tombstone FROM state")
        if oldest > held.through:
            held = self._empty(name)
        gone = [
            row for (row,) in database.read("SELECT row FROM gone WHERE seq > ?", (held.through,))
        ]
        came = database.read(
            f"SELECT row, data FROM vectors_{number} WHERE row > ? ORDER BY row", (held.through,)
        )
        size = 4 * held.field.dimensions
        lengths = np.diff(held.starts)
        stay = ~np.isin(held.rows, gone)
        matrix = held.matrix if stay.all() else held.matrix[np.repeat(stay, lengths)]
        new = np.frombuffer(b"".join([data for _, data in came]), dtype="<f4")
        lengths = np.concatenate([lengths[stay], [len(data) // size for _, data in came]])
        return Held(
            held.field,
            through,
            np.concatenate([held.rows[stay], np.array([row for row, _ in came], dtype=np.int64)]),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.concatenate([matrix, new.reshape(-1, held.field.dimensions)]),
        )


def _scores(metric: Metric, vectors: Array, query: Array) -> Array:
    """Of each vector, a line, with each of the query, a column."""
    np = _numpy()
    products = vectors @ query.T
    match metric:
        case Metric.DOT:
            return products
        case Metric.COSINE:
            lengths = np.outer(np.linalg.norm(vectors, axis=1), np.linalg.norm(query, axis=1))
            return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
        case Metric.L2 if vectors.dtype == np.float64:
            return np.stack([-((vectors - each) ** 2).sum(axis=1) for each in query], axis=1)
        case Metric.L2:
            squares = np.einsum("ij,ij->i", vectors, vectors)
            return 2 * products - squares[:, None] - (query * query).sum(axis=1)[None]


def _numpy() -> Any:  # noqa: ANN401 - a module
    try:
        import numpy  # noqa: ICN001, PLC0415 - comes with an extra
    except ImportError:
        raise MissingExtraError(
            "searching by vectors needs numpy",
            advice="install it with `pip install 'littoral[memory]'`",
        ) from None
    return numpy
