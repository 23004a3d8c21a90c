"""S3-compatible stores: one object or many, with and without keys."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from littoral.adapters.origins.asking import Asker
from littoral.adapters.origins.buckets import BucketOrigin, BucketSettings
from littoral.adapters.origins.credentials import Credential
from littoral.terms.errors import MissingExtraError, OriginBrokeError, OriginRefusedError
from tests.contract.servers import bucket_server
from tests.contract.signatures import is_signed
from tests.contract.troubled import Trouble, Troubled, troubled

FILES = {"m/a.bin": b"a" * 100, "m/s/b (1).bin": b"b" * 200, "m2/c.bin": b"c", "top": b"t"}


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Troubled]:
    for key, content in FILES.items():
        path = tmp_path / "buckets" / "models" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with bucket_server(tmp_path / "buckets") as port, troubled(port) as made:
        yield made


def origin_of(asker: Asker, wire: Troubled, pair: Credential | None = None) -> BucketOrigin:
    credentials = {} if pair is None else {wire.address: pair}
    return BucketOrigin(asker, BucketSettings(f"http://{wire.address}"), credentials)


@pytest.mark.parametrize(
    ("key", "paths"),
    [
        ("m/a.bin", ["a.bin"]),
        ("m", ["a.bin", "s/b (1).bin"]),
        ("m/", ["a.bin", "s/b (1).bin"]),
        ("m/s/b (1).bin", ["b (1).bin"]),
        ("", ["m/a.bin", "m/s/b (1).bin", "m2/c.bin", "top"]),
    ],
)
def test_a_key_is_an_object_or_all_below_it(
    asker: Asker, wire: Troubled, key: str, paths: list[str]
) -> None:
    origin = origin_of(asker, wire)
    listing = origin.find(f"s3://models/{key}")
    assert [file.path for file in listing.files] == paths
    assert not listing.private
    for file in listing.files:
        with origin.read(file, 0, file.size_bytes) as pieces:
            content = b"".join(pieces)
        assert content == FILES[file.place.partition("\n")[2].removeprefix("models/")]


def test_with_a_pair_every_request_is_signed_and_nothing_shows_it(
    asker: Asker, wire: Troubled
) -> None:
    wire.allowed = lambda seen: is_signed(seen, "me", "secret")
    right = origin_of(asker, wire, Credential("secret", "me"))
    for key in ("m/a.bin", "m/s"):
        listing = right.find(f"s3://models/{key}")
        assert listing.private
        assert "secret" not in repr(listing)
    wrong = origin_of(asker, wire, Credential("guess", "me"))
    for key in ("m/a.bin", "m/"):
        with pytest.raises(OriginRefusedError, match=f"models/{key}") as caught:
            wrong.find(f"s3://models/{key}")
        assert caught.value.__cause__ is None
        assert "X-Amz" not in str(caught.value)


def test_a_store_that_is_broken_may_be_asked_again(asker: Asker, wire: Troubled) -> None:
    wire.troubles = [Trouble(status=503) for _ in range(8)]
    for key in ("m/a.bin", "m/"):
        with pytest.raises(OriginBrokeError):
            origin_of(asker, wire).find(f"s3://models/{key}")


def test_without_the_extra_it_is_said_how_to_get_it(
    asker: Asker, wire: Troubled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    monkeypatch.setitem(sys.modules, "obstore", None)
    for key in ("m/", ""):
        with pytest.raises(MissingExtraError, match=r"littoral\[s3\]"):
            origin_of(asker, wire).find(f"s3://models/{key}")


def test_amazons_own_address_has_the_region_in_it() -> None:
    assert BucketSettings(region="eu-west-1").address == "https://s3.eu-west-1.amazonaws.com"
