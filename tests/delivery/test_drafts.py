"""A draft becomes a manifest when its files are what their origin promises, and not before."""

import hashlib

import msgspec
import pytest
from blake3 import blake3

from littoral.delivery.drafts import (
    Draft,
    DraftFile,
    DraftId,
    WholeFile,
    decoded_draft,
    opened_draft,
    sealed,
)
from littoral.delivery.manifest import GIT_BYTES_MAX, FileFormat, Kind, blake3_of, opened
from littoral.terms.errors import BadRequestError, DigestMismatchError
from littoral.trust.names import digest_of
from tests.delivery.made import cuts_of_pieces

PIECES = [b"abc", b"de"]
DATA = b"".join(PIECES)
CUTS = cuts_of_pieces(PIECES)
OID = hashlib.sha1(b"blob 5\0" + DATA).hexdigest()
FILE = DraftFile(
    path="a",
    size_bytes=5,
    sha256=digest_of(DATA),
    git_oid=None,
    place="a@1",
    format=FileFormat.PLAIN,
    chunks=2,
    cuts=blake3_of(CUTS),
    tensors=None,
)
FOUND = WholeFile(digest_of(DATA), OID, [blake3(piece).digest() for piece in PIECES])


def draft_of(**changes: object) -> Draft:
    return Draft(
        kind=Kind.WEIGHTS,
        reference="hub:someone/model@1",
        private=False,
        base=None,
        files=(msgspec.structs.replace(FILE, **changes),),
    )


def test_a_draft_is_named_by_its_bytes_and_survives_them() -> None:
    draft = draft_of()
    assert draft.id.startswith("draft:")
    assert decoded_draft(draft.encoded(), draft.id) == draft
    assert draft.files[0].origin_file.place == "a@1"
    with pytest.raises(DigestMismatchError):
        decoded_draft(draft_of(place="b").encoded(), draft.id)


@pytest.mark.parametrize("data", [b"[]", b"\xff", draft_of().encoded() + b" "])
def test_what_is_no_draft_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequestError):
        decoded_draft(data, DraftId("draft:" + blake3_of(data)[7:]))


def test_a_draft_numbers_chunks_as_the_manifest_will() -> None:
    draft = draft_of()
    table = opened_draft(draft, [CUTS])
    manifest, tables = sealed(draft, [CUTS], [FOUND])
    after = opened(manifest, tables)
    assert [(table[n].start, table[n].size_bytes) for n in range(2)] == [(0, 3), (3, 2)]
    assert [(after[n].start, after[n].size_bytes) for n in range(2)] == [(0, 3), (3, 2)]
    assert [after[n].hash for n in range(2)] == FOUND.hashes
    assert table[0].hash is None


def test_cuts_are_those_that_the_draft_names() -> None:
    with pytest.raises(DigestMismatchError):
        opened_draft(draft_of(), [cuts_of_pieces([DATA])])
    with pytest.raises(BadRequestError):
        opened_draft(draft_of(size_bytes=6), [CUTS])
    with pytest.raises(BadRequestError):
        opened_draft(draft_of(chunks=3), [CUTS])


@pytest.mark.parametrize(
    "promise", [{"sha256": digest_of(b"other")}, {"sha256": None, "git_oid": "0" * 40}]
)
def test_a_file_that_is_not_the_promised_one_is_named(promise: dict[str, object]) -> None:
    with pytest.raises(DigestMismatchError) as raised:
        sealed(draft_of(**promise), [CUTS], [FOUND])
    assert raised.value.details["path"] == "a"


def test_what_origins_say_differently_gives_the_same_artifact() -> None:
    said = [
        draft_of(),
        draft_of(sha256=None),
        draft_of(git_oid=OID, place="elsewhere"),
        msgspec.structs.replace(draft_of(), reference="s3://b/model", base="x", private=True),
    ]
    assert len({sealed(draft, [CUTS], [FOUND])[0].artifact for draft in said}) == 1


def test_large_files_have_no_git_name_in_the_manifest() -> None:
    draft = draft_of(size_bytes=GIT_BYTES_MAX + 1, git_oid=OID)
    assert sealed(draft, [CUTS], [FOUND])[0].files[0].git_oid is None
    assert sealed(draft_of(), [CUTS], [FOUND])[0].files[0].git_oid == OID
