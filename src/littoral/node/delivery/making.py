"""An artifact of files that were made on this PoP: cut, hashed and kept as any that was pulled."""

from collections.abc import Iterable, Mapping
from functools import partial

from littoral.adapters.artifacts import ArtifactStore, DraftIntake
from littoral.delivery.cutting import cut_file
from littoral.delivery.drafts import Draft, DraftFile
from littoral.delivery.manifest import Kind, blake3_of
from littoral.delivery.tables import CUT_BYTES
from littoral.terms.ids import ArtifactId

__all__ = ["keep_files"]


def keep_files(
    store: ArtifactStore,
    kind: Kind,
    reference: str,
    sizes: Mapping[str, int],
    contents: Iterable[bytes],
) -> ArtifactId:
    """Keep files as an artifact. Blocks.

    Args:
        store: where.
        kind: what it is for.
        reference: what it is of, pinned: the same files in the same words are the same artifact.
        sizes: the files' names, sorted, and their sizes in bytes.
        contents: of each file all bytes, in the order of the names; asked for one by one.

    Raises:
        DiskShortError, StoreError: the store can't take them.
        ConflictError: the same is being kept just now.
    """
    rows, cuts = [], []
    for path, size in sizes.items():
        cut = cut_file(path, size, partial(_unread, path))
        cuts.append(cut.cuts)
        rows.append(
            DraftFile(
                path=path,
                size_bytes=size,
                sha256=None,
                git_oid=None,
                place="",
                format=cut.format,
                chunks=len(cut.cuts) // CUT_BYTES,
                cuts=blake3_of(cut.cuts),
                tensors=None,
            )
        )
    intake = store.take_draft(Draft(kind, reference, True, None, tuple(rows)), cuts)
    try:
        for file, data in enumerate(contents):
            _write(intake, file, data)
        manifest, _ = intake.seal()
    finally:
        intake.close()
    return manifest.artifact


def _write(intake: DraftIntake, file: int, data: bytes) -> None:
    view = memoryview(data)
    for number in range(*intake.table.run_of(file)):
        chunk = intake.table[number]
        intake.write(number, view[chunk.start : chunk.start + chunk.size_bytes])


def _unread(path: str, _: int) -> bytes:
    raise AssertionError(f"{path} is of a kind that is cut by what is in it")
