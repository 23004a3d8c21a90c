"""Memory: what a collection keeps, how it is changed and asked, and what comes back.

A collection holds **records** under ids: vectors, a text, metadata. A record that is a piece of a
document is a **passage** of it. Every driver, embedded or a server elsewhere, takes and gives these
values and no others.

Rules
- A vector is packed: little-endian float32, as many as its field has dimensions. Of a field that
  keeps many (`multi`), a whole number of such rows.
- A score is better when it is higher: the cosine, the dot product, or *minus the squared* Euclidean
  distance; of words BM25; of a fusion the sum of 1 / (k + rank).
- Fields that a collection declares are indexed. Others may be filtered by (`terms/filters.py`) all
  the same, slower.
"""

import enum
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from littoral.terms.filters import Filter
from littoral.terms.ids import ModelName

__all__ = [
    "Ability",
    "Applied",
    "Branch",
    "COLLECTION_NAME",
    "CollectionShown",
    "CollectionSpec",
    "Delete",
    "DeleteWhere",
    "FieldKind",
    "Found",
    "Fused",
    "Hit",
    "Like",
    "Metric",
    "Nearest",
    "Page",
    "Cited",
    "Patch",
    "Query",
    "Recall",
    "Recalled",
    "Record",
    "Scan",
    "Search",
    "Sparse",
    "SparseNearest",
    "Upsert",
    "VectorField",
    "Words",
    "Write",
]

COLLECTION_NAME: Final = r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z"
"""What a collection may be called, as a regular expression."""

_Name = Annotated[str, msgspec.Meta(pattern=COLLECTION_NAME)]
_FieldName = Annotated[str, msgspec.Meta(max_length=128)]
_Dimensions = Annotated[int, msgspec.Meta(ge=1, le=65_536)]


class Metric(enum.Enum):
    """How near two vectors are."""

    COSINE = "cosine"
    DOT = "dot"
    L2 = "l2"


class FieldKind(enum.Enum):
    """What a declared field of the metadata holds."""

    KEYWORD = "keyword"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    TIME = "time"
    """RFC 3339 text."""
    GEO = "geo"
    """`{"lat": degrees, "lon": degrees}`."""
    TEXT = "text"
    """Searched by words."""


class Ability(enum.Enum):
    """What not every driver can do; who lacks one raises UnsupportedError for it."""

    WORDS = "words"
    """BM25 over texts."""
    SPARSE = "sparse"
    FUSED = "fused"
    """Several queries in one call."""
    MULTI = "multi"
    """Many vectors under one name, compared by MaxSim."""
    NAMED = "named"
    """More than one vector field."""
    GEO = "geo"
    MATCHES = "matches"
    """Filters by words of a text."""
    PATCH = "patch"
    """Changes a part of a record in one step."""


class VectorField(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Vectors that each record may have, under one name."""

    dimensions: _Dimensions
    metric: Metric = Metric.COSINE
    name: _FieldName = ""
    multi: bool = False


class CollectionSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a collection is."""

    name: _Name
    vectors: tuple[VectorField, ...] = ()
    sparse: tuple[_FieldName, ...] = ()
    """Names of sparse vectors."""
    fields: Mapping[_FieldName, FieldKind] = {}
    embedding: ModelName | None = None
    """Makes vectors (of the field named "") of texts; None takes vectors alone."""
    about: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    scope: str = ""
    """Whose it is (`Caller.scope`); empty is the PoP's own, which every key may read."""
    zone: str = ""
    """The zone of data that it may not leave; empty may go anywhere."""


class Sparse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A vector of which almost all numbers are zero."""

    indices: tuple[Annotated[int, msgspec.Meta(ge=0, le=4_294_967_295)], ...]
    values: tuple[float, ...]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept under one id."""

    id: str
    vectors: Mapping[str, bytes] = {}
    sparse: Mapping[str, Sparse] = {}
    text: str = ""
    header: str = ""
    """Places the text in its document (title, section): embedded and searched with it, uncited."""
    metadata: Mapping[str, object] = {}
    """JSON-shaped."""
    document: str = ""
    """The document that it is a passage of."""
    position: int = 0
    """Its place among the document's passages."""
    labels: tuple[str, ...] = ()
    """Who may see it: callers with one of these labels; empty is everybody of the collection."""


class Nearest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="nearest"):
    """Records whose vector is nearest to this one."""

    vector: bytes
    """Packed; of a field that keeps many, any number of rows."""
    field: str = ""
    exact: bool = False
    """Leave no nearer one out, however long it takes."""


