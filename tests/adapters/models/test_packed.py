"""Built-in models as an origin, from a package index of the test's own."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from littoral.adapters.models import builtin
from littoral.adapters.models.builtin import BUILTIN, Builtin, GgufParts, MiniLm, Offer
from littoral.adapters.models.packages import Member, Wheel
from littoral.adapters.models.packed import PackageOrigin
from littoral.terms.errors import BadRequestError, OriginChangedError, OriginRefusedError
from littoral.terms.ids import ModelName, digest_of_hex
from littoral.terms.values import ModelDefaults, ToolSupport
from tests.adapters.models.made import make_parts

CONTENT = os.urandom(60_000)
NAME = ModelName("tiny")


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[PackageOrigin]:
    made = PackageOrigin(tmp_path / "unpacked")
    yield made
    made.close()
    assert not (tmp_path / "unpacked").exists()


def add(monkeypatch: pytest.MonkeyPatch, parts: tuple[tuple[Wheel, Member], ...]) -> None:
    digest = digest_of_hex(hashlib.sha256(CONTENT).hexdigest())
    recipe = GgufParts("tiny.gguf", digest, parts, ModelDefaults(), ToolSupport.PROMPTED)
    offer = Offer(NAME, "A tiny model", 1, len(CONTENT), "mit", "packages part-N 1.0")
    monkeypatch.setitem(builtin.BUILTIN, NAME, Builtin(offer, recipe))


def read(origin: PackageOrigin, start: int, end: int) -> bytes:
    (file,) = origin.find("package:tiny").files
    with origin.read(file, start, end) as pieces:
        return b"".join(pieces)


def test_every_built_in_model_says_what_it_is_without_fetching_anything(
    origin: PackageOrigin, index: Path
) -> None:
    for name, row in BUILTIN.items():
        files = origin.find(f"package:{name}").files
        assert all(file.digest is not None for file in files)
        if isinstance(row.recipe, MiniLm):
            assert [file.path for file in files] == ["model.safetensors", "tokenizer.json"]
        else:
            assert [file.size_bytes for file in files] == [row.offer.size_bytes]


def test_only_the_wheels_that_a_range_needs_are_fetched_and_each_once(
    origin: PackageOrigin, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(monkeypatch, make_parts(index, CONTENT, 3))
    kept = tmp_path / "unpacked"
    assert read(origin, 20_001, 39_999) == CONTENT[20_001:39_999]
    assert len(list(kept.iterdir())) == 1
    assert read(origin, 19_999, 20_001) == CONTENT[19_999:20_001]
    assert len(list(kept.iterdir())) == 2
    for path in index.iterdir():
        path.unlink()
    assert read(origin, 0, 40_000) == CONTENT[:40_000]
    with pytest.raises(OriginRefusedError, match="pip"):
        read(origin, 0, 40_001)


def test_few_parts_are_kept_and_whoever_reads_one_reads_on(
    origin: PackageOrigin, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("littoral.adapters.models.packed.ORIGIN_WHEELS_KEPT", 1)
    monkeypatch.setattr("littoral.adapters.models.packed.ORIGIN_PIECE_BYTES", 1_000)
    add(monkeypatch, make_parts(index, CONTENT, 2))
    (file,) = origin.find("package:tiny").files
    with origin.read(file, 0, 30_000) as pieces:
        first = next(pieces)
        assert read(origin, 30_000, 60_000) == CONTENT[30_000:]
        assert first + b"".join(pieces) == CONTENT[:30_000]
    assert len(list((tmp_path / "unpacked").iterdir())) == 1


def test_an_index_with_another_package_than_the_pinned_one_is_noticed(
    origin: PackageOrigin, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = make_parts(index, CONTENT, 1)
    make_parts(index, CONTENT[::-1], 1)
    add(monkeypatch, parts)
    with pytest.raises(OriginChangedError):
        read(origin, 0, 10)


def test_what_no_package_has_is_refused(origin: PackageOrigin) -> None:
    with pytest.raises(OriginRefusedError, match="smollm2-135m"):
        origin.find("package:none")
    with pytest.raises(BadRequestError):
        origin.find("hf:a/b")
