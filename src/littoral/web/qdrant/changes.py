"""Qdrant's changes of points as writes of a collection.

One request is one write of the collection: all of it is done, or nothing. A batch of operations is
one too, which Qdrant does not promise.
"""

from collections.abc import Iterator, Sequence
from typing import Final, assert_never

from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.filters import All, Filter, Ids
from littoral.terms.memory import (
    CollectionSpec,
    Delete,
    DeleteWhere,
    Patch,
    Record,
    Write,
)
from littoral.terms.memory import Upsert as Kept
from littoral.web.contents import check_plain, filled
from littoral.web.qdrant.bodies import (
    Batch,
    Operation,
    Point,
    Selector,
    SetPayload,
    UnsetPayload,
    UnsetVectors,
    UpdateVectors,
    Upsert,
)
from littoral.web.qdrant.filters import filter_of
from littoral.web.qdrant.ids import new_record_id, record_id
from littoral.web.qdrant.vectors import vectors_of

__all__ = [
    "cleared",
    "deleted",
    "moved",
    "named_ids",
    "operated",
    "overwritten",
    "payload_set",
    "payload_unset",
    "upserted",
    "vectors_unset",
]

_EVERY: Final = All(())


def upserted(spec: CollectionSpec, body: Upsert) -> Sequence[Write]:
    """Points to keep, each whole."""
    points = body.points if body.batch is None else list(_rows(body.batch))
    if not points:
        raise _empty()
    return [Kept(tuple(_record(spec, point) for point in points))]


def deleted(_: CollectionSpec, body: Selector) -> Sequence[Write]:
    """Points to forget."""
    where = _meant(body)
    return [DeleteWhere(where) if body.points is None else Delete(named_ids(body))]


def payload_set(_: CollectionSpec, body: SetPayload) -> Sequence[Write]:
    """Members to put over those of payloads; null takes one away."""
    if body.key is not None:
        raise UnsupportedError(
            "a payload is set at its outermost names alone, not below a key",
            advice="set the whole of the outermost one",
            param="key",
        )
    check_plain([*body.payload])
    metadata = {name: value for name, value in body.payload.items() if value is not None}
    without = tuple(name for name, value in body.payload.items() if value is None)
    return [Patch(where=_meant(body), metadata=metadata, without=without)]


def overwritten(_: CollectionSpec, body: SetPayload) -> Sequence[Write]:
    """Payloads to put in the place of those that are there."""
    if body.key is not None:
        raise UnsupportedError("a payload is overwritten whole", param="key")
    check_plain([*body.payload])
    return [Patch(where=_meant(body), metadata=body.payload, replace=True)]


def payload_unset(_: CollectionSpec, body: UnsetPayload) -> Sequence[Write]:
    """Members to take away from payloads."""
    check_plain(body.keys)
    if any(mark in key for key in body.keys for mark in '.["'):
        raise UnsupportedError(
            "the outermost names of a payload are taken away, not what is below them",
            advice="set the whole of the outermost one",
            param="keys",
        )
    return [Patch(where=_meant(body), without=tuple(body.keys))]


def cleared(_: CollectionSpec, body: Selector) -> Sequence[Write]:
    """Payloads to empty."""
    return [Patch(where=_meant(body), replace=True)]


def moved(spec: CollectionSpec, body: UpdateVectors) -> Sequence[Write]:
    """Vectors to put over those that are there."""
    writes = []
    for point in body.points:
        vectors = vectors_of(spec, point.vector)
        where = Ids((record_id(point.id),))
        writes.append(Patch(where=where, vectors=vectors.dense, sparse=vectors.sparse))
    return writes


def vectors_unset(spec: CollectionSpec, body: UnsetVectors) -> Sequence[Write]:
    """Vectors to take away."""
    dense = {field.name for field in spec.vectors}
    for name in body.vector:
        if name not in dense and name not in spec.sparse:
            raise BadRequestError(f"there is no vector named {name[:80]!r}", param="vector")
    return [
        Patch(
            where=_meant(body),
            vectors={name: None for name in body.vector if name in dense},
            sparse={name: None for name in body.vector if name not in dense},
        )
    ]


def operated(spec: CollectionSpec, body: Operation) -> Sequence[Write]:
    """One operation of a batch."""
    given = [
        each
        for each in (getattr(body, name) for name in body.__struct_fields__)
        if each is not None
    ]
    if len(given) != 1:
        raise BadRequestError("an operation says exactly one thing to do", param="operations")
    match body:
        case Operation(upsert=Upsert() as one):
            return upserted(spec, one)
        case Operation(delete=Selector() as one):
            return deleted(spec, one)
        case Operation(set_payload=SetPayload() as one):
            return payload_set(spec, one)
        case Operation(overwrite_payload=SetPayload() as one):
            return overwritten(spec, one)
        case Operation(delete_payload=UnsetPayload() as one):
            return payload_unset(spec, one)
        case Operation(clear_payload=Selector() as one):
            return cleared(spec, one)
        case Operation(update_vectors=UpdateVectors() as one):
            return moved(spec, one)
        case _:
            assert body.delete_vectors is not None
            return vectors_unset(spec, body.delete_vectors)


def named_ids(body: Selector | UpdateVectors) -> tuple[str, ...]:
    """The ids of the records that are named one by one, each once."""
    match body:
        case UpdateVectors(points=moving):
            points = [each.id for each in moving]
        case Selector(points=named):
            points = named or []
        case _:
            assert_never(body)
    return tuple(dict.fromkeys(record_id(point) for point in points))


def _meant(body: Selector) -> Filter:
    if body.points is not None:
        if not body.points:
            raise _empty()
        return Ids(named_ids(body))
    if body.filter is None:
        raise BadRequestError("neither points nor a filter say which points are meant")
    return filter_of(body.filter) or _EVERY


def _rows(batch: Batch) -> Iterator[Point]:
    count = len(batch.ids)
    columns = batch.vectors
    payloads = batch.payloads or [None] * count
    lengths = (
        [len(column) for column in columns.values()]
        if isinstance(columns, dict)
        else [len(columns)]
    )
    if any(length != count for length in (*lengths, len(payloads))):
        raise BadRequestError("the batch has not as many vectors and payloads as ids")
    for place, (point, payload) in enumerate(zip(batch.ids, payloads, strict=True)):
        vector: object = (
            {name: column[place] for name, column in columns.items()}
            if isinstance(columns, dict)
            else columns[place]
        )
        yield Point(point, vector, payload)


def _record(spec: CollectionSpec, point: Point) -> Record:
    vectors = vectors_of(spec, point.vector)
    record = Record(id=new_record_id(point.id), vectors=vectors.dense, sparse=vectors.sparse)
    return filled(record, point.payload)


def _empty() -> BadRequestError:
    return BadRequestError("the request names no points", advice="name at least one")
