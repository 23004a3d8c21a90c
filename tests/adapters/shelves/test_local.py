"""What a shelf of files on this disk does beyond the contract of all shelves."""

import threading
from pathlib import Path

import pytest

from littoral.adapters.models import Catalogue
from littoral.adapters.shelves import LocalShelf, checked, models_shelved
from littoral.adapters.shelves.checked import CheckedFiles
from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import DigestMismatchError
from littoral.terms.ids import Digest
from littoral.terms.values import ModelEntry
from tests.adapters.shelves.made import caller, shelved

LARGE = bytes(range(256)) * 1024 * 13


def learnt(tmp_path: Path) -> tuple[Path, Digest]:
    (file,) = shelved(tmp_path, "acme/large", {"weights.bin": LARGE}).files
    assert file.digest is not None
    return Path(file.place), file.digest


def test_a_file_that_was_mended_is_given_again(tmp_path: Path) -> None:
    files, (path, digest) = CheckedFiles(), learnt(tmp_path)
    path.write_bytes(b"x" * len(LARGE))
    for _ in range(2):
        with pytest.raises(DigestMismatchError):
            files.learn(path, digest, lambda: True)
    path.write_bytes(LARGE)
    files.learn(path, digest, lambda: True)
    assert files.read(path, digest, 5, 15) == LARGE[5:15]


def test_hashing_that_was_broken_off_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, (path, digest) = CheckedFiles(), learnt(tmp_path)
    reads: list[int] = []
    really = checked._read

    def counted(path: Path, start: int, size: int) -> bytes:
        reads.append(start)
        return really(path, start, size)

    monkeypatch.setattr(checked, "_read", counted)
    files.learn(path, digest, lambda: False)
    assert not files.knows(digest)
    files.learn(path, digest, lambda: True)
    assert files.knows(digest)
    assert reads == [0, 2**20, 2 * 2**20, 3 * 2**20, len(LARGE)]


def test_those_who_want_the_same_file_hash_it_once(tmp_path: Path) -> None:
    files, (path, digest) = CheckedFiles(), learnt(tmp_path)
    pieces: list[int] = []

    def wanted() -> bool:
        pieces.append(1)
        return True

    threads = [threading.Thread(target=files.learn, args=(path, digest, wanted)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pieces) == 4, "one for each MiB of one pass"


def test_what_is_known_of_pieces_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked, "SHELF_PIECES_KNOWN_MAX", 20)
    files = CheckedFiles()
    listed = shelved(tmp_path, "a/b", {"1": LARGE, "2": LARGE[1:], "3": LARGE[2:]}).files
    for file in listed:
        assert file.digest is not None
        files.learn(Path(file.place), file.digest, lambda: True)
    assert [files.knows(file.digest) for file in listed if file.digest] == [False, False, True]
    first = listed[0]
    assert first.digest is not None
    assert files.read(Path(first.place), first.digest, 0, 1) is None


async def read(shelf: LocalShelf, file: OriginFile, start: int, end: int) -> bytes:
    async with shelf.open(file, start, end) as pieces:
        return b"".join([piece async for piece in pieces])


@pytest.mark.model
async def test_the_models_of_a_catalogue_are_repositories(
    smollm2: ModelEntry, models_home: Path
) -> None:
    entries = Catalogue(models_home / "models").entries()
    shelf = LocalShelf(lambda: models_shelved(entries))
    assert "littoral/smollm2-135m" in shelf.repositories(caller())
    found = await shelf.find("littoral/smollm2-135m", "main", caller())
    (weights,) = found.files
    assert (weights.digest, weights.size_bytes) == (smollm2.digest, smollm2.size_bytes)
    assert await read(shelf, weights, 0, 4) == b"GGUF"
