"""Fills a new artifact from what the store holds already, before anybody is asked for it.

There is no index of all chunks: it would take 100 MB of memory or more for a terabyte, and could be
wrong. What the new artifact lacks is known, so the tables of all others are read through once and
looked up in that: about half a second for a terabyte.

Of a draft no chunk is known. But a file of which its origin promises the digest of one that is here
whole is that one: where a repository has a new version, most of its files are as they were.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from littoral.adapters.artifacts.draft_intake import Vouched, Workings
from littoral.adapters.artifacts.places import key_of
from littoral.adapters.artifacts.shelf import Shelf
from littoral.adapters.artifacts.slot import Slot
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.manifest import FileRow
from littoral.delivery.tables import cuts_of, hashes_of
from littoral.terms.errors import NotFoundError, StoreError

__all__ = ["fill", "fill_draft"]

Wanted = Mapping[bytes, Sequence[tuple[Slot, int]]]


def fill(slots: Sequence[Slot], shelf: Shelf) -> int:
    """Take in what a killed process had written, and copy what these files lack from others.

    Each chunk is checked where it was copied to. What has rotted is left out.

    Returns: how many bytes were copied.

    Raises:
        DiskShortError: it can't be written. What was copied before is held.
    """
    for slot in {id(slot): slot for slot in slots}.values():
        slot.adopt()
    wanted = _wanted(slots)
    done = 0
    for row, held in _sources(shelf) if wanted else ():
        with suppress(NotFoundError):
            done += _from(shelf, row, held, wanted)
    return done


def fill_draft(workings: Workings, shelf: Shelf) -> None:
    """Copy the files of a draft that are here whole. Each chunk is checked, as by `fill`.

    Raises:
        DiskShortError: it can't be written. What was copied before is held.
    """
    parts = zip(workings.draft.files, workings.slots, workings.vouched, strict=True)
    for file, slot, vouched in parts:
        missing = ChunkSet.of_runs([(0, slot.table.chunks)]) - slot.held
        row = shelf.like(file.size_bytes, file.sha256, file.git_oid) if missing else None
        if row is not None:
            with suppress(NotFoundError):
                _same(shelf, row, missing, slot, vouched)


def _same(shelf: Shelf, row: FileRow, missing: ChunkSet, slot: Slot, vouched: Vouched) -> None:
    """Copy what a file of a draft lacks from a file of the same bytes, if that is cut alike."""
    table = shelf.blob(row.table)
    own = [(slot.table[number].start, slot.table[number].size_bytes) for number in missing]
    cuts, hashes = list(cuts_of(table)), list(hashes_of(table))
    if len(cuts) != slot.table.chunks or own != [cuts[number] for number in missing]:
        return
    source = shelf.open_file(row)
    try:
        for number in missing:
            vouched.put(number, hashes[number])
            with suppress(StoreError):  # the source can't be read
                slot.copy(number, source, cuts[number][0])
    finally:
        os.close(source)


def _wanted(slots: Sequence[Slot]) -> Wanted:
    wanted: dict[bytes, list[tuple[Slot, int]]] = {}
    for slot in {id(slot): slot for slot in slots}.values():
        missing = ChunkSet.of_runs([(0, slot.table.chunks)]) - slot.held
        if missing:
            hashes = list(slot.table.hashes())
            for number in missing:
                wanted.setdefault(hashes[number], []).append((slot, number))
    return wanted


def _sources(shelf: Shelf) -> Iterable[tuple[FileRow, ChunkSet]]:
    """Every file that is here, each once, and what of it is."""
    seen: set[str] = set()
    for _, manifest in shelf.manifests():
        for row in manifest.files:
            if key_of(row) not in seen:
                seen.add(key_of(row))
                held = shelf.held_of(row)
                if held:
                    yield row, held


def _from(shelf: Shelf, row: FileRow, held: ChunkSet, wanted: Wanted) -> int:
    """Copy what is wanted from one file."""
    table = shelf.blob(row.table)
    found = [number for number, name in enumerate(hashes_of(table)) if name in wanted]
    useful = ChunkSet.of(found) & held
    if not useful:
        return 0
    done = 0
    cuts, names = list(cuts_of(table)), list(hashes_of(table))
    source = shelf.open_file(row)
    try:
        for number in useful:
            start, size = cuts[number]
            for slot, at in wanted[names[number]]:
                with suppress(StoreError):  # the source can't be read
                    if not slot.holds(at) and slot.copy(at, source, start):
                        done += size
    finally:
        os.close(source)
    return done
