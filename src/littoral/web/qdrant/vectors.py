"""Vectors of points: from the forms that Qdrant's API takes, and back into them.

Rules
- A vector without a name is the one named "".
- Qdrant keeps vectors to be compared by cosine at length one. Here they are kept as they came, and
  shown at length one; how near they are does not change by it.
- Indices of sparse vectors are put into their order.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from littoral.memory.checking import field_named
from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.memory import CollectionSpec, Metric, Record, Sparse, VectorField
from littoral.web.dialects.reading import checked
from littoral.web.packing import normalised, packed, packed_rows, unpacked
from littoral.web.qdrant.bodies import SparseVector

__all__ = ["Vectors", "as_shown", "dense_of", "field_of", "sparse_of", "vectors_of"]

_INFERRED: Final = frozenset({"text", "image", "object", "model"})


class Vectors(msgspec.Struct, frozen=True):
    """Vectors of one point, by their names."""

    dense: dict[str, bytes]
    sparse: dict[str, Sparse]


def vectors_of(spec: CollectionSpec, said: object) -> Vectors:
    """What a point says of its vectors.

    Raises:
        BadRequestError: they are malformed, or there are none of such a name.
        UnsupportedError: they are to be made of something else.
    """
    found = Vectors({}, {})
    if said is None:
        return found
    if not isinstance(said, dict):
        found.dense[""] = dense_of(field_named(spec, ""), said)
        return found
    if said.keys() & _INFERRED and not said.keys() & _names(spec):
        raise _no_inference()
    for name, vector in said.items():
        if not isinstance(vector, dict):
            found.dense[name] = dense_of(field_named(spec, name), vector)
        elif vector.keys() & _INFERRED:
            raise _no_inference()
        else:
            found.sparse[name] = sparse_of(vector)
    return found


def dense_of(field: VectorField, said: object) -> bytes:
    """A list of numbers, or of lists of numbers, packed."""
    if isinstance(said, list) and said and isinstance(said[0], list):
        if not field.multi and len(said) > 1:
            raise BadRequestError(
                f"{field.name or 'the collection'} keeps one vector, not {len(said)}",
                advice="make the collection with a multivector_config",
                param="vector",
            )
        return packed_rows(said, field.dimensions)
    return packed(said)


def sparse_of(said: Mapping[str, object]) -> Sparse:
    """A sparse vector, its indices in order."""
    vector = checked(said, SparseVector)
    if len(vector.indices) != len(vector.values):
        raise BadRequestError("a sparse vector must have as many values as indices")
    pairs = sorted(zip(vector.indices, vector.values, strict=True))
    return Sparse(tuple(index for index, _ in pairs), tuple(value for _, value in pairs))


def field_of(spec: CollectionSpec, name: str) -> VectorField | None:
    """The dense vector of this name; None where it is a sparse one."""
    return None if name in spec.sparse else field_named(spec, name)


def as_shown(spec: CollectionSpec, record: Record, wanted: bool | Sequence[str] | None) -> object:
    """The vectors of a record that are wanted, as an answer has them; None where none are."""
    if wanted is None or wanted is False:
        return None
    names = _names(spec) if wanted is True else frozenset(wanted)
    shown: dict[str, object] = {}
    for field in spec.vectors:
        vector = record.vectors.get(field.name)
        if vector is not None and field.name in names:
            shown[field.name] = _dense_as_shown(field, vector)
    shown |= {name: sparse for name, sparse in record.sparse.items() if name in names}
    return shown[""] if shown.keys() == {""} else shown


def _dense_as_shown(field: VectorField, vector: bytes) -> list[float] | list[list[float]]:
    numbers = unpacked(vector)
    size = field.dimensions if field.multi else len(numbers)
    rows = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    if field.metric is Metric.COSINE:
        rows = [normalised(row) for row in rows]
    return rows if field.multi else rows[0]


def _names(spec: CollectionSpec) -> frozenset[str]:
    return frozenset([field.name for field in spec.vectors] + [*spec.sparse])


def _no_inference() -> UnsupportedError:
    return UnsupportedError(
        "vectors of texts and images are not made here on the way in",
        advice="send the vector; or make the collection with a model (/v1/memory) and send "
        "the text as `$text` of the payload",
        param="vector",
    )
