"""Vector stores and the files in them: what a PoP keeps beside a collection to speak OpenAI's API.

A vector store is a collection, and its id is the collection's name. What the API knows of it beyond
that, its title, its files and how far each has come, is said in these words.

Rules
- A file of a store is a document of the collection: its passages have `document_of` it as theirs.
- Files belong to whoever sent them (`uploads_scope`), stores to whom their collection belongs.
"""

import enum
from collections.abc import Mapping
from typing import Annotated, Final, Generic, TypeVar

import msgspec

from littoral.terms.ids import Digest, KeyId
from littoral.terms.values import Caller

__all__ = [
    "FILE",
    "Attributes",
    "Batch",
    "Counts",
    "Cut",
    "FileFault",
    "FileState",
    "FileWanted",
    "Metadata",
    "Paging",
    "Part",
    "Store",
    "StoreChange",
    "StoreFile",
    "StoreShown",
    "StoreWanted",
    "Upload",
    "UploadWanted",
    "document_of",
    "file_in",
    "uploads_scope",
]

T = TypeVar("T")

FILE: Final = "file-"
"""How ids of files begin that clients have sent."""

Attributes = Mapping[
    Annotated[str, msgspec.Meta(min_length=1, max_length=64)],
    Annotated[str, msgspec.Meta(max_length=512)] | float | bool,
]
"""What a client says of a file, to find it by."""

Metadata = Mapping[
    Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=512)]
]


def document_of(file_id: str, filename: str) -> str:
    """What the document of a file is called: by its id, and for people and their programs its name.

    By how a name ends it is also known what kind of file it is.
    """
    return f"{file_id}/{filename}"


def file_in(document: str) -> tuple[str, str]:
    """The id and the name of the file that a document is of; its own name, if it is of none."""
    file_id, slash, filename = document.partition("/")
    is_file = slash and file_id.startswith(FILE)
    return (file_id, filename) if is_file else (document, document)


def uploads_scope(caller: Caller) -> str:
    """Whose files a caller sends and sees: operators share the PoP's own, as with collections."""
    return "" if caller.operator else caller.scope


class FileState(enum.Enum):
    """How far a file of a store has come."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class FileFault(enum.Enum):
    """Why a file has failed."""

    UNSUPPORTED = "unsupported_file"
    INVALID = "invalid_file"
    SERVER = "server_error"


class Paging(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list is wanted. Lists are in the order in which their rows were made."""

    limit: int
    descending: bool = True
    after: str = ""
    """The id behind which the part begins."""
    before: str = ""
    """The id before which the part ends."""


class Part(msgspec.Struct, Generic[T], frozen=True):
    """A part of a list."""

    rows: tuple[T, ...]
    more: bool
    """There are others further on."""


class UploadWanted(msgspec.Struct, frozen=True, kw_only=True):
    """A file that somebody sends."""

    filename: str
    purpose: str
    data: memoryview
    expires_after_s: int | None = None


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was sent."""

    id: str
    scope: str
    filename: str
    purpose: str
    size_bytes: int
    digest: Digest
    created_unix_s: int
    expires_unix_s: int | None = None


class Cut(msgspec.Struct, frozen=True):
    """How a client wants a file cut into passages."""

    tokens_max: int
    overlap_tokens: int


class FileWanted(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is to be in a store."""

    file_id: str
    attributes: Attributes = {}
    cut: Cut | None = None


class StoreFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a store."""

    store: str
    scope: str
    file_id: str
    filename: str
    key_id: KeyId
    """Who has put it in."""
    state: FileState
    created_unix_s: int
    attributes: Attributes = {}
    cut: Cut | None = None
    usage_bytes: int = 0
    """Of its passages: their texts and vectors."""
    fault: FileFault | None = None
    message: str = ""
    """What went wrong, for a person."""
    number: int = 0
    """Of its row. When it is put in again it has another, and work for this one is of no use."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Files of a store, or of a batch, by how far they have come."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    usage_bytes: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.in_progress + self.completed + self.failed + self.cancelled


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Files that were put into a store together."""

    id: str
    store: str
    scope: str
    created_unix_s: int
    cancelled: bool = False
    counts: Counts = Counts()


class StoreWanted(msgspec.Struct, frozen=True, kw_only=True):
    """A store that is to be made."""

    title: str = ""
    description: str = ""
    metadata: Metadata = {}
    expires_after_days: int | None = None
    embedding: str = ""
    """The model that makes its vectors; empty is the PoP's choice."""
    files: tuple[FileWanted, ...] = ()


class StoreChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different about a store; None and UNSET stay as they are."""

    title: str | None = None
    metadata: Metadata | None = None
    expires_after_days: int | msgspec.UnsetType | None = msgspec.UNSET


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a store beside its collection."""

    id: str
    scope: str
    created_unix_s: int
    active_unix_s: int
    title: str = ""
    description: str = ""
    metadata: Metadata = {}
    expires_after_days: int | None = None

    @property
    def expires_unix_s(self) -> int | None:
        """When it expires, unless it is used before."""
        days = self.expires_after_days
        return None if days is None else self.active_unix_s + days * 86_400


class StoreShown(msgspec.Struct, frozen=True, kw_only=True):
    """A store as it is now."""

    store: Store
    counts: Counts
    usage_bytes: int
    expired: bool