class SparseNearest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="sparse"):
    """Records with the highest dot product with this sparse vector; none where it is zero."""

    vector: Sparse
    field: str = ""


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="words"):
    """Records whose text and header have some of these words, by BM25."""

    text: str


class Like(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="like"):
    """Records that mean what this text means: embedded by the collection's model, then `Nearest`.

    Drivers never see it: whoever embeds has put `Nearest` in its place.
    """

    text: str
    field: str = ""


class Branch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One query of several."""

    query: "Query"
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    """How many of its best take part."""
    where: Filter | None = None
    """Beside the filter of the whole search."""


class Fused(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="fused"):
    """Several queries, their ranks fused (reciprocal rank fusion)."""

    branches: tuple[Branch, ...]
    k: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 60


Query = Nearest | SparseNearest | Words | Like | Fused


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is looked for."""

    query: Query
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 10
    offset: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    where: Filter | None = None
    score_min: float | None = None
    with_vectors: bool = False
    with_content: bool = True
    """Texts and metadata; without, a hit's record has its id alone (and vectors, if wanted)."""


class Hit(msgspec.Struct, frozen=True):
    """A record that was found."""

    record: Record
    score: float


class Found(msgspec.Struct, frozen=True):
    """What a search gives, best first."""

    hits: tuple[Hit, ...]
    plan: tuple[str, ...] = ()
    """How it was searched, and why, in words."""
    through: int = 0
    """All changes up to this one are in it."""


class Scan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Records one after the other, in the order of their ids' bytes."""

    where: Filter | None = None
    after: str = ""
    """The id that the last page ended in; empty begins."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    with_vectors: bool = False


class Page(msgspec.Struct, frozen=True):
    """A part of a scan."""

    records: tuple[Record, ...]
    next: str = ""
    """`Scan.after` of the next part; empty where this was the last."""


class Upsert(msgspec.Struct, frozen=True, tag="upsert"):
    """Keep these; each replaces, whole, what was kept under its id. The last of an id counts."""

    records: tuple[Record, ...]


class Delete(msgspec.Struct, frozen=True, tag="delete"):
    """Forget these; ids that are not there do not matter."""

    ids: tuple[str, ...]


class DeleteWhere(msgspec.Struct, frozen=True, tag="delete_where"):
    """Forget all that match."""

    where: Filter


class Patch(msgspec.Struct, frozen=True, tag="patch", kw_only=True):
    """Change parts of records that are there; ids that are not do not matter."""

    where: Filter
    metadata: Mapping[str, object] = {}
    """Put over what is there, by its outermost keys."""
    replace: bool = False
    """What is there goes first."""
    without: tuple[str, ...] = ()
    """Outermost keys that go."""
    header: str | None = None
    """In the place of what is there; its vector is the writer's to send. None leaves it."""
    vectors: Mapping[str, bytes | None] = {}
    """Put over what is there; None takes one away."""
    sparse: Mapping[str, Sparse | None] = {}


Write = Upsert | Delete | DeleteWhere | Patch


class Applied(msgspec.Struct, frozen=True):
    """Writes that are done, and will not be undone by a crash."""

    through: int
    """The number of the last change; each is greater than those before."""
    changed: int
    """Records that were written, changed or forgotten."""


class CollectionShown(msgspec.Struct, frozen=True, kw_only=True):
    """A collection as it is now."""

    spec: CollectionSpec
    driver: str
    """`embedded`, `milvus`, …"""
    records: int
    through: int = 0
    disk_bytes: int | None = None
    """Of the truth and what is derived from it; None where that is elsewhere."""
    index: str = ""
    """What there is to search by, in words, and what is being made."""
    home: str = ""
    """The PoP that it is a copy from; empty where it is no copy."""
    stale_s: float | None = None
    """Of a copy: seconds since it had all that its home had; None before it was first reached."""


class Recall(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is looked for with a question in words: hybrid, reranked, varied."""

    text: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    where: Filter | None = None
    score_min: float | None = None
    per_document: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    """Passages of one document at most; 0 is any number."""
    variety: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    """Of maximal marginal relevance: 0 looks at relevance alone."""
    rerank: ModelName | None = None
    """A model that sorts what was found by how well it answers."""


class Cited(msgspec.Struct, frozen=True, kw_only=True):
    """A passage as it is cited."""

    collection: str
    id: str
    document: str
    position: int
    digest: str
    """`blake3:` of its text."""
    text: str
    header: str
    score: float
    metadata: Mapping[str, object] = {}


class Recalled(msgspec.Struct, frozen=True):
    """What a question has brought back, best first."""

    passages: tuple[Cited, ...]
    plan: tuple[str, ...] = ()
    through: int = 0
    """Of the collection, when it was asked."""
