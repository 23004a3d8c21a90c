"""What a collection can take: the checks that every driver makes before it does anything.

Values that pass can be stored as they are; nothing is repaired or cut.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from struct import Struct

from littoral.memory.filters import check_filter, fits
from littoral.terms.errors import BadRequestError
from littoral.terms.limits import (
    COLLECTION_FIELDS_MAX,
    COLLECTION_VECTORS_MAX,
    FUSED_DEPTH_MAX,
    MULTI_VECTORS_MAX,
    PREFETCHES_MAX,
    RECORD_DOCUMENT_CHARS_MAX,
    RECORD_ID_BYTES_MAX,
    RECORD_LABEL_CHARS_MAX,
    RECORD_LABELS_MAX,
    RECORD_METADATA_BYTES_MAX,
    RECORD_TEXT_BYTES_MAX,
    SPARSE_INDICES_MAX,
    VECTOR_DIMENSIONS_MAX,
)
from littoral.terms.memory import (
    COLLECTION_NAME,
    CollectionSpec,
    Delete,
    DeleteWhere,
    Fused,
    Like,
    Nearest,
    Patch,
    Query,
    Record,
    Search,
    Sparse,
    SparseNearest,
    Upsert,
    VectorField,
    Words,
    Write,
)

__all__ = ["check_search", "check_spec", "check_writes", "field_named"]

_NUMBER = Struct("<f")
_NUMBER_BYTES = _NUMBER.size
_FLOAT32_MAX = (2 - 2**-23) * 2.0**127
_POSITION_END = 2**63


def check_spec(spec: CollectionSpec) -> None:
    """Refuse a collection that can't be.

    Raises:
        BadRequestError: with what to mend; as all here.
    """
    if re.fullmatch(COLLECTION_NAME, spec.name) is None:
        raise BadRequestError(
            f"{spec.name[:80]!r} can't be the name of a collection",
            advice="have 1 to 128 letters, digits and . _ -, beginning with a letter or digit",
            param="name",
        )
    names = [field.name for field in spec.vectors] + list(spec.sparse)
    if len(names) != len(set(names)):
        raise BadRequestError("two vectors of the collection have one name", param="vectors")
    if len(names) > COLLECTION_VECTORS_MAX:
        raise BadRequestError(f"a collection has at most {COLLECTION_VECTORS_MAX} vectors")
    if len(spec.fields) > COLLECTION_FIELDS_MAX:
        raise BadRequestError(f"a collection declares at most {COLLECTION_FIELDS_MAX} fields")
    for field in spec.vectors:
        if not 1 <= field.dimensions <= VECTOR_DIMENSIONS_MAX:
            raise BadRequestError(
                f"{field.dimensions} dimensions are not possible",
                advice=f"have 1 to {VECTOR_DIMENSIONS_MAX}",
                param="vectors",
            )
    for name in spec.fields:
        if not name or name.startswith("$"):
            raise BadRequestError(f"{name[:80]!r} can't be the name of a field", param="fields")


def check_writes(spec: CollectionSpec, writes: Sequence[Write]) -> None:
    """Refuse changes of which one can't be made."""
    for write in writes:
        match write:
            case Upsert(records=records):
                for record in records:
                    _check_record(spec, record)
            case Delete(ids=ids):
                for each in ids:
                    _check_id(each)
            case DeleteWhere(where=where):
                check_filter(where)
            case Patch():
                check_filter(write.where)
                if len(write.header or "") > RECORD_TEXT_BYTES_MAX:
                    raise BadRequestError(
                        f"the header is over {RECORD_TEXT_BYTES_MAX} bytes", param="header"
                    )
                _check_metadata(write.metadata)
                _check_vectors(spec, _present(write.vectors))
                _check_sparse(spec, _present(write.sparse))


def check_search(spec: CollectionSpec, search: Search) -> None:
    """Refuse what can't be looked for."""
    check_filter(search.where)
    if _count(search.query) > PREFETCHES_MAX:
        raise BadRequestError(
            f"a fusion has at most {PREFETCHES_MAX} branches, all levels together", param="query"
        )
    _check_query(spec, search.query, 0)


def field_named(spec: CollectionSpec, name: str) -> VectorField:
    """The vector field of this name."""
    found = next((field for field in spec.vectors if field.name == name), None)
    if found is None:
        there = ", ".join(repr(field.name) for field in spec.vectors) or "none"
        raise BadRequestError(
            f"{spec.name} has no vector named {name[:80]!r}", advice=f"it has {there}"
        )
    return found


