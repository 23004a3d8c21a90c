"""Comparing a query with the vectors of the truth themselves: exact, and without any index.

It is how a field is searched while its index can't be used. Scores are in double precision.

Not here: the index (`indexing.py`); the order among equal scores.
"""

# ruff: noqa: S608 - names of tables and marks go in, values never

from collections.abc import Iterator, Sequence
from typing import Any, Final

from littoral.adapters.memory.embedded.reading import Reader
from littoral.terms.errors import MissingExtraError
from littoral.terms.memory import Metric, VectorField

__all__ = ["Array", "batches", "best", "compared", "numpy"]

Array = Any
"""Of numpy, which comes with an extra."""

_TOGETHER: Final = 1_000
"""Rows that are read and compared at once."""


def numpy() -> Any:  # noqa: ANN401 - a module
    """Numpy, if it is there.

    Raises:
        MissingExtraError: it is not.
    """
    try:
        import numpy as np  # noqa: PLC0415 - comes with an extra
    except ImportError:
        raise MissingExtraError(
            "searching by vectors needs numpy",
            advice="install it with `pip install 'littoral[memory]'`",
        ) from None
    return np


def compared(
    reader: Reader, number: int, field: VectorField, query: bytes, among: Sequence[int] | None
) -> tuple[Array, Array]:
    """Rows, ascending, and the score of each.

    Args:
        reader: the truth.
        number: of the field's table.
        field: how vectors are compared.
        query: packed.
        among: the numbers of rows that are meant, ascending; None is all.
    """
    np = numpy()
    asked = np.frombuffer(query, "<f4").reshape(-1, field.dimensions).astype(np.float64)
    rows, scores = [np.empty(0, np.int64)], [np.empty(0, np.float64)]
    for part, data in _read(reader, number, among):
        vectors = np.frombuffer(b"".join(data), "<f4").reshape(-1, field.dimensions)
        each = _scores(field.metric, vectors.astype(np.float64), asked)
        if field.multi:
            lengths = [len(one) // (4 * field.dimensions) for one in data]
            begins = np.cumsum([0, *lengths[:-1]])
            scores.append(np.maximum.reduceat(each, begins, axis=0).sum(axis=1))
        else:
            scores.append(each[:, 0])
        rows.append(np.array(part, np.int64))
    return np.concatenate(rows), np.concatenate(scores)


def best(rows: Array, scores: Array, count: int) -> list[tuple[int, float]]:
    """The best rows with their scores, and whatever is as good as the last of them."""
    np = numpy()
    if len(scores) > count:
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        rows, scores = rows[scores >= least], scores[scores >= least]
    return list(zip(rows.tolist(), scores.tolist(), strict=True))


def batches(reader: Reader, number: int, after: int = 0) -> Iterator[tuple[list[int], list[bytes]]]:
    """All vectors of rows after one, ascending."""
    while True:
        found = reader.database.read(
            f"SELECT row, data FROM vectors_{number} WHERE row > ? ORDER BY row LIMIT ?",
            (after, _TOGETHER),
        )
        if not found:
            return
        yield [row for row, _ in found], [data for _, data in found]
        after = found[-1][0]


def _read(
    reader: Reader, number: int, among: Sequence[int] | None
) -> Iterator[tuple[list[int], list[bytes]]]:
    if among is None:
        yield from batches(reader, number)
        return
    for start in range(0, len(among), _TOGETHER):
        part = [int(row) for row in among[start : start + _TOGETHER]]
        marks = ", ".join("?" * len(part))
        found = reader.database.read(
            f"SELECT row, data FROM vectors_{number} WHERE row IN ({marks}) ORDER BY row", part
        )
        if found:
            yield [row for row, _ in found], [data for _, data in found]


def _scores(metric: Metric, vectors: Array, query: Array) -> Array:
    """Of each vector, a line, with each of the query, a column."""
    np = numpy()
    if metric is Metric.L2:
        return np.stack([-((vectors - each) ** 2).sum(axis=1) for each in query], axis=1)
    products = vectors @ query.T
    if metric is Metric.DOT:
        return products
    lengths = np.outer(np.linalg.norm(vectors, axis=1), np.linalg.norm(query, axis=1))
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
