"""A shelf of files on this disk: only right bytes leave, to those who may have them."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from littoral.adapters.models import Catalogue
from littoral.adapters.shelves import LocalShelf, models_shelved
from littoral.adapters.shelves.checked import PIECE_BYTES
from littoral.terms.artifacts import OriginFile, Shelved
from littoral.terms.errors import (
    DigestMismatchError,
    NotAllowedError,
    NotFoundError,
)
from littoral.terms.values import ModelEntry
from tests.adapters.shelves.made import caller, shelved

ANYBODY = caller()
LARGE = bytes(range(256)) * 1024 * 13 + b"the end"
"""3.25 MiB and a little: several reads of several pieces."""


async def read(
    shelf: LocalShelf, file: OriginFile, start: int = 0, end: int | None = None
) -> bytes:
    async with shelf.open(file, start, file.size_bytes if end is None else end) as pieces:
        return b"".join([piece async for piece in pieces])


@pytest.fixture
def large(tmp_path: Path) -> Shelved:
    return shelved(tmp_path, "acme/large", {"weights.bin": LARGE})


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, len(LARGE)),
        (0, 1),
        (len(LARGE) - 1, len(LARGE)),
        (PIECE_BYTES - 1, PIECE_BYTES + 1),
        (PIECE_BYTES, 2 * PIECE_BYTES),
        (1_000_000, 2_500_001),
        (17, 17),
    ],
)
async def test_any_range_is_the_files_own_bytes(large: Shelved, start: int, end: int) -> None:
    shelf = LocalShelf(lambda: [large])
    assert await read(shelf, large.files[0], start, end) == LARGE[start:end]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[2_000_000] ^= 1
    path.write_bytes(data)


def flip_unseen(path: Path) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(2_000_000)
        (byte,) = file.read(1)
        file.seek(2_000_000)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, 2_000_000)


def remove(path: Path) -> None:
    path.unlink()


DAMAGES = [flip, flip_unseen, cut, remove]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_file_that_was_damaged_before_it_was_asked_for_gives_no_byte(
    large: Shelved, damage: Callable[[Path], None]
) -> None:
    damage(Path(large.files[0].place))
    shelf = LocalShelf(lambda: [large])
    for _ in range(2):
        with pytest.raises(DigestMismatchError):
            await read(shelf, large.files[0], 0, 1)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_piece_that_is_damaged_later_does_not_leave(
    large: Shelved, damage: Callable[[Path], None]
) -> None:
    shelf, file, got = LocalShelf(lambda: [large]), large.files[0], []
    assert await read(shelf, file) == LARGE
    damage(Path(file.place))

    async def take() -> None:
        async with shelf.open(file, 0, file.size_bytes) as pieces:
            async for piece in pieces:
                got.append(piece)  # noqa: PERF401 - what comes before the error counts

    with pytest.raises(DigestMismatchError):
        await take()
    assert LARGE.startswith(b"".join(got))
    assert len(got) <= 1, "the second MiB is the damaged one"


async def test_a_file_that_was_mended_is_given_again(large: Shelved) -> None:
    shelf, file = LocalShelf(lambda: [large]), large.files[0]
    Path(file.place).write_bytes(b"x" * len(LARGE))
    with pytest.raises(DigestMismatchError):
        await read(shelf, file)
    Path(file.place).write_bytes(LARGE)
    assert await read(shelf, file) == LARGE


async def test_many_at_once_hash_a_file_once_and_all_get_it(large: Shelved) -> None:
    shelf, file = LocalShelf(lambda: [large]), large.files[0]
    got = await asyncio.gather(
        *(read(shelf, file, n, n + 70_000) for n in range(0, 3_000_000, 60_000))
    )
    assert got == [LARGE[n : n + 70_000] for n in range(0, 3_000_000, 60_000)]


async def test_who_leaves_while_a_file_is_hashed_leaves_it_to_the_next(large: Shelved) -> None:
    shelf, file = LocalShelf(lambda: [large]), large.files[0]
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(read(shelf, file))
        await asyncio.sleep(0)
        first.cancel()
    assert await read(shelf, file) == LARGE


async def test_revisions_are_found_by_branch_tag_and_commit(tmp_path: Path) -> None:
    old = shelved(tmp_path, "acme/tiny", {"a": b"old"}, names=("v1",))
    new = shelved(tmp_path, "acme/tiny", {"a": b"new"}, names=("main", "v2"))
    shelf = LocalShelf(lambda: [old, new])
    for revision, found in [("v1", old), (old.commit, old), ("main", new), ("v2", new)]:
        assert await shelf.find("acme/tiny", revision, ANYBODY) == found
    assert list(await shelf.revisions("acme/tiny", ANYBODY)) == [new, old]
    with pytest.raises(NotFoundError, match="revision"):
        await shelf.find("acme/tiny", "v3", ANYBODY)
    with pytest.raises(NotFoundError, match="repository"):
        await shelf.find("acme/Tiny", "main", ANYBODY)


async def test_a_key_reads_what_its_models_are_made_of(tmp_path: Path) -> None:
    public = shelved(tmp_path, "acme/public", {"a": b"1"}, models=("public",))
    secret = shelved(tmp_path, "acme/secret", {"a": b"2"}, private=True, models=("secret",))
    shelf = LocalShelf(lambda: [public, secret])
    both, one = ["acme/public", "acme/secret"], ["acme/public"]
    assert shelf.repositories(caller(operator=True)) == both
    assert shelf.repositories(caller()) == one
    assert shelf.repositories(caller("secret")) == ["acme/secret"]
    assert shelf.repositories(caller(limited=True)) == []
    with pytest.raises(NotAllowedError):
        await shelf.find("acme/public", "main", caller("secret"))
    for stranger in (caller(), caller("public")):
        with pytest.raises(NotFoundError, match="repository"):
            await shelf.find("acme/secret", "main", stranger)


@pytest.mark.model
async def test_the_models_of_a_catalogue_are_repositories(
    smollm2: ModelEntry, models_home: Path
) -> None:
    entries = Catalogue(models_home / "models").entries()
    shelf = LocalShelf(lambda: models_shelved(entries))
    assert "littoral/smollm2-135m" in shelf.repositories(ANYBODY)
    found = await shelf.find("littoral/smollm2-135m", "main", ANYBODY)
    (weights,) = found.files
    assert (weights.digest, weights.size_bytes) == (smollm2.digest, smollm2.size_bytes)
    assert await read(shelf, weights, 0, 4) == b"GGUF"
