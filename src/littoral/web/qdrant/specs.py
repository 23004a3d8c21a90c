"""What a collection is, in Qdrant's words and in ours.

How Qdrant is to keep and search it (graphs, segments, quantisation, shards) has no meaning here and
is ignored; what would change answers (Manhattan distance, IDF) is refused.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.memory import CollectionSpec, Metric, VectorField
from littoral.web.dialects.reading import checked
from littoral.web.qdrant.bodies import Create, SparseParams, VectorParams

__all__ = ["shown_as", "spec_of"]

_METRICS: Final = {"Cosine": Metric.COSINE, "Dot": Metric.DOT, "Euclid": Metric.L2}
_DISTANCES: Final = {metric: name for name, metric in _METRICS.items()}

_TUNING: Final[Mapping[str, object]] = {
    "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
    "optimizer_config": {"default_segment_number": 0, "flush_interval_sec": 5},
    "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
    "quantization_config": None,
}
"""Members that clients insist on: Qdrant's defaults, without any effect here."""


def spec_of(name: str, body: Create) -> CollectionSpec:
    """The collection that is to be made.

    Raises:
        BadRequestError: it can't be.
        UnsupportedError: it needs what is not done here.
    """
    if body.metadata:
        raise UnsupportedError("metadata of a collection is not kept here", param="metadata")
    if body.sharding_method not in {None, "auto"}:
        raise UnsupportedError("there are no shards to choose here", param="sharding_method")
    vectors = body.vectors or {}
    if isinstance(vectors.get("size"), int):
        vectors = {"": vectors}
    sparse = body.sparse_vectors or {}
    for params in sparse.values():
        _check_sparse(params)
    spec = CollectionSpec(
        name=name,
        vectors=tuple(_field(each, said) for each, said in vectors.items()),
        sparse=tuple(sparse),
    )
    return checked(msgspec.to_builtins(spec), CollectionSpec)


def shown_as(spec: CollectionSpec, points: int) -> dict[str, object]:
    """The collection, as `GET /collections/NAME` tells of it."""
    vectors: dict[str, object] = {field.name: _params(field) for field in spec.vectors}
    params: dict[str, object] = {
        "vectors": vectors[""] if vectors.keys() == {""} else vectors,
        "shard_number": 1,
        "replication_factor": 1,
        "write_consistency_factor": 1,
        "on_disk_payload": True,
    }
    if spec.sparse:
        params["sparse_vectors"] = {name: {} for name in spec.sparse}
    return {
        "status": "green",
        "optimizer_status": "ok",
        "indexed_vectors_count": points,
        "points_count": points,
        "segments_count": 1,
        "config": {"params": params, **_TUNING},
        "payload_schema": {},
    }


def _field(name: str, said: object) -> VectorField:
    if not isinstance(said, dict):
        raise BadRequestError(f"the vector {name[:80]!r} has no size and distance", param="vectors")
    params = checked(said, VectorParams)
    metric = _METRICS.get(params.distance)
    multi = params.multivector_config is not None
    if metric is None:
        raise UnsupportedError(
            f"{params.distance} distance is not supported here",
            advice=f"have one of {', '.join(_METRICS)}",
            param="vectors",
        )
    if multi and metric is Metric.L2:
        raise UnsupportedError(
            "several vectors of one name are not compared by Euclid here",
            advice="have Cosine or Dot",
            param="vectors",
        )
    return VectorField(params.size, metric, name, multi)


def _params(field: VectorField) -> dict[str, object]:
    params: dict[str, object] = {"size": field.dimensions, "distance": _DISTANCES[field.metric]}
    if field.multi:
        params["multivector_config"] = {"comparator": "max_sim"}
    return params


def _check_sparse(params: SparseParams) -> None:
    if params.modifier is not None and params.modifier != "none":
        raise UnsupportedError(
            f"sparse vectors are not weighed by {params.modifier[:40]} here",
            advice="send vectors that have their weights, and leave the modifier out",
            param="sparse_vectors",
        )
