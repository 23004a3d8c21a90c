"""The one writer of a store, and what it decides: what is open, room, pins, what is dropped.

Rules
- One process writes (HomeHeldError); it may do so on several threads.
- Whatever is under way has its room before it begins: what all files take, and what those under way
  still lack, is within `bytes_max` and within the free disk.
- An artifact is dropped manifest first, so that a kill leaves files that nobody names, which are
  swept away later, and never an artifact that lacks what it is said to have.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Final

from littoral.adapters.artifacts.book import Book
from littoral.adapters.artifacts.disk import Disk, translated
from littoral.adapters.artifacts.draft_intake import DraftIntake, Vouched, Workings
from littoral.adapters.artifacts.filled import fill, fill_draft
from littoral.adapters.artifacts.intake import Intake
from littoral.adapters.artifacts.locks import have_alone, is_held
from littoral.adapters.artifacts.places import Places, key_of, whole_path
from littoral.adapters.artifacts.scrubbing import Scrubbed, Scrubber
from littoral.adapters.artifacts.shelf import Shelf, allocated_bytes, folder_bytes
from littoral.adapters.artifacts.slot import Slot, name_all
from littoral.adapters.artifacts.slots import Slots
from littoral.adapters.artifacts.sweeping import (
    Swept,
    drafts_in,
    end_seals,
    idle_drafts,
    name_files,
    remove_draft,
    sweep,
)
from littoral.adapters.models.digests import DISK_SPARE_BYTES
from littoral.delivery.drafts import Draft, DraftId, opened_draft
from littoral.delivery.eviction import Candidate, victims
from littoral.delivery.manifest import Blake3, Manifest, blake3_of, decoded, opened
from littoral.delivery.tables import Table
from littoral.terms.errors import (
    ConflictError,
    DiskShortError,
    HomeHeldError,
    NotFoundError,
    StoreError,
)
from littoral.terms.ids import ArtifactId

__all__ = ["ArtifactStore", "open_store"]

CLAIMS_MAX: Final = 64
"""Of one artifact; further ones are not kept."""


class ArtifactStore:
    """The writer. All methods block, and may be called on any thread."""

    def __init__(self, disk: Disk, places: Places, lock: int, bytes_max: int) -> None:
        self._disk = disk
        self._places = places
        self._held_lock = lock
        self._bytes_max = bytes_max
        self._lock = RLock()
        self._under_way: dict[str, Callable[[], None]] = {}
        self._drafts: dict[DraftId, Sequence[Slot]] = {}
        self._protected: frozenset[ArtifactId] = frozenset()
        self.shelf = Shelf(places.folder)
        """What is here, to read."""
        self._slots = Slots(disk, places)
        self._book = Book(disk, places.book)
        self._scrubber = Scrubber(self.shelf, self._slots, self._book.scrubbed)
        end_seals(disk, places, self.shelf)
        self.gc()

    def take(
        self,
        manifest: Manifest,
        tables: Sequence[bytes],
        lists: Collection[bytes] = (),
    ) -> Intake:
        """Begin, or go on with, an artifact; or repair one; or send from it.

        What the store holds of it already, in other files, is copied first. One intake of an
        artifact at a time.

        Args:
            manifest: what it is.
            tables: one for each file.
            lists: lists of tensors, as far as they are had.

        Raises:
            DigestMismatchError, BadRequestError: as `manifest.decoded` and `manifest.opened`.
            ConflictError: it is under way already.
            DiskShortError: there is no room for it, and none can be made.
        """
        artifact = manifest.artifact
        table = opened(decoded(manifest.encoded(), artifact), tables)
        with self._lock, ExitStack() as undo:
            self._begin(artifact)
            rows = {key_of(row): row for row in manifest.files}
            lacking = sum(self._lacking(key, row.size_bytes) for key, row in rows.items())
            self._make_room(lacking, besides=artifact)
            self._keep_blobs(tables, lists, {row.tensors for row in manifest.files})
            self._disk.write_whole(self._places.manifest(artifact), manifest.encoded())
            slots: list[Slot] = []
            for row, rows_of_table in zip(manifest.files, tables, strict=True):
                slots.append(self._slots.take(row, rows_of_table))
                undo.callback(self._slots.give, row)
            self._under_way[artifact] = undo.pop_all().close
            if not self._book.entry(artifact).asked:
                self._book.use(artifact, table.size_bytes, None)
        name = partial(name_all, self._disk, self._places.files)
        intake = Intake(manifest, table, slots, name, lambda: self._end(artifact))
        return intake.after(lambda: fill(slots, self.shelf))

    def take_draft(
        self, draft: Draft, cuts: Sequence[bytes], lists: Collection[bytes] = ()
    ) -> DraftIntake:
        """Begin, or go on with, a draft. The arguments and errors are those of `take`.

        Files of it are copied that are here whole and have what its origin promises of them.
        """
        table = opened_draft(draft, cuts)
        with self._lock, ExitStack() as undo:
            self._begin(draft.id)
            here = folder_bytes(self._places.draft(draft.id))
            self._make_room(table.size_bytes - here, besides=draft.id)
            self._keep_blobs(cuts, lists, {file.tensors for file in draft.files})
            self._disk.make_folder(self._places.draft(draft.id))
            self._disk.write_whole(self._places.draft_file(draft.id), draft.encoded())
            slots, vouched = self._open_draft(draft.id, cuts, undo)
            self._drafts[draft.id] = slots
            undo.callback(self._drafts.pop, draft.id)
            self._under_way[draft.id] = undo.pop_all().close
        workings = Workings(draft, cuts, table, slots, vouched)
        intake = DraftIntake(workings, self._became(draft), lambda: self._end(draft.id))
        return intake.after(lambda: fill_draft(workings, self.shelf))

    def drafts(self) -> tuple[Draft, ...]:
        """All drafts that are here; the cuts of their files are blobs of the shelf."""
        return tuple(drafts_in(self._places))

    def remove_draft(self, draft: DraftId) -> None:
        """Drop a draft, if it is here. Raises ConflictError where it is under way."""
        with self._lock:
            self._begin(draft)
            remove_draft(self._disk, self._places, draft)
            self.gc()

    def claim(self, artifact: ArtifactId, envelope: bytes) -> None:
        """Keep who vouches for an artifact, unless CLAIMS_MAX do already.

        Raises:
            NotFoundError: it is not here.
        """
        with self._lock:
            self.shelf.manifest(artifact)
            folder = self._places.claims_of(artifact)
            path = folder / blake3_of(envelope).partition(":")[2]
            if not path.exists() and len(self.shelf.claims(artifact)) < CLAIMS_MAX:
                self._disk.make_folder(folder)
                self._disk.write_whole(path, envelope)

    def pin(self, artifact: ArtifactId, *, pinned: bool) -> None:
        """Never drop it to make room; or do so again.

        Raises:
            NotFoundError: it is not here.
        """
        with self._lock:
            self.shelf.manifest(artifact)
            self._book.pin(artifact, pinned=pinned)

    def protect(self, artifacts: Collection[ArtifactId]) -> None:
        """Never drop these, until it is said anew: last copies of what is pinned anywhere."""
        with self._lock:
            self._protected = frozenset(artifacts)

    def used(self, artifact: ArtifactId, *, refetch_s: float | None = None) -> None:
        """Count that it was asked for, for the order of eviction.

        Args:
            artifact: which; nothing happens where it is not here.
            refetch_s: seconds that fetching it took, where it has been measured.
        """
        with self._lock, suppress(NotFoundError):
            self._book.use(artifact, self.shelf.manifest(artifact).size_bytes, refetch_s)

    def in_use(self, artifact: ArtifactId) -> bool:
        """Whether somebody holds it (`Shelf.hold`), or it is under way."""
        with self._lock:
            keys = {key_of(row) for row in self.shelf.manifest(artifact).files}
            return artifact in self._under_way or any(self._is_held(key) for key in keys)

    def make_room(self, needed_bytes: int) -> tuple[ArtifactId, ...]:
        """Drop what is worth least until so much more fits, and say which artifacts that was.

        Drafts that nobody goes on with are worth less than any artifact.

        Raises:
            DiskShortError: too much is pinned, in use or a last copy. Nothing was dropped.
        """
        with self._lock:
            return self._make_room(needed_bytes, besides=None)

    def remove(self, artifact: ArtifactId) -> int:
        """Drop it, and say how many bytes that freed.

        Raises:
            NotFoundError: it is not here.
            ConflictError: somebody holds it, or it is under way.
        """
        with self._lock:
            freed = self._drop(artifact)
            self.gc()
            return freed

    def gc(self) -> Swept:
        """Take away files that no manifest or draft names, and what killed processes left."""
        with self._lock:
            swept = sweep(self._disk, self._places, self.shelf, self._slots.__contains__)
            self._book.forget_all_but(self.shelf.artifacts())
            self._book.write()
            return swept

    def scrub(self, bytes_max: int) -> Scrubbed:
        """Hash some of what is here again, where the last call ended; rotten chunks are let go."""
        with self._lock:
            scrubbed = self._scrubber.scrub(bytes_max)
            self._book.scrubbed = self._scrubber.key
            return scrubbed

    def close(self) -> None:
        """End all that is under way and let go of the store."""
        with self._lock:
            for artifact in list(self._under_way):
                self._end(artifact)
            with suppress(DiskShortError, StoreError):  # the latest uses are worth no error
                self._book.write()
            os.close(self._held_lock)

    def _begin(self, name: str) -> None:
        if name in self._under_way:
            raise ConflictError(f"{name} is under way already", advice="wait until that ends")

    def _end(self, name: str) -> None:
        with self._lock:
            close = self._under_way.pop(name, None)
            if close is not None:
                close()

    def _keep_blobs(
        self, tables: Sequence[bytes], lists: Collection[bytes], named: Collection[Blake3 | None]
    ) -> None:
        """Have tables on disk, and those lists of tensors that are named."""
        blobs = {}
        for data in (*tables, *(data for data in lists if blake3_of(data) in named)):
            path = self._places.blob(blake3_of(data))
            if not path.exists() or path.read_bytes() != data:
                blobs[path.name] = data
        self._disk.write_all(self._places.blobs, blobs)

    def _open_draft(
        self, draft: DraftId, cuts: Sequence[bytes], undo: ExitStack
    ) -> tuple[list[Slot], list[Vouched]]:
        slots, all_vouched = [], []
        for file, rows in enumerate(cuts):
            alone = Table([rows], hashed=False)
            path = self._places.draft_hashes(draft, file)
            vouched = Vouched(self._disk, path, alone.chunks)
            undo.callback(vouched.close)
            slot = Slot(self._disk, self._places.draft_slot(draft, file), alone, vouched.of)
            undo.callback(slot.close)
            all_vouched.append(vouched)
            slots.append(slot)
        return slots, all_vouched

    def _became(self, draft: Draft) -> Callable[[Manifest, tuple[bytes, ...]], None]:
        """What is done once it is known what a draft is."""

        def become(manifest: Manifest, tables: tuple[bytes, ...]) -> None:
            with self._lock:
                if any(key_of(row) in self._slots for row in manifest.files):
                    raise ConflictError(
                        f"{manifest.artifact} has a file that is under way as such",
                        advice="end that first",
                    )
                self._keep_blobs(tables, (), ())
                artifact = manifest.artifact
                self._disk.write_whole(self._places.manifest(artifact), manifest.encoded())
                self._disk.write_whole(self._places.draft_sealed(draft.id), artifact.encode())
                name_files(self._disk, self._places, draft.id, manifest)
                self._book.use(artifact, manifest.size_bytes, None)

        return become

    def _lacking(self, key: str, size_bytes: int) -> int:
        """What a file will take beyond what it takes; what is open is counted elsewhere."""
        slot = self._places.slot(key)
        if key in self._slots or whole_path(slot).exists():
            return 0
        return max(0, size_bytes - allocated_bytes(slot.part))

    def _make_room(self, needed_bytes: int, besides: str | None) -> tuple[ArtifactId, ...]:
        dropped: list[ArtifactId] = []
        again = needed_bytes > 0
        while again and (over := self._over_bytes(needed_bytes)) > 0:
            idle, freed = idle_drafts(self._places, over, {*self._under_way, besides})
            gone, clock = victims([*self._candidates(besides)], over - freed)
            for draft in idle:
                remove_draft(self._disk, self._places, draft)
            again = False
            for artifact in gone:
                try:
                    self._drop(artifact)
                    dropped.append(artifact)
                except ConflictError:  # somebody has taken hold of it since we looked
                    again = True
            self.gc()
            self._book.advance(clock)
        return tuple(dropped)

    def _over_bytes(self, needed_bytes: int) -> int:
        """How much too little room there is for so much more, and for what is under way."""
        drafts = sum(slot.lacking_bytes() for slots in self._drafts.values() for slot in slots)
        lacking = needed_bytes + self._slots.lacking_bytes() + drafts
        with translated():
            free = shutil.disk_usage(self._places.folder).free
        over = self.shelf.disk_bytes() + lacking - self._bytes_max
        return max(over, lacking + DISK_SPARE_BYTES - free)

    def _candidates(self, besides: str | None) -> Iterator[Candidate]:
        for artifact in self.shelf.artifacts():
            entry = self._book.entry(artifact)
            kept = entry.pinned or artifact in self._protected or artifact == besides
            files = self.shelf.files_of(artifact)
            kept = kept or any(key in self._slots or self._is_held(key) for key in files)
            yield Candidate(artifact, files, entry.priority, kept)

    def _is_held(self, key: str) -> bool:
        return is_held(whole_path(self._places.slot(key)))

    def _drop(self, artifact: ArtifactId) -> int:
        files = self.shelf.files_of(artifact)
        others = [it for it in self.shelf.artifacts() if it != artifact]
        shared = {key_of(row) for it in others for row in self.shelf.manifest(it).files}
        own = files.keys() - shared
        with ExitStack() as stack:
            for key in own:
                whole = whole_path(self._places.slot(key))
                if key in self._slots or not have_alone(whole, stack):
                    raise ConflictError(f"{artifact} is in use", advice="wait until that ends")
            self._disk.unlink(self._places.manifest(artifact))
            self._disk.sync_folder(self._places.manifests)
            for key in own:
                slot = self._places.slot(key)
                for path in (whole_path(slot), slot.map, slot.part):
                    self._disk.unlink(path)
            # The map of a file that is begun anew must not be the one that this one had.
            self._disk.sync_folder(self._places.files)
        return sum(files[key] for key in own)


def open_store(folder: Path, *, bytes_max: int, disk: Disk | None = None) -> ArtifactStore:
    """Open a store to write.

    Args:
        folder: `HOME/artifacts`; it is made.
        bytes_max: of disk that all files together may take.
        disk: what is done to the disk, for tests of what is left of it.

    Raises:
        HomeHeldError: another process writes to it.
        HomeUnwritableError, StoreError: it can't be used.
    """
    disk = disk or Disk()
    places = Places(folder)
    for part in (places.manifests, places.claims, places.blobs, places.files, places.drafts):
        disk.make_folder(part)
    lock = disk.open(places.lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return ArtifactStore(disk, places, lock, bytes_max)
    except BlockingIOError:
        os.close(lock)
        raise HomeHeldError(f"another process writes to the artifacts in {folder}") from None
    except BaseException:
        os.close(lock)
        raise
