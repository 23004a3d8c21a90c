"""What origins list: names and sizes from strangers."""

import json
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.adapters.origins.hub import rows_of
from littoral.adapters.origins.listing import agree_on_state, listed, state_of
from littoral.adapters.origins.registries import files_of_manifest, read_challenge
from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import OriginChangedError, OriginRefusedError
from littoral.terms.limits import (
    ORIGIN_ARTIFACT_BYTES_MAX,
    ORIGIN_FILE_BYTES_MAX,
    ORIGIN_FILES_MAX,
)


def files(*paths: str, size: int = 1) -> list[OriginFile]:
    return [OriginFile(path, size, None, path) for path in paths]


def test_files_come_sorted() -> None:
    found = listed(files("b", "a/c", "a b", "ä"), "x")
    assert [file.path for file in found] == ["a b", "a/c", "b", "ä"]


@pytest.mark.parametrize(
    "paths",
    [
        *((), ("",), ("/a",), ("a/",), ("a//b",), ("..",), ("../a",), ("a/../b",), ("./a",)),
        *(("a\0",), ("a\\b",), ("a\nb",), ("C:/a",), ("c:",), ("\ud800",), ("a\x7f",)),
        *(("a" * 256,), ("a/" * 600 + "a",), ("ä" * 128,)),
        *(("a", "a"), ("a", "A"), ("a/b", "A/B"), ("straße", "STRASSE"), ("é", "e\u0301")),
        *(("a", "a/b"), ("A/b", "a"), ("a/b/c", "a/B")),
    ],
)
def test_one_name_that_no_file_may_have_ends_the_whole_listing(paths: tuple[str, ...]) -> None:
    with pytest.raises(OriginRefusedError):
        listed(files(*paths, *(["good"] if paths else [])), "x")


@pytest.mark.parametrize("size", [-1, ORIGIN_FILE_BYTES_MAX + 1, 10**300])
def test_a_size_that_no_file_has_is_refused(size: int) -> None:
    with pytest.raises(OriginRefusedError):
        listed(files("a", size=size), "x")


def test_there_are_bounds_to_files_and_to_all_of_them() -> None:
    with pytest.raises(OriginRefusedError, match="files"):
        listed(files(*map(str, range(ORIGIN_FILES_MAX + 1))), "x")
    many = ORIGIN_ARTIFACT_BYTES_MAX // ORIGIN_FILE_BYTES_MAX + 1
    with pytest.raises(OriginRefusedError, match="bytes"):
        listed(files(*map(str, range(many)), size=ORIGIN_FILE_BYTES_MAX), "x")


@given(st.lists(st.text(max_size=12) | st.text("ab./\\A", max_size=6), min_size=1, max_size=5))
def test_whatever_is_let_through_stays_below_its_directory_and_is_one_file(
    paths: list[str],
) -> None:
    try:
        found = [file.path for file in listed(files(*paths), "x")]
    except OriginRefusedError:
        return
    assert sorted(paths) == found
    for path in found:
        assert str(PurePosixPath(path)) == path
        assert not PureWindowsPath(path).is_absolute()
        assert ".." not in PurePosixPath(path).parts
    assert len({path.casefold() for path in found}) == len(found)


def test_a_state_is_of_every_name_size_and_mark_and_of_no_order() -> None:
    marks = [("a", 1, "x"), ("b", 2, "y")]
    state = state_of(marks)
    assert state == state_of(marks[::-1])
    others = [[("a", 1, "x")], [("a", 1, "x"), ("b", 2, "z")], [("a", 12, " x"), ("b", 2, "y")]]
    assert len({state, *map(state_of, others)}) == 4
    agree_on_state(None, state, "x")
    agree_on_state(state, state, "x")
    with pytest.raises(OriginChangedError):
        agree_on_state(state_of([]), state, "x")


KEYS = st.sampled_from(
    [
        *("rfilename", "type", "file", "path", "size", "lfs", "sha256", "oid", "blobId"),
        *("layers", "mediaType", "digest", "annotations"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(KEYS, part, max_size=5),
    max_leaves=12,
)
KINDS = st.sampled_from(
    ["application/vnd.ollama.image.model", "application/vnd.cncf.model.weight.v1.tar", "x"]
)
LAYER = st.fixed_dictionaries(
    {"mediaType": KINDS | JSON, "digest": st.just(f"sha256:{'0' * 64}") | JSON, "size": JSON},
    optional={"annotations": st.dictionaries(st.just("org.cncf.model.filepath"), JSON) | JSON},
)


@given(st.lists(JSON | st.fixed_dictionaries({"rfilename": JSON, "size": JSON, "lfs": JSON})))
def test_any_json_is_rows_of_the_hub_or_none(siblings: list[object]) -> None:
    rows = rows_of(siblings)
    assert rows is None or len(rows) == len(siblings)


@given(st.dictionaries(KEYS, JSON) | st.fixed_dictionaries({"layers": st.lists(LAYER | JSON)}))
def test_any_json_is_a_manifest_with_files_or_is_refused(document: dict[str, object]) -> None:
    try:
        found = files_of_manifest(json.loads(json.dumps(document)), "http://h/v2/x", "x")
    except OriginRefusedError:
        return
    assert all(file.digest is not None and type(file.size_bytes) is int for file in found)


@given(st.text(max_size=80))
def test_any_challenge_is_read(value: str) -> None:
    read_challenge(value)


def test_a_challenge_is_a_scheme_and_its_parameters() -> None:
    said = 'Bearer realm="https://auth.io/t",service="r.io",scope="repository:a/b:pull,push"'
    parameters = {
        "realm": "https://auth.io/t",
        "service": "r.io",
        "scope": "repository:a/b:pull,push",
    }
    assert read_challenge(said) == ("bearer", parameters)