def _present(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _count(query: Query) -> int:
    """Queries within a query."""
    if not isinstance(query, Fused):
        return 0
    return sum(1 + _count(branch.query) for branch in query.branches)


def _check_query(spec: CollectionSpec, query: Query, depth: int) -> None:
    match query:
        case Nearest(vector=vector, field=name):
            _check_vector(field_named(spec, name), vector)
        case SparseNearest(vector=sparse, field=name):
            _check_sparse(spec, {name: sparse})
        case Fused(branches=branches):
            if not branches or depth == FUSED_DEPTH_MAX:
                raise BadRequestError("a fusion needs something to fuse, and is not too deep")
            for branch in branches:
                check_filter(branch.where)
                _check_query(spec, branch.query, depth + 1)
        case Words(text=text) | Like(text=text):
            if not text.strip():
                raise BadRequestError("the question is empty", param="query")
            if len(text) > RECORD_TEXT_BYTES_MAX:
                raise BadRequestError(
                    "the question is too long",
                    advice=f"ask in at most {RECORD_TEXT_BYTES_MAX} characters",
                    param="query",
                )


def _check_record(spec: CollectionSpec, record: Record) -> None:
    _check_id(record.id)
    _check_vectors(spec, record.vectors)
    _check_sparse(spec, record.sparse)
    if len(record.text) + len(record.header) > RECORD_TEXT_BYTES_MAX:
        raise BadRequestError(
            f"the text of {record.id!r} is over {RECORD_TEXT_BYTES_MAX} bytes",
            advice="cut it into passages",
        )
    if len(record.labels) > RECORD_LABELS_MAX:
        raise BadRequestError(f"{record.id!r} has over {RECORD_LABELS_MAX} labels")
    if any(len(label) > RECORD_LABEL_CHARS_MAX for label in record.labels):
        raise BadRequestError(
            f"{record.id!r} has a label of over {RECORD_LABEL_CHARS_MAX} characters", param="labels"
        )
    if len(record.document) > RECORD_DOCUMENT_CHARS_MAX:
        raise BadRequestError(
            f"{record.id!r} is of a document whose name is over {RECORD_DOCUMENT_CHARS_MAX} "
            "characters",
            param="document",
        )
    if not -_POSITION_END <= record.position < _POSITION_END:
        raise BadRequestError(f"the position of {record.id!r} has over 64 bits", param="position")
    _check_metadata(record.metadata)


def _check_id(record_id: str) -> None:
    if not record_id or len(record_id.encode()) > RECORD_ID_BYTES_MAX:
        raise BadRequestError(
            f"{record_id[:40]!r} can't be an id",
            advice=f"have 1 to {RECORD_ID_BYTES_MAX} bytes",
            param="id",
        )


def _check_vectors(spec: CollectionSpec, vectors: Mapping[str, object]) -> None:
    for name, vector in vectors.items():
        _check_vector(field_named(spec, name), vector)


def _check_vector(field: VectorField, vector: object) -> None:
    assert isinstance(vector, bytes)
    rows, rest = divmod(len(vector), field.dimensions * _NUMBER_BYTES)
    if rest or not rows or (rows > 1 and not field.multi):
        raise BadRequestError(
            f"a vector has {len(vector) // _NUMBER_BYTES} dimensions, "
            f"and {field.name or 'the collection'} is made for {field.dimensions}",
            advice="use the model that the collection was made for",
            param="vector",
        )
    if rows > MULTI_VECTORS_MAX:
        raise BadRequestError(f"one record has at most {MULTI_VECTORS_MAX} vectors of one name")
    if not _finite(vector):
        raise BadRequestError("a vector has a number that is not finite", param="vector")


def _finite(vector: bytes) -> bool:
    """Whether all packed numbers are.

    One that is not has 0x7f or 0xff as its last byte. So have numbers beyond 1.7e38, which few
    vectors have: only then is each looked at.
    """
    last = vector[_NUMBER_BYTES - 1 :: _NUMBER_BYTES]
    if b"\x7f" not in last and b"\xff" not in last:
        return True
    return math.isfinite(sum(number for (number,) in _NUMBER.iter_unpack(vector)))


def _check_sparse(spec: CollectionSpec, vectors: Mapping[str, object]) -> None:
    for name, vector in vectors.items():
        if name not in spec.sparse:
            raise BadRequestError(f"{spec.name} has no sparse vector named {name[:80]!r}")
        assert isinstance(vector, Sparse)
        if len(vector.indices) != len(vector.values) or len(vector.indices) > SPARSE_INDICES_MAX:
            raise BadRequestError(
                "a sparse vector has as many values as indices, "
                f"and at most {SPARSE_INDICES_MAX} of them"
            )
        if any(one == next_ for one, next_ in pairwise(sorted(vector.indices))):
            raise BadRequestError("a sparse vector says one index twice")
        if not all(abs(value) <= _FLOAT32_MAX for value in vector.values):
            raise BadRequestError("a sparse vector has a number that float32 can't say")


def _check_metadata(metadata: Mapping[str, object]) -> None:
    size = 0
    for piece in _pieces(metadata):
        size += piece
        if size > RECORD_METADATA_BYTES_MAX:
            raise BadRequestError(
                f"the metadata of one record is over {RECORD_METADATA_BYTES_MAX} bytes",
                param="metadata",
            )


def _pieces(value: object) -> Iterator[int]:
    """About how many bytes each part of a JSON value takes."""
    if isinstance(value, str):
        yield len(value)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if not isinstance(key, str):
                raise BadRequestError("the metadata has a key that is no text", param="metadata")
            yield len(key)
            yield from _pieces(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _pieces(each)
    else:
        if not (value is None or isinstance(value, int | float)):
            raise BadRequestError(
                f"the metadata has a {type(value).__name__}",
                advice="have texts, numbers, true, false, null, lists and objects",
                param="metadata",
            )
        if not fits(value or 0):
            raise BadRequestError(
                "the metadata has a number that is not finite, or has over 64 bits",
                param="metadata",
            )
        yield 8
