"""Files that clients have sent; see `web.stores.desk.UploadDesk`.

Rules
- A file is whose it was sent by: a key's, its tenant's, or of operators the PoP's.
- All files together are bounded in bytes; the same bytes are kept once and count once.
- Bytes are named by the book before they are forgotten by it, and never the other way: what a crash
  leaves is bytes that nobody needs, which go at the next start.
"""

from collections.abc import Awaitable, Callable

from littoral.adapters.stores import Kept
from littoral.node.memory.threads import Threads
from littoral.terms.errors import ConflictError, NotAllowedError, NotFoundError
from littoral.terms.ids import Digest
from littoral.terms.ports import Clock
from littoral.terms.stores import FILE, Paging, Part, Upload, UploadWanted, uploads_scope
from littoral.terms.values import SECOND, Caller

__all__ = ["Uploads"]


class Uploads:
    """Every file that was sent to this PoP."""

    def __init__(
        self,
        kept: Kept,
        threads: Threads,
        clock: Clock,
        *,
        bytes_max: int,
        forget: Callable[[str], Awaitable[None]],
    ) -> None:
        """Look at nothing yet.

        Args:
            kept: where they are kept.
            threads: where disks are waited for.
            clock: for when they came, and for ids.
            bytes_max: of all files together.
            forget: takes a file out of every store.
        """
        self._book = kept.uploads
        self._vault = kept.vault
        self._threads = threads
        self._clock = clock
        self._bytes_max = bytes_max
        self._forget = forget
        self._arriving: dict[Digest, int] = {}
        """Bytes that are being written: how many do so."""
        self._arriving_bytes = 0

    async def send(self, wanted: UploadWanted, caller: Caller) -> Upload:
        """Keep one."""
        _refuse_guests(caller)
        size = len(wanted.data)
        digest = await self._threads.run(lambda: self._vault.digest(wanted.data))
        self._check_room(size, digest)
        self._arriving_bytes += size
        self._arriving[digest] = self._arriving.get(digest, 0) + 1
        try:
            await self._threads.run(lambda: self._vault.keep(digest, wanted.data))
            upload = self._upload(wanted, digest, caller)
            self._book.add(upload)
        finally:
            self._arriving_bytes -= size
            self._arriving[digest] -= 1
            if not self._arriving[digest]:
                del self._arriving[digest]
                await self._drop_unneeded(digest)
        return upload

    async def upload(self, file_id: str, caller: Caller) -> Upload:
        """One of the caller's."""
        found = self._book.find(file_id)
        if found is None or found.scope != uploads_scope(caller) or self._is_over(found):
            raise NotFoundError(
                f"there is no file {file_id[:80]!r}", advice="GET /v1/files lists them"
            )
        return found

    async def uploads(self, purpose: str, paging: Paging, caller: Caller) -> Part[Upload]:
        """Some of the caller's."""
        return self._book.part(uploads_scope(caller), purpose, paging)

    async def content(self, file_id: str, caller: Caller) -> tuple[Upload, bytes]:
        """One of the caller's, and its bytes."""
        upload = await self.upload(file_id, caller)
        return upload, await self._threads.run(lambda: self._vault.read(upload.digest))

    async def delete(self, file_id: str, caller: Caller) -> None:
        """Forget one, also in each store that it is in."""
        await self._delete(await self.upload(file_id, caller))

    async def begin(self) -> None:
        """Drop bytes that a killed PoP has left. Once, before the first file is sent."""
        needed = self._book.digests()
        await self._threads.run(lambda: self._vault.sweep(needed))

    async def sweep(self) -> None:
        """Forget those whose time is over."""
        for upload in self._book.expired(self._unix_s()):
            await self._delete(upload)

    async def _delete(self, upload: Upload) -> None:
        await self._forget(upload.id)
        self._book.drop(upload.id)
        await self._drop_unneeded(upload.digest)

    async def _drop_unneeded(self, digest: Digest) -> None:
        """Drop bytes unless somebody needs them, or is just bringing them."""
        if digest not in self._arriving and not self._book.needs(digest):
            # On the loop: nobody can come to need them in between, and it is one call of the disk.
            self._vault.drop(digest)

    def _check_room(self, size: int, digest: Digest) -> None:
        if self._book.needs(digest):
            return
        kept = self._book.kept_bytes() + self._arriving_bytes
        if kept + size > self._bytes_max:
            raise ConflictError(
                f"the files that clients have sent may take {self._bytes_max:,} bytes together, "
                f"and take {kept:,} already",
                advice="delete some, or let the operator raise `files_bytes_max`",
            )

    def _upload(self, wanted: UploadWanted, digest: Digest, caller: Caller) -> Upload:
        now, life_s = self._unix_s(), wanted.expires_after_s
        return Upload(
            id=f"{FILE}{self._clock.random_bytes(12).hex()}",
            scope=uploads_scope(caller),
            filename=wanted.filename,
            purpose=wanted.purpose,
            size_bytes=len(wanted.data),
            digest=digest,
            created_unix_s=now,
            expires_unix_s=None if life_s is None else now + life_s,
        )

    def _is_over(self, upload: Upload) -> bool:
        return upload.expires_unix_s is not None and upload.expires_unix_s <= self._unix_s()

    def _unix_s(self) -> int:
        return self._clock.unix_ns() // SECOND


def _refuse_guests(caller: Caller) -> None:
    if caller.hop is not None:
        raise NotAllowedError(
            "files are for the keys of the PoP that keeps them",
            advice="ask that PoP with a key of its own",
        )
