"""Bodies of Pinecone's requests and answers, as far as they are served."""

from typing import Annotated

import msgspec

__all__ = [
    "Delete",
    "FetchMatching",
    "Fetched",
    "FetchedPage",
    "Found",
    "Id",
    "Listed",
    "Match",
    "Next",
    "Query",
    "Shown",
    "SparseValues",
    "Stats",
    "Update",
    "Updated",
    "Upsert",
    "Upserted",
    "Usage",
    "Vector",
]

Metadata = dict[str, str | bool | int | float | list[str]]
_Filter = dict[str, object]


class SparseValues(msgspec.Struct, frozen=True):
    """A vector of which almost all numbers are zero."""

    indices: list[Annotated[int, msgspec.Meta(ge=0, le=4_294_967_295)]]
    values: list[float]


class Vector(msgspec.Struct, frozen=True, rename="camel"):
    """One vector to keep."""

    id: str
    values: list[object] | None = None
    sparse_values: SparseValues | None = None
    metadata: Metadata | None = None


class Upsert(msgspec.Struct, frozen=True, rename="camel"):
    """Vectors to keep."""

    vectors: list[Vector]
    namespace: str = ""


class Update(msgspec.Struct, frozen=True, rename="camel"):
    """What to change of one vector, or of the metadata of many."""

    id: str | None = None
    values: list[object] | None = None
    sparse_values: SparseValues | None = None
    set_metadata: Metadata | None = None
    filter: _Filter | None = None
    dry_run: bool = False
    namespace: str = ""


class Delete(msgspec.Struct, frozen=True, rename="camel"):
    """Which vectors to forget."""

    ids: list[str] | None = None
    delete_all: bool = False
    filter: _Filter | None = None
    namespace: str = ""


class Query(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What is looked for."""

    top_k: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    vector: list[object] | None = None
    sparse_vector: SparseValues | None = None
    id: str | None = None
    filter: _Filter | None = None
    include_values: bool = False
    include_metadata: bool = False
    namespace: str = ""


class FetchMatching(msgspec.Struct, frozen=True, rename="camel"):
    """Vectors that are wanted, by their metadata."""

    filter: _Filter | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    pagination_token: str | None = None
    namespace: str = ""


class Stats(msgspec.Struct, frozen=True):
    """Which vectors are counted."""

    filter: _Filter | None = None


class Usage(msgspec.Struct, frozen=True, rename="camel"):
    """What a request costs at Pinecone; here nothing is counted by it."""

    read_units: int


class Next(msgspec.Struct, frozen=True):
    """Where the next page begins."""

    next: str


class Upserted(msgspec.Struct, frozen=True, rename="camel"):
    """How many were kept."""

    upserted_count: int


class Updated(msgspec.Struct, frozen=True, rename="camel"):
    """How many were changed, or would be."""

    matched_records: int


class Shown(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One vector."""

    id: str
    values: list[float]
    sparse_values: SparseValues | None = None
    metadata: dict[str, object] | None = None


class Match(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One vector that was found."""

    id: str
    score: float
    values: list[float]
    sparse_values: SparseValues | None = None
    metadata: dict[str, object] | None = None


class Found(msgspec.Struct, frozen=True):
    """What a query gives, best first."""

    matches: list[Match]
    namespace: str
    usage: Usage


class Fetched(msgspec.Struct, frozen=True):
    """Vectors by their ids."""

    vectors: dict[str, Shown]
    namespace: str
    usage: Usage


class FetchedPage(Fetched, frozen=True, omit_defaults=True):
    """A page of them."""

    pagination: Next | None = None


class Id(msgspec.Struct, frozen=True):
    """One vector, by its id."""

    id: str


class Listed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of ids."""

    vectors: list[Id]
    namespace: str
    usage: Usage
    pagination: Next | None = None
