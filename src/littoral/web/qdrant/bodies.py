"""Bodies of Qdrant's requests, as far as they are served.

What only tunes (`hnsw_ef`, `timeout`, `wait`) is ignored. What would change the answer, and is not
done here, is declared as null, and so refused. What has many forms is taken as it is and read by
whoever knows the collection: vectors (`vectors.py`), conditions (`filters.py`), queries
(`queries.py`).
"""

from typing import Annotated, Literal

import msgspec

__all__ = [
    "Anything",
    "Batch",
    "BatchQuery",
    "Conditions",
    "Count",
    "Create",
    "GroupQuery",
    "MinShould",
    "Operation",
    "Operations",
    "Params",
    "Payload",
    "MultiParams",
    "Point",
    "PointId",
    "PointVectors",
    "Prefetch",
    "Query",
    "Retrieve",
    "Scroll",
    "Search",
    "SearchBatch",
    "Selector",
    "SetPayload",
    "Sharded",
    "SparseParams",
    "SparseVector",
    "UnsetPayload",
    "UnsetVectors",
    "UpdateVectors",
    "Upsert",
    "VectorParams",
]

PointId = int | str
Payload = dict[str, object]

_Limit = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
_Offset = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
_Size = Annotated[int, msgspec.Meta(ge=1, le=65_536)]
_Selection = bool | list[str] | Payload
"""Which parts of a payload are wanted."""
_Names = bool | list[str]


class Anything(msgspec.Struct, frozen=True):
    """Whatever it says has no effect."""


class Sharded(msgspec.Struct, frozen=True):
    """Names no shard: there are none here."""

    shard_key: None = None


class MinShould(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many of these hold."""

    conditions: list[Payload]
    min_count: Annotated[int, msgspec.Meta(ge=1)]


class Conditions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A filter."""

    must: list[Payload] | Payload | None = None
    should: list[Payload] | Payload | None = None
    must_not: list[Payload] | Payload | None = None
    min_should: MinShould | None = None


class SparseVector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A vector of which almost all numbers are zero."""

    indices: list[Annotated[int, msgspec.Meta(ge=0, le=4_294_967_295)]]
    values: list[float]


class MultiParams(msgspec.Struct, frozen=True):
    """How many vectors of one name are compared."""

    comparator: Literal["max_sim"]


class VectorParams(msgspec.Struct, frozen=True):
    """A vector that each point may have."""

    size: _Size
    distance: Literal["Cosine", "Dot", "Euclid", "Manhattan"]
    multivector_config: MultiParams | None = None


class SparseParams(msgspec.Struct, frozen=True):
    """A sparse vector that each point may have."""

    modifier: str | None = None


class Create(msgspec.Struct, frozen=True):
    """A collection to make."""

    vectors: Payload | None = None
    sparse_vectors: dict[str, SparseParams] | None = None
    sharding_method: str | None = None
    metadata: Payload | None = None


class Point(msgspec.Struct, frozen=True):
    """One point."""

    id: PointId
    vector: object = None
    payload: Payload | None = None


class Batch(msgspec.Struct, frozen=True):
    """Points, told by columns."""

    ids: list[PointId]
    vectors: list[object] | dict[str, list[object]]
    payloads: list[Payload | None] | None = None


class Upsert(Sharded, frozen=True):
    """Points to keep."""

    points: list[Point] | None = None
    batch: Batch | None = None
    update_filter: None = None
    update_mode: Literal["upsert"] | None = None


class Selector(Sharded, frozen=True):
    """Points that are meant."""

    points: list[PointId] | None = None
    filter: Conditions | None = None


class SetPayload(Selector, frozen=True, kw_only=True):
    """Parts of payloads to put over what is there."""

    payload: Payload
    key: str | None = None


class UnsetPayload(Selector, frozen=True, kw_only=True):
    """Parts of payloads to take away."""

    keys: list[str]


class UnsetVectors(Selector, frozen=True, kw_only=True):
    """Vectors to take away."""

    vector: Annotated[list[str], msgspec.Meta(min_length=1)]


class PointVectors(msgspec.Struct, frozen=True):
    """Vectors of one point."""

    id: PointId
    vector: object


class UpdateVectors(Sharded, frozen=True, kw_only=True):
    """Vectors to put over what is there."""

    points: Annotated[list[PointVectors], msgspec.Meta(min_length=1)]
    update_filter: None = None


class Operation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One change of several; exactly one member is there."""

    upsert: Upsert | None = None
    delete: Selector | None = None
    set_payload: SetPayload | None = None
    overwrite_payload: SetPayload | None = None
    delete_payload: UnsetPayload | None = None
    clear_payload: Selector | None = None
    update_vectors: UpdateVectors | None = None
    delete_vectors: UnsetVectors | None = None


class Operations(msgspec.Struct, frozen=True):
    """Changes to make, in their order."""

    operations: list[Operation]


class Retrieve(Sharded, frozen=True, kw_only=True):
    """Points asked for by their ids."""

    ids: list[PointId]
    with_payload: _Selection | None = True
    with_vector: _Names | None = False


class Scroll(Sharded, frozen=True):
    """Points one after the other."""

    filter: Conditions | None = None
    limit: _Limit | None = 10
    offset: PointId | None = None
    with_payload: _Selection | None = True
    with_vector: _Names | None = False
    order_by: None = None


class Count(Sharded, frozen=True):
    """How many points there are."""

    filter: Conditions | None = None


class Params(msgspec.Struct, frozen=True):
    """How to search."""

    exact: bool | None = None
    idf: None = None


class Prefetch(msgspec.Struct, frozen=True):
    """A query whose points another one chooses from."""

    query: object = None
    prefetch: "list[Prefetch] | Prefetch | None" = None
    filter: Conditions | None = None
    using: str | None = None
    params: Params | None = None
    score_threshold: float | None = None
    limit: _Limit | None = None
    lookup_from: None = None


class Query(Prefetch, frozen=True):
    """What is looked for."""

    shard_key: None = None
    offset: _Offset | None = None
    with_payload: _Selection | None = None
    with_vector: _Names | None = None


class BatchQuery(msgspec.Struct, frozen=True):
    """Several queries."""

    searches: list[Query]


class GroupQuery(Query, frozen=True, kw_only=True):
    """What is looked for, by groups."""

    group_by: str
    group_size: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    with_lookup: None = None


class Search(Sharded, frozen=True, kw_only=True):
    """What is looked for, as clients before 1.10 say it."""

    vector: object
    filter: Conditions | None = None
    params: Params | None = None
    limit: _Limit
    offset: _Offset | None = None
    with_payload: _Selection | None = None
    with_vector: _Names | None = None
    score_threshold: float | None = None


class SearchBatch(msgspec.Struct, frozen=True):
    """Several of them."""

    searches: list[Search]
