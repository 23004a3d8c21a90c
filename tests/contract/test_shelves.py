"""One suite that every shelf passes: what it gives, and to whom, and never a wrong byte."""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from littoral.adapters.shelves import LocalShelf
from littoral.terms.artifacts import OriginFile, Shelved
from littoral.terms.errors import DigestMismatchError, NotAllowedError, NotFoundError
from littoral.terms.ports import Shelf
from tests.adapters.shelves.made import caller, shelved

ANYBODY = caller()
LARGE = bytes(range(256)) * 1024 * 13 + b"the end"
"""3.25 MiB and a little: several reads of several pieces."""
DAMAGED_AT = 2_000_000

Made = Callable[[Sequence[Shelved]], Shelf]


@pytest.fixture(params=["local"])
def made(request: pytest.FixtureRequest) -> Made:
    """Makes a shelf that has these; the place of each file that it lists is where it lies."""
    return lambda there: LocalShelf(lambda: there)


async def read(shelf: Shelf, file: OriginFile, start: int = 0, end: int | None = None) -> bytes:
    async with shelf.open(file, start, file.size_bytes if end is None else end) as pieces:
        return b"".join([piece async for piece in pieces])


async def large_on(made: Made, folder: Path) -> tuple[Shelf, OriginFile]:
    shelf = made([shelved(folder, "acme/large", {"weights.bin": LARGE})])
    return shelf, (await shelf.find("acme/large", "main", ANYBODY)).files[0]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, len(LARGE)),
        (0, 1),
        (len(LARGE) - 1, len(LARGE)),
        (256 * 1024 - 1, 256 * 1024 + 1),
        (256 * 1024, 512 * 1024),
        (1_000_000, 2_500_001),
        (17, 17),
    ],
)
async def test_any_range_is_the_files_own_bytes(
    made: Made, tmp_path: Path, start: int, end: int
) -> None:
    shelf, file = await large_on(made, tmp_path)
    assert await read(shelf, file, start, end) == LARGE[start:end]


async def test_many_at_once_all_get_theirs(made: Made, tmp_path: Path) -> None:
    shelf, file = await large_on(made, tmp_path)
    starts = range(0, 3_000_000, 60_000)
    got = await asyncio.gather(*(read(shelf, file, n, n + 70_000) for n in starts))
    assert got == [LARGE[n : n + 70_000] for n in starts]


async def test_who_leaves_disturbs_nobody(made: Made, tmp_path: Path) -> None:
    shelf, file = await large_on(made, tmp_path)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(read(shelf, file))
        await asyncio.sleep(0)
        first.cancel()
    async with shelf.open(file, 0, file.size_bytes) as pieces:
        assert LARGE.startswith(await anext(pieces))
    assert await read(shelf, file) == LARGE


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[DAMAGED_AT] ^= 1
    path.write_bytes(data)


def flip_unseen(path: Path) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(DAMAGED_AT)
        (byte,) = file.read(1)
        file.seek(DAMAGED_AT)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, DAMAGED_AT)


def remove(path: Path) -> None:
    path.unlink()


DAMAGES = [flip, flip_unseen, cut, remove]


async def taken(shelf: Shelf, file: OriginFile) -> bytes:
    """What comes before the damage is noticed."""
    got: list[bytes] = []

    async def take() -> None:
        async with shelf.open(file, 0, file.size_bytes) as pieces:
            async for piece in pieces:
                got.append(piece)  # noqa: PERF401 - what comes before the error counts

    with pytest.raises(DigestMismatchError):
        await take()
    return b"".join(got)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("read_before", [False, True])
async def test_a_damaged_piece_never_leaves(
    made: Made, tmp_path: Path, damage: Callable[[Path], None], *, read_before: bool
) -> None:
    shelf, file = await large_on(made, tmp_path)
    if read_before:
        assert await read(shelf, file) == LARGE
    damage(Path(file.place))
    for _ in range(2):
        got = await taken(shelf, file)
        assert LARGE.startswith(got)
        assert len(got) <= DAMAGED_AT


async def test_revisions_are_found_by_branch_tag_and_commit(made: Made, tmp_path: Path) -> None:
    old = shelved(tmp_path, "acme/tiny", {"a": b"old"}, names=("v1",))
    new = shelved(tmp_path, "acme/tiny", {"a": b"new"}, names=("main", "v2"))
    shelf = made([old, new])
    for revision, found in [("v1", old), (old.commit, old), ("main", new), ("v2", new)]:
        assert await shelf.find("acme/tiny", revision, ANYBODY) == found
    assert list(await shelf.revisions("acme/tiny", ANYBODY)) == [new, old]
    with pytest.raises(NotFoundError, match="revision"):
        await shelf.find("acme/tiny", "v3", ANYBODY)
    with pytest.raises(NotFoundError, match="repository"):
        await shelf.find("acme/Tiny", "main", ANYBODY)


async def test_a_key_reads_what_its_models_are_made_of(made: Made, tmp_path: Path) -> None:
    public = shelved(tmp_path, "acme/public", {"a": b"1"}, models=("public",))
    secret = shelved(tmp_path, "acme/secret", {"a": b"2"}, private=True, models=("secret",))
    shelf = made([public, secret])
    assert shelf.repositories(caller(operator=True)) == ["acme/public", "acme/secret"]
    assert shelf.repositories(caller()) == ["acme/public"]
    assert shelf.repositories(caller("secret")) == ["acme/secret"]
    assert shelf.repositories(caller(limited=True)) == []
    with pytest.raises(NotAllowedError):
        await shelf.find("acme/public", "main", caller("secret"))
    for stranger in (caller(), caller("public")):
        for ask in (
            shelf.find("acme/secret", "main", stranger),
            shelf.revisions("acme/secret", stranger),
        ):
            with pytest.raises(NotFoundError, match="repository"):
                await ask
