"""What the handlers here ask of the PoP: files that clients have sent, and vector stores.

All raise NotFoundError for what is not there or not the caller's, NotAllowedError where the caller
may only read, and StoreError, HomeUnwritableError or DiskShortError where keeping fails.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from littoral.terms.filters import Filter
from littoral.terms.memory import Cited
from littoral.terms.stores import (
    Attributes,
    Batch,
    FileState,
    FileWanted,
    Paging,
    Part,
    StoreChange,
    StoreFile,
    StoreShown,
    StoreWanted,
    Upload,
    UploadWanted,
)
from littoral.terms.values import Caller

__all__ = [
    "BatchDesk",
    "ContentDesk",
    "Questions",
    "StoreDesk",
    "StoreDesks",
    "StoreFileDesk",
    "UploadDesk",
]


class UploadDesk(Protocol):
    """Keeps files that clients send."""

    async def send(self, wanted: UploadWanted, caller: Caller) -> Upload:
        """Keep one. Raises ConflictError where there is no room."""

    async def upload(self, file_id: str, caller: Caller) -> Upload:
        """One of the caller's."""

    async def uploads(self, purpose: str, paging: Paging, caller: Caller) -> Part[Upload]:
        """Some of the caller's; of one purpose, unless that is empty. Raises BadRequestError."""

    async def content(self, file_id: str, caller: Caller) -> tuple[Upload, bytes]:
        """One of the caller's, and its bytes."""

    async def delete(self, file_id: str, caller: Caller) -> None:
        """Forget one, also in each store that it is in."""


class StoreDesk(Protocol):
    """Keeps vector stores."""

    async def create(self, wanted: StoreWanted, caller: Caller) -> StoreShown:
        """Make one, and put files into it."""

    async def stores(self, paging: Paging, caller: Caller) -> Part[StoreShown]:
        """Some of those that the caller may read. Raises BadRequestError."""

    async def store(self, store: str, caller: Caller) -> StoreShown:
        """One of them."""

    async def change(self, store: str, change: StoreChange, caller: Caller) -> StoreShown:
        """Let something be different about one."""

    async def drop(self, store: str, caller: Caller) -> None:
        """Forget one, and all in it. The files that were put into it stay."""


class StoreFileDesk(Protocol):
    """Keeps which files are in a store."""

    async def add(self, store: str, wanted: FileWanted, caller: Caller) -> StoreFile:
        """Put one in; its passages come in the background."""

    async def files(
        self, store: str, state: FileState | None, paging: Paging, caller: Caller
    ) -> Part[StoreFile]:
        """Some of them, of one state or of any. Raises BadRequestError."""

    async def file(self, store: str, file_id: str, caller: Caller) -> StoreFile:
        """One of them."""

    async def describe(
        self, store: str, file_id: str, attributes: Attributes, caller: Caller
    ) -> StoreFile:
        """Let one have other attributes."""

    async def remove(self, store: str, file_id: str, caller: Caller) -> None:
        """Take one out of the store; the file itself stays."""


class BatchDesk(Protocol):
    """Puts many files into a store."""

    async def begin(self, store: str, wanted: Sequence[FileWanted], caller: Caller) -> Batch:
        """Put them in, all or none."""

    async def batch(self, store: str, batch_id: str, caller: Caller) -> Batch:
        """A batch, and how far it has come."""

    async def cancel(self, store: str, batch_id: str, caller: Caller) -> Batch:
        """Put no more of its files in."""

    async def batched(
        self,
        store: str,
        batch_id: str,
        state: FileState | None,
        paging: Paging,
        caller: Caller,
    ) -> Part[StoreFile]:
        """Some of its files. Raises BadRequestError."""


class Questions(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for in a store."""

    texts: tuple[str, ...]
    where: Filter | None = None
    limit: int = 10
    score_min: float = 0.0


class ContentDesk(Protocol):
    """Reads and searches what is in a store."""

    async def passages(self, store: str, file_id: str, caller: Caller) -> Sequence[str]:
        """The texts of a file's passages, in their order."""

    async def search(
        self, store: str, questions: Questions, caller: Caller
    ) -> Sequence[tuple[Cited, StoreFile | None]]:
        """The best passages, each with the file that it is of. Raises BadRequestError.

        The score is how alike question and passage are, from 0 to 1.
        """


class StoreDesks(Protocol):
    """All of these."""

    @property
    def uploads(self) -> UploadDesk:
        """Files that clients have sent."""

    @property
    def stores(self) -> StoreDesk:
        """Vector stores."""

    @property
    def files(self) -> StoreFileDesk:
        """The files in them."""

    @property
    def batches(self) -> BatchDesk:
        """Files that are put in together."""

    @property
    def contents(self) -> ContentDesk:
        """What is in them to be read and found."""
