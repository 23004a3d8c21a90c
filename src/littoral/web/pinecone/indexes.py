"""Indexes: what a collection is, in Pinecone's words and in ours.

A dense index is a collection with a vector named "", a sparse one has a sparse vector alone. An
index of dense vectors compared by their dot product keeps sparse ones beside them. Where it runs
(cloud, region, pods) has no meaning here and is ignored.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.memory import CollectionSpec, FieldKind, Metric, VectorField
from littoral.web.dialects.reading import checked
from littoral.web.pinecone.namespaces import FIELD

__all__ = ["SPARSE", "Create", "Index", "shown_as", "spec_of"]

SPARSE: Final = "sparse"
"""The name of the sparse vectors of indexes that are made here."""

_DENSE_FIELD: Final = "_values"
_SPARSE_FIELD: Final = "_sparse_values"
_METRICS: Final = {
    "cosine": Metric.COSINE,
    "dotproduct": Metric.DOT,
    "euclidean": Metric.L2,
}
_NAMES: Final = {metric: name for name, metric in _METRICS.items()}
_KINDS: Final = {
    "string": FieldKind.KEYWORD,
    "string_list": FieldKind.KEYWORD,
    "integer": FieldKind.INTEGER,
    "float": FieldKind.FLOAT,
    "boolean": FieldKind.BOOLEAN,
}
_TAGS: Final = '{"tags":'
_HERE: Final = {"cloud": "littoral", "region": "here"}

_Metric = Literal["cosine", "dotproduct", "euclidean"]


class _Fields(msgspec.Struct, frozen=True):
    fields: dict[str, dict[str, object]]


class _Dense(msgspec.Struct, frozen=True):
    dimension: int
    metric: _Metric = "cosine"


class Create(msgspec.Struct, frozen=True):
    """An index to make, as clients from 10 on say it with a schema, and those before without."""

    name: str
    schema: _Fields | None = None
    dimension: int | None = None
    metric: _Metric | None = None
    vector_type: Literal["dense", "sparse"] | None = None
    deletion_protection: Literal["enabled", "disabled"] | None = None
    tags: dict[str, str] | None = None
    cmek_id: None = None
    source_collection: None = None
    source_backup_id: None = None
    embed: None = None


class Index(msgspec.Struct, frozen=True):
    """What of a collection Pinecone's API speaks of."""

    dense: VectorField | None
    sparse: str | None

    @staticmethod
    def of(spec: CollectionSpec) -> "Index":
        """What there is of it in this collection."""
        single = [field for field in spec.vectors if not field.multi]
        unnamed = [field for field in single if not field.name]
        dense = next(iter([*unnamed, *single]), None)
        return Index(dense, next(iter(spec.sparse), None))


def spec_of(body: Create) -> CollectionSpec:
    """The collection that is to be made.

    Raises:
        BadRequestError: it can't be.
        UnsupportedError: it needs what is not done here.
    """
    if body.deletion_protection == "enabled":
        raise UnsupportedError(
            "indexes are not protected from deletion here", param="deletion_protection"
        )
    declared = body.schema.fields if body.schema is not None else _legacy(body)
    dense: VectorField | None = None
    sparse = False
    fields: dict[str, FieldKind] = {FIELD: FieldKind.KEYWORD}
    for name, said in declared.items():
        match said.get("type"):
            case "dense_vector" if name == _DENSE_FIELD:
                params = checked(said, _Dense)
                dense = VectorField(params.dimension, _METRICS[params.metric])
            case "sparse_vector" if name == _SPARSE_FIELD:
                sparse = True
            case str() as kind if kind in _KINDS and _is_plain(said):
                fields[name] = _KINDS[kind]
            case _:
                raise _no_documents(name)
    if dense is None and not sparse:
        raise BadRequestError("an index needs a dimension, or vectors that are sparse")
    if dense is not None and dense.metric is Metric.DOT:
        sparse = True
    spec = CollectionSpec(
        name=body.name,
        vectors=() if dense is None else (dense,),
        sparse=(SPARSE,) if sparse else (),
        fields=fields,
        about=msgspec.json.encode({"tags": body.tags}).decode() if body.tags else "",
    )
    return checked(msgspec.to_builtins(spec), CollectionSpec)


def shown_as(spec: CollectionSpec, host: str) -> dict[str, object]:
    """The index, as clients of all versions look for it."""
    index = Index.of(spec)
    fields: dict[str, object] = {}
    legacy: dict[str, object] = {"metric": "dotproduct", "vector_type": "sparse"}
    if index.dense is not None:
        size, metric = index.dense.dimensions, _NAMES[index.dense.metric]
        fields[_DENSE_FIELD] = {"type": "dense_vector", "dimension": size, "metric": metric}
        legacy = {"dimension": size, "metric": metric, "vector_type": "dense"}
    elif index.sparse is not None:
        fields[_SPARSE_FIELD] = {"type": "sparse_vector"}
    return {
        "name": spec.name,
        "host": host,
        "status": {"ready": True, "state": "Ready"},
        "schema": {"fields": fields},
        "deployment": {"deployment_type": "managed", **_HERE},
        "deletion_protection": "disabled",
        "tags": _tags(spec.about),
        "spec": {"serverless": _HERE},
        **legacy,
    }


def _legacy(body: Create) -> Mapping[str, dict[str, object]]:
    if body.vector_type == "sparse":
        return {_SPARSE_FIELD: {"type": "sparse_vector"}}
    if body.dimension is None:
        raise BadRequestError("an index needs a dimension", param="dimension")
    said = {"dimension": body.dimension, "metric": body.metric or "cosine"}
    return {_DENSE_FIELD: {"type": "dense_vector", **said}}


def _is_plain(said: Mapping[str, object]) -> bool:
    """A field to filter by, and nothing more."""
    return said.keys() <= {"type", "filterable", "description"}


def _tags(about: str) -> object:
    if not about.startswith(_TAGS):
        return None
    try:
        return msgspec.json.decode(about, type=dict[str, dict[str, str]])["tags"]
    except msgspec.MsgspecError:
        return None


def _no_documents(name: str) -> UnsupportedError:
    return UnsupportedError(
        f"the field {name[:80]!r} of the schema makes a document index, which is not served here",
        advice=f"give `dimension` and `metric`, or name the vectors {_DENSE_FIELD} and "
        f"{_SPARSE_FIELD}",
        param="schema",
    )
