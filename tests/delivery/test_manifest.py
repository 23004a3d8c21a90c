"""A manifest names every byte, in one way only."""

import json
from collections.abc import Callable

import msgspec
import pytest

from littoral.delivery.manifest import FileFormat, Manifest, blake3_of, check_paths, decoded, opened
from littoral.terms.errors import BadRequestError, DigestMismatchError
from littoral.terms.ids import ArtifactId, artifact_id
from tests.delivery.made import artifact_of, table_of

MADE, TABLES = artifact_of({"a.json": [b"{}"], "w/model.bin": [b"abc", b"defg"], "w/none": []})


def test_a_manifest_is_named_by_its_bytes_and_survives_them() -> None:
    data = MADE.encoded()
    assert MADE.artifact == artifact_id(blake3_of(data))
    assert decoded(data, MADE.artifact) == MADE
    assert (MADE.size_bytes, MADE.chunks) == (9, 3)
    members = json.loads(data)
    assert json.dumps(members, sort_keys=True, separators=(",", ":")).encode() == data


def test_a_manifest_opens_with_its_own_tables_only() -> None:
    table = opened(MADE, TABLES)
    assert (table.chunks, table.size_bytes, table.files) == (3, 9, 3)
    with pytest.raises(DigestMismatchError):
        opened(MADE, (TABLES[0], TABLES[0], TABLES[2]))


def test_other_bytes_are_not_the_manifest() -> None:
    with pytest.raises(DigestMismatchError):
        decoded(MADE.encoded() + b" ", MADE.artifact)


def row(**changes: object) -> Callable[[Manifest], bytes]:
    def changed(manifest: Manifest) -> bytes:
        first, *others = manifest.files
        return msgspec.structs.replace(
            manifest, files=(msgspec.structs.replace(first, **changes), *others)
        ).encoded()

    return changed


@pytest.mark.parametrize(
    "make",
    [
        lambda _: b"[]",
        lambda _: b"\xff",
        lambda manifest: manifest.encoded() + b"\n",
        lambda manifest: manifest.encoded().replace(b'"v":1', b'"v":2'),
        lambda manifest: manifest.encoded().replace(b'"base":null,', b""),
        lambda manifest: msgspec.structs.replace(manifest, files=()).encoded(),
        lambda manifest: msgspec.structs.replace(manifest, files=manifest.files[::-1]).encoded(),
        row(path="../a"),
        row(path="w"),
        row(size_bytes=-1),
        row(size_bytes=2**40),
        row(sha256="sha256:0"),
        row(chunks=2**24),
        row(git_oid=None),
        row(size_bytes=2**25),
    ],
)
def test_what_is_no_manifest_is_refused(make: Callable[[Manifest], bytes]) -> None:
    data = make(MADE)
    with pytest.raises(BadRequestError):
        decoded(data, ArtifactId(blake3_of(data)))


def test_a_table_that_does_not_fit_its_file_is_refused() -> None:
    for changes in ({"size_bytes": 3}, {"chunks": 2}):
        manifest = decoded_anew(row(**changes)(MADE))
        with pytest.raises(BadRequestError):
            opened(manifest, TABLES)


def decoded_anew(data: bytes) -> Manifest:
    return decoded(data, ArtifactId(blake3_of(data)))


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", ".", "a/../b", "a\\b", "a\0", "a\nb", "x" * 241, "y/" * 512 + "y"],
)
def test_a_path_that_no_file_can_have_is_refused(path: str) -> None:
    with pytest.raises(BadRequestError):
        check_paths([path])


def test_paths_are_sorted_each_once_and_none_is_the_folder_of_another() -> None:
    check_paths(["a", "a.b", "b/c", "b/d", "ü"])
    for paths in (["b", "a"], ["a", "a"], ["a", "a/b"], []):
        with pytest.raises(BadRequestError):
            check_paths(paths)


def test_how_a_file_is_cut_is_part_of_its_name() -> None:
    other, _ = artifact_of({"a.json": [b"{", b"}"]})
    same, _ = artifact_of({"a.json": [b"{}"]})
    assert other.artifact != same.artifact
    assert same.files[0].table == blake3_of(table_of([b"{}"]))
    assert same.files[0].format is FileFormat.PLAIN
