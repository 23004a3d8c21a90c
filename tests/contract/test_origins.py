"""One suite that every kind of origin passes, against servers that speak its protocol for real."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from littoral.adapters.origins import Patience
from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import (
    BadRequestError,
    OriginBrokeError,
    OriginChangedError,
    OriginError,
    OriginRefusedError,
)
from littoral.terms.limits import ORIGIN_PIECE_BYTES
from tests.contract.origin_stands import SECRET, STANDS, WIRED, At, Stand, stand_of
from tests.contract.troubled import Trouble, Troubled

Wired = tuple[Stand, Troubled, OriginFile]
"""An origin over HTTP, the server in front of its bytes, and its largest file."""


@pytest.fixture(params=STANDS)
def stand(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stand]:
    with stand_of(request.param, At(tmp_path, monkeypatch)) as made:
        yield made


@pytest.fixture(params=WIRED)
def wired(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Wired]:
    with stand_of(request.param, At(tmp_path, monkeypatch)) as made:
        yield found_at(made)


@pytest.fixture(params=WIRED)
def impatient(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Wired]:
    patience = Patience(head_s=0.5, stall_s=0.5)
    with stand_of(request.param, At(tmp_path, monkeypatch, patience)) as made:
        yield found_at(made)


def found_at(stand: Stand) -> Wired:
    assert stand.wire is not None
    file = file_of(stand)
    stand.wire.seen.clear()
    return stand, stand.wire, file


def file_of(stand: Stand, path: str | None = None) -> OriginFile:
    files = stand.origin.find(stand.reference).files
    return next(file for file in files if file.path == (path or stand.largest))


def read(stand: Stand, file: OriginFile, start: int = 0, end: int | None = None) -> bytes:
    with stand.origin.read(file, start, file.size_bytes if end is None else end) as pieces:
        return b"".join(pieces)


def until_it_broke(stand: Stand, file: OriginFile, start: int) -> tuple[bytes, OriginBrokeError]:
    came = bytearray()
    try:
        with stand.origin.read(file, start, file.size_bytes) as pieces:
            for piece in pieces:
                came += piece
    except OriginBrokeError as error:
        return bytes(came), error
    pytest.fail("it did not break")


def test_a_reference_lists_its_files_with_what_the_origin_promises(stand: Stand) -> None:
    listing = stand.origin.find(stand.reference)
    assert {file.path: file.size_bytes for file in listing.files} == {
        path: len(content) for path, content in stand.files.items()
    }
    assert [file.path for file in listing.files] == sorted(stand.files)
    for file in listing.files:
        digest = f"sha256:{hashlib.sha256(stand.files[file.path]).hexdigest()}"
        assert file.digest == (digest if file.path in stand.promised else None)


def test_a_pinned_reference_means_the_same_when_it_is_asked_again(stand: Stand) -> None:
    listing = stand.origin.find(stand.reference)
    assert stand.origins.origin_for(listing.reference).find(listing.reference) == listing


def test_each_file_is_read_whole(stand: Stand) -> None:
    for file in stand.origin.find(stand.reference).files:
        assert read(stand, file) == stand.files[file.path]


def test_any_range_is_exactly_those_bytes(stand: Stand) -> None:
    file = file_of(stand)
    content, size = stand.files[file.path], file.size_bytes
    for start, end in (
        *((0, 1), (0, 100_000), (size - 1, size), (size // 2, size), (70_000, 299_999)),
        *((0, 0), (size, size), (77, 77)),
    ):
        assert read(stand, file, start, end) == content[start:end]


def test_pieces_are_small_enough_to_pass_on_at_once(stand: Stand) -> None:
    file = file_of(stand)
    with stand.origin.read(file, 0, file.size_bytes) as pieces:
        sizes = [len(piece) for piece in pieces]
    assert 0 < min(sizes) <= max(sizes) <= ORIGIN_PIECE_BYTES


def test_a_read_that_is_left_early_harms_no_other(stand: Stand) -> None:
    file = file_of(stand)
    with stand.origin.read(file, 0, file.size_bytes) as pieces:
        first = next(iter(pieces))
    assert stand.files[file.path].startswith(first)
    assert read(stand, file, 10, 20) == stand.files[file.path][10:20]


def test_many_threads_may_read_at_once(stand: Stand) -> None:
    file = file_of(stand)
    share = file.size_bytes // 8
    with ThreadPoolExecutor(8) as threads:
        parts = threads.map(
            lambda number: read(stand, file, number * share, (number + 1) * share), range(8)
        )
        assert b"".join(parts) == stand.files[file.path][: 8 * share]


def test_what_is_not_there_is_refused(stand: Stand) -> None:
    with pytest.raises(OriginRefusedError):
        stand.origin.find(stand.missing)


def test_a_reference_of_another_kind_is_not_asked_for(stand: Stand) -> None:
    other = "file:/x" if not stand.reference.startswith("file:") else "hf:a/b"
    with pytest.raises(BadRequestError):
        stand.origin.find(other)


def test_a_credential_is_shown_to_its_server_and_nowhere_else(stand: Stand) -> None:
    listing = stand.origin.find(stand.reference)
    read(stand, listing.files[0])
    assert stand.secret_seen()
    with pytest.raises(OriginError) as caught:
        stand.origin.find(stand.missing)
    for text in (listing, stand.origin, stand.origins, caught.value, caught.value.__cause__):
        assert SECRET not in f"{text!r} {text}"


def test_a_file_that_was_changed_is_noticed_before_its_first_byte(stand: Stand) -> None:
    if stand.change is None:
        return
    listing = stand.origin.find(stand.reference)
    file = file_of(stand)
    content = bytearray(stand.files[file.path])
    content[-1] ^= 1
    stand.change(bytes(content))
    for start in (0, 1_000):
        with pytest.raises(OriginChangedError), stand.origin.read(file, start, 2_000) as pieces:
            assert next(iter(pieces)) == b""
    with pytest.raises(OriginChangedError):
        stand.origin.find(listing.reference)
    assert read(stand, file_of(stand)) == content


def test_reads_in_a_row_take_one_connection(wired: Wired) -> None:
    stand, wire, file = wired
    before = wire.connections
    for start in range(0, 500_000, 100_000):
        read(stand, file, start, start + 100_000)
    assert wire.connections <= before + 1
    assert len(wire.seen) == 5


def test_an_origin_that_falls_silent_is_given_up_after_what_has_come(impatient: Wired) -> None:
    stand, wire, file = impatient
    wire.troubles = [Trouble(stall_after=100_000)]
    came, error = until_it_broke(stand, file, 0)
    assert (str(error.message), error.retry_after_s) == ("the origin fell silent", 0)
    assert came == stand.files[file.path][:100_000]
    assert read(stand, file, len(came)) == stand.files[file.path][len(came) :]


def test_what_comes_slowly_is_handed_on_as_it_comes(wired: Wired) -> None:
    stand, wire, file = wired
    wire.troubles = [Trouble(stall_after=1_000)]
    with stand.origin.read(file, 0, file.size_bytes) as pieces:
        assert next(pieces) == stand.files[file.path][:1_000]


def test_an_origin_that_does_not_answer_is_given_up(impatient: Wired) -> None:
    stand, wire, file = impatient
    wire.troubles = [Trouble(silent=True)]
    with pytest.raises(OriginBrokeError, match="silent"):
        read(stand, file, 5, 10)
    assert read(stand, file, 5, 10) == stand.files[file.path][5:10]


def test_a_transfer_that_is_cut_says_so_after_what_has_come(wired: Wired) -> None:
    stand, wire, file = wired
    wire.troubles = [Trouble(cut_after=100_000)]
    came, error = until_it_broke(stand, file, 1_000)
    assert error.retry_after_s == 0
    assert came == stand.files[file.path][1_000:101_000]


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (Trouble(headers={"content-range": "bytes 1001-2000/3000000"}), OriginBrokeError),
        (Trouble(headers={"content-range": None}), OriginBrokeError),
        (Trouble(headers={"content-range": "bytes 1000-1999/7"}), OriginChangedError),
        (Trouble(shorter=1), OriginBrokeError),
        (Trouble(headers={"content-encoding": "gzip"}), OriginBrokeError),
        (Trouble(status=200), OriginChangedError),
        (Trouble(status=416), OriginChangedError),
    ],
    ids=["other", "unsaid", "grown", "short", "encoded", "whole", "beyond"],
)
def test_an_answer_that_is_not_the_range_is_refused_before_its_first_byte(
    wired: Wired, trouble: Trouble, error: type[OriginError]
) -> None:
    stand, wire, file = wired
    wire.troubles = [trouble]
    with pytest.raises(error), stand.origin.read(file, 1_000, 2_000) as pieces:
        assert next(iter(pieces)) == b""
    assert read(stand, file, 1_000, 2_000) == stand.files[file.path][1_000:2_000]


@pytest.mark.parametrize("trouble", [Trouble(ignore_range=True), Trouble(chunked=True)])
def test_a_server_that_knows_no_ranges_or_lengths_is_read_all_the_same(
    wired: Wired, trouble: Trouble
) -> None:
    stand, wire, file = wired
    for start, end in ((0, 300_000), (1_000, 2_000), (2_900_000, 3_000_000)):
        wire.troubles = [trouble]
        assert read(stand, file, start, end) == stand.files[file.path][start:end]


def test_a_busy_origin_says_when_to_ask_again(wired: Wired) -> None:
    stand, wire, file = wired
    dates = {
        "date": "Thu, 26 Nov 2026 10:00:00 GMT",
        "retry-after": "Thu, 26 Nov 2026 10:00:09 GMT",
    }
    for status, headers, wait_s in (
        (429, {"retry-after": "7"}, 7),
        (503, dates, 9),
        (500, {}, 0),
        (429, {"retry-after": "soon"}, 0),
        (503, {"retry-after": "99999999"}, 3_600),
        (429, {"ratelimit": '"resolvers";r=0;t=11'}, 11),
    ):
        wire.troubles = [Trouble(status=status, headers={**headers})] * 2
        with pytest.raises(OriginBrokeError, match=str(status)) as caught:
            read(stand, file, 0, 10)
        assert caught.value.retry_after_s == wait_s
        wire.troubles = []
    assert read(stand, file, 0, 10) == stand.files[file.path][:10]


def test_an_address_that_was_redirected_to_and_has_expired_is_asked_for_anew(wired: Wired) -> None:
    stand, wire, file = wired
    read(stand, file, 0, 10)
    wire.troubles = [Trouble(status=403)]
    if stand.redirects:
        assert read(stand, file, 5, 10) == stand.files[file.path][5:10]
        wire.troubles = [Trouble(status=403)] * 3
    with pytest.raises(OriginRefusedError, match="403"):
        read(stand, file, 0, 10)


def test_a_kept_connection_that_the_server_closed_is_replaced(wired: Wired) -> None:
    stand, wire, file = wired
    read(stand, file, 0, 10)
    for _ in range(3):
        wire.hang_up()
        assert read(stand, file, 5, 10) == stand.files[file.path][5:10]


def test_no_connection_is_left_when_origins_are_closed(wired: Wired) -> None:
    stand, wire, file = wired
    read(stand, file, 0, 10)
    stand.origins.close()
    assert wire.is_left_alone(5)
