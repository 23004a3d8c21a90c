"""Files put into vector stores and taken out again; see `web.stores.desk`, files and batches.

Putting one in is a line in the book: the work is owed from then on, and is done in the background
(`filing.py`), also after a crash.

A document of a collection that was not put in as a file can be looked at, described and removed by
its name; it is in no list.
"""

from collections.abc import Callable, Sequence

import msgspec

from littoral.adapters.stores import UploadBook
from littoral.node.memory.shelf import Shelf, acting_for, passages_of
from littoral.terms.collections import OpenCollection
from littoral.terms.errors import NotFoundError
from littoral.terms.memory import DeleteWhere, Patch
from littoral.terms.stores import (
    Attributes,
    Batch,
    FileState,
    FileWanted,
    Paging,
    Part,
    Store,
    StoreFile,
    document_of,
    uploads_scope,
)
from littoral.terms.values import Caller

__all__ = ["Putting"]


class Putting:
    """The files of all stores."""

    def __init__(self, shelf: Shelf, uploads: UploadBook, owed: Callable[[], None]) -> None:
        """Look at nothing yet.

        Args:
            shelf: finds stores.
            uploads: what may be put in.
            owed: called when there is something to do.
        """
        self._shelf = shelf
        self._book = shelf.book
        self._uploads = uploads
        self._owed = owed

    def check(self, wanted: Sequence[FileWanted], caller: Caller) -> None:
        """See that these are files of the caller.

        Raises:
            NotFoundError: one is not.
        """
        for each in wanted:
            self._name_of(each.file_id, caller)

    def put(
        self,
        store: Store,
        wanted: Sequence[FileWanted],
        caller: Caller,
        batch: Batch | None = None,
    ) -> list[StoreFile]:
        """Put files into a store, all or none."""
        now = self._shelf.unix_s()
        files = [
            StoreFile(
                store=store.id,
                scope=store.scope,
                file_id=each.file_id,
                filename=self._name_of(each.file_id, caller),
                key_id=caller.key_id,
                state=FileState.IN_PROGRESS,
                created_unix_s=now,
                attributes=each.attributes,
                cut=each.cut,
            )
            for each in wanted
        ]
        self._book.add_files(files, batch)
        self._shelf.used(store)
        self._owed()
        return files

    async def add(self, store: str, wanted: FileWanted, caller: Caller) -> StoreFile:
        """Put one in."""
        _, known = await self._to_fill(store, caller)
        (file,) = self.put(known, [wanted], caller)
        return file

    async def files(
        self, store: str, state: FileState | None, paging: Paging, caller: Caller
    ) -> Part[StoreFile]:
        """Some of them."""
        _, known = await self._shelf.open(store, caller)
        return self._book.files(known.scope, store, paging, state=state)

    async def file(self, store: str, file_id: str, caller: Caller) -> StoreFile:
        """One of them."""
        collection, known = await self._shelf.open(store, caller)
        return await self._found(collection, known, file_id)

    async def describe(
        self, store: str, file_id: str, attributes: Attributes, caller: Caller
    ) -> StoreFile:
        """Let one have other attributes; all its passages have them then."""
        collection, known = await self._shelf.writable(store, caller)
        file = await self._found(collection, known, file_id)
        self._book.describe(file, attributes)
        without = tuple(key for key in file.attributes if key not in attributes)
        where = passages_of(_document(file))
        await collection.apply([Patch(where=where, metadata=attributes, without=without)])
        return msgspec.structs.replace(file, attributes=attributes)

    async def remove(self, store: str, file_id: str, caller: Caller) -> None:
        """Take one out of the store."""
        collection, known = await self._shelf.writable(store, caller)
        await self._remove(collection, await self._found(collection, known, file_id))

    async def forget(self, file_id: str) -> None:
        """Take a file out of every store that it is in."""
        for file in self._book.holding(file_id):
            try:
                caller = acting_for(file.scope)
                collection = await self._shelf.of_scope(file.scope, file.store, caller)
            except NotFoundError:
                self._book.drop(file.scope, file.store)
            else:
                await self._remove(collection, file)

    async def begin(self, store: str, wanted: Sequence[FileWanted], caller: Caller) -> Batch:
        """Put many in, all or none."""
        _, known = await self._to_fill(store, caller)
        batch = Batch(
            id=self._shelf.new_id("vsfb_"),
            store=store,
            scope=known.scope,
            created_unix_s=self._shelf.unix_s(),
        )
        self.put(known, wanted, caller, batch)
        return await self.batch(store, batch.id, caller)

    async def batch(self, store: str, batch_id: str, caller: Caller) -> Batch:
        """A batch, and how far it has come."""
        _, known = await self._shelf.open(store, caller)
        found = self._book.batch(known.scope, store, batch_id)
        if found is None:
            raise NotFoundError(f"{store} has no batch of files {batch_id[:80]!r}")
        return found

    async def cancel(self, store: str, batch_id: str, caller: Caller) -> Batch:
        """Put no more of its files in."""
        await self._shelf.writable(store, caller)
        self._book.cancel(await self.batch(store, batch_id, caller))
        return await self.batch(store, batch_id, caller)

    async def batched(
        self,
        store: str,
        batch_id: str,
        state: FileState | None,
        paging: Paging,
        caller: Caller,
    ) -> Part[StoreFile]:
        """Some of its files."""
        batch = await self.batch(store, batch_id, caller)
        return self._book.files(batch.scope, store, paging, state=state, batch=batch_id)

    async def _to_fill(self, store: str, caller: Caller) -> tuple[OpenCollection, Store]:
        collection, known = await self._shelf.writable(store, caller)
        self._shelf.refuse_expired(known)
        return collection, known

    async def _found(self, collection: OpenCollection, store: Store, name: str) -> StoreFile:
        """A file of a store, or a document that is there by another way."""
        file = self._book.file(store.scope, store.id, name)
        if file is not None:
            return file
        if not await collection.count(passages_of(name)):
            raise NotFoundError(
                f"{store.id} has no file {name[:80]!r}",
                advice="GET /v1/vector_stores/STORE/files lists them",
            )
        return StoreFile(
            store=store.id,
            scope=store.scope,
            file_id=name,
            filename=name,
            key_id=acting_for("").key_id,
            state=FileState.COMPLETED,
            created_unix_s=store.created_unix_s,
        )

    async def _remove(self, collection: OpenCollection, file: StoreFile) -> None:
        """Passages go first: what a crash leaves is a file that can be removed again."""
        await collection.apply([DeleteWhere(passages_of(_document(file)))])
        self._book.remove(file)

    def _name_of(self, file_id: str, caller: Caller) -> str:
        upload = self._uploads.find(file_id)
        if upload is None or upload.scope != uploads_scope(caller):
            raise NotFoundError(
                f"there is no file {file_id[:80]!r}",
                advice="send it first: POST /v1/files",
                param="file_id",
            )
        return upload.filename


def _document(file: StoreFile) -> str:
    """What a file's document is called; one that was not put in as a file has its own name."""
    return document_of(file.file_id, file.filename) if file.number else file.file_id
