"""Takes away what nothing needs, and ends what a killed process had begun."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from littoral.adapters.artifacts.disk import Disk
from littoral.adapters.artifacts.places import Places, key_of, whole_path
from littoral.adapters.artifacts.shelf import Shelf, allocated_bytes, folder_bytes
from littoral.delivery.drafts import Draft, DraftId, decoded_draft
from littoral.delivery.manifest import Manifest
from littoral.terms.errors import LittoralError, NotFoundError
from littoral.terms.ids import artifact_id

__all__ = ["Swept", "drafts_in", "end_seals", "idle_drafts", "name_files", "remove_draft", "sweep"]


@dataclass(frozen=True, slots=True)
class Swept:
    """What was taken away because nothing needs it."""

    files: int
    freed_bytes: int


def drafts_in(places: Places) -> Iterator[Draft]:
    """Every draft that is here and readable."""
    for folder in sorted(places.drafts.glob("*")):
        name = DraftId(f"draft:{folder.name}")
        with suppress(LittoralError, FileNotFoundError):
            yield decoded_draft(places.draft_file(name).read_bytes(), name)


def end_seals(disk: Disk, places: Places, shelf: Shelf) -> None:
    """Give the files of drafts their names that had become artifacts when a process was killed."""
    for folder in places.drafts.glob("*"):
        draft = DraftId(f"draft:{folder.name}")
        sealed = places.draft_sealed(draft)
        if sealed.exists():
            artifact = artifact_id(sealed.read_text())
            try:
                name_files(disk, places, draft, shelf.manifest(artifact))
            except NotFoundError:  # its manifest is damaged, so it is a draft again
                disk.unlink(sealed)
                disk.sync_folder(folder)


def name_files(disk: Disk, places: Places, draft: DraftId, manifest: Manifest) -> None:
    """Give the files of a draft, which are all of an artifact, their names; then drop the draft.

    It may have been begun before. Nobody has the files open to write.
    """
    for file, row in enumerate(manifest.files):
        part, slot = places.draft_slot(draft, file).part, places.slot(key_of(row))
        whole = whole_path(slot)
        if not part.exists():
            continue
        if whole.exists() and not slot.map.exists():
            disk.unlink(part)
            continue
        disk.unlink(slot.map)
        disk.unlink(slot.part)
        disk.sync_folder(places.files)
        part.chmod(0o444)
        disk.rename(part, whole)
    disk.sync_folder(places.files)
    remove_draft(disk, places, draft)


def idle_drafts(
    places: Places, needed_bytes: int, besides: Collection[str | None]
) -> tuple[list[DraftId], int]:
    """Drafts that nobody goes on with, the oldest first, until so much is freed; and how much."""
    idle, freed = [], 0
    for folder in sorted(places.drafts.glob("*"), key=lambda path: path.stat().st_mtime_ns):
        draft = DraftId(f"draft:{folder.name}")
        if freed < needed_bytes and draft not in besides:
            idle.append(draft)
            freed += folder_bytes(folder)
    return idle, freed


def remove_draft(disk: Disk, places: Places, draft: DraftId) -> None:
    """Take a draft away; what it has become is said until the last of it goes."""
    folder, sealed = places.draft(draft), places.draft_sealed(draft)
    disk.unlink(places.draft_file(draft))
    for path in folder.glob("*"):
        if path != sealed:
            disk.unlink(path)
    if folder.exists():
        disk.sync_folder(folder)
    disk.unlink(sealed)
    disk.remove_folder(folder)


def sweep(disk: Disk, places: Places, shelf: Shelf, is_open: Callable[[str], bool]) -> Swept:
    """Take away whatever no manifest and no draft names.

    Args:
        disk: that the store is on.
        places: of the store.
        shelf: of the store.
        is_open: whether a file, known by this, is open.
    """
    manifests = list(shelf.manifests())
    drafts = list(drafts_in(places))
    rows = [row for _, manifest in manifests for row in manifest.files]
    keys = {key_of(row) for row in rows}
    names = [row.table for row in rows] + [file.cuts for draft in drafts for file in draft.files]
    names += [name for row in rows if (name := row.tensors) is not None]
    names += [name for it in drafts for file in it.files if (name := file.tensors) is not None]
    blobs = {places.blob(name) for name in names}
    kept = {places.claims_of(artifact) for artifact, _ in manifests}
    known = {places.draft(draft.id) for draft in drafts}
    gone = [path for path in places.files.glob("*") if not _is_needed(path, keys, is_open)]
    gone += [path for path in places.blobs.glob("*") if path not in blobs]
    readable = {places.manifest(artifact) for artifact, _ in manifests}
    gone += [path for path in places.manifests.glob("*") if path not in readable]
    gone += [path for path in places.claims.glob("*/*") if path.parent not in kept]
    gone += [path for path in places.drafts.glob("*/*") if path.parent not in known]
    swept = Swept(len(gone), sum(allocated_bytes(path) for path in gone))
    _remove(disk, gone)
    for folder in (*places.claims.glob("*"), *places.drafts.glob("*")):
        if folder not in kept | known:
            disk.remove_folder(folder)
    return swept


def _is_needed(path: Path, keys: Iterable[str], is_open: Callable[[str], bool]) -> bool:
    return path.stem in keys or is_open(path.stem)


def _remove(disk: Disk, paths: Iterable[Path]) -> None:
    for path in paths:
        disk.unlink(path)
    for folder in {path.parent for path in paths}:
        disk.sync_folder(folder)
