"""Adding from the Hub, against servers that speak its protocol, well and badly."""

import hashlib
import random
import threading
from pathlib import Path

import pytest

from littoral.adapters.models import Catalogue, Hub, add, parse_source
from littoral.adapters.origins.asking import Patience
from littoral.terms.errors import (
    BadRequestError,
    ConflictError,
    DigestMismatchError,
    OriginError,
    UnsupportedError,
)
from littoral.terms.values import EngineKind, ModelEntry
from tests.adapters.models.conftest import ignore
from tests.adapters.models.hub_server import COMMIT, HubServers
from tests.adapters.models.made import TINY, gguf_bytes

REPOSITORY = "someone/Tiny-GGUF"
CONTENT = gguf_bytes(data=random.Random(1).randbytes(3_000_000))


def fetch(
    catalogue: Catalogue,
    servers: HubServers,
    reference: str = REPOSITORY,
    *,
    token: str | None = None,
    name: str | None = None,
    patience: Patience | None = None,
) -> ModelEntry:
    hub = Hub(servers.endpoint, token, 0.0, patience or Patience())
    return add(catalogue, parse_source(f"hf:{reference}", hub=hub), ignore, name)


@pytest.fixture(autouse=True)
def repository(servers: HubServers) -> None:
    servers.files[REPOSITORY] = {"README.md": b"# Tiny\n", "tiny.Q8_0.gguf": CONTENT}


def test_a_file_comes_with_its_digest_its_commit_and_its_own_name(
    catalogue: Catalogue, servers: HubServers
) -> None:
    entry = fetch(catalogue, servers)
    assert entry.name == "tiny.q8_0"
    assert entry.engine is EngineKind.LLAMA
    assert entry.digest == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    assert entry.origin == f"hf:{REPOSITORY}:tiny.Q8_0.gguf@{COMMIT}"
    assert Path(entry.files[0].path).read_bytes() == CONTENT
    assert catalogue.get("tiny.q8_0") == entry


def test_the_bytes_are_asked_for_at_the_commit_whatever_the_revision_was(
    catalogue: Catalogue, servers: HubServers
) -> None:
    fetch(catalogue, servers, f"{REPOSITORY}@refs/pr/1")
    listing, resolve = servers.asked("hub")
    assert listing.path.startswith(f"/api/models/{REPOSITORY}/revision/refs%2Fpr%2F1?")
    assert resolve.path == f"/{REPOSITORY}/resolve/{COMMIT}/tiny.Q8_0.gguf"


def test_the_token_goes_to_the_hub_and_never_to_the_storage(
    catalogue: Catalogue, servers: HubServers
) -> None:
    servers.behaviour.token = "hf_secret"
    fetch(catalogue, servers, token="hf_secret")
    assert all(one.headers["authorization"] == "Bearer hf_secret" for one in servers.asked("hub"))
    assert servers.asked("storage")
    assert not any("authorization" in one.headers for one in servers.asked("storage"))


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    catalogue: Catalogue, servers: HubServers
) -> None:
    servers.behaviour.cut_after = [1_000_000, 0, 500_000]
    entry = fetch(catalogue, servers)
    ranges = [one.headers.get("range") for one in servers.asked("storage")]
    assert ranges == [None, "bytes=1000000-", "bytes=1000000-", "bytes=1500000-"]
    assert Path(entry.files[0].path).read_bytes() == CONTENT


def test_a_connection_that_falls_silent_is_given_up_and_taken_up_again(
    catalogue: Catalogue, servers: HubServers
) -> None:
    over = threading.Event()
    servers.behaviour.stalls = [over]
    entry = fetch(catalogue, servers, patience=Patience(stall_s=0.3))
    over.set()
    assert Path(entry.files[0].path).read_bytes() == CONTENT
    assert len(servers.asked("storage")) == 2


def test_an_add_that_failed_goes_on_when_it_is_run_again(
    catalogue: Catalogue, servers: HubServers
) -> None:
    servers.behaviour.cut_after = [2_000_000, *[0] * 5]
    with pytest.raises(OriginError, match="broke off 5 times"):
        fetch(catalogue, servers)
    assert not catalogue.has("tiny.q8_0")
    assert [(one.name, one.size_bytes) for one in catalogue.unfinished()] == [
        ("tiny.q8_0", 2_000_000)
    ]
    fetch(catalogue, servers)
    assert servers.asked("storage")[-1].headers["range"] == "bytes=2000000-"
    assert catalogue.unfinished() == ()


def test_a_server_that_ignores_ranges_is_read_from_the_beginning(
    catalogue: Catalogue, servers: HubServers
) -> None:
    servers.behaviour.cut_after = [1_000_000]
    servers.behaviour.ignore_ranges = True
    assert Path(fetch(catalogue, servers).files[0].path).read_bytes() == CONTENT


def test_a_server_that_sends_another_range_is_given_up(
    catalogue: Catalogue, servers: HubServers
) -> None:
    servers.behaviour.cut_after = [1_000_000]
    servers.behaviour.wrong_ranges = True
    with pytest.raises(OriginError, match="another range"):
        fetch(catalogue, servers)


def test_one_flipped_bit_is_refused_and_nothing_is_kept(
    catalogue: Catalogue, servers: HubServers
) -> None:
    servers.behaviour.flip_bit = True
    with pytest.raises(DigestMismatchError):
        fetch(catalogue, servers)
    assert not catalogue.has("tiny.q8_0")
    assert list(catalogue.models_dir.iterdir()) == []


def test_bytes_flipped_on_the_disk_between_two_tries_are_found(
    catalogue: Catalogue, servers: HubServers
) -> None:
    servers.behaviour.cut_after = [2_000_000, *[0] * 5]
    with pytest.raises(OriginError):
        fetch(catalogue, servers)
    (part,) = catalogue.models_dir.rglob("*.part")
    part.write_bytes(b"X" + part.read_bytes()[1:])
    with pytest.raises(DigestMismatchError):
        fetch(catalogue, servers)
    assert fetch(catalogue, servers).name == "tiny.q8_0"


def test_a_file_of_another_size_than_was_stated_is_not_taken(
    catalogue: Catalogue, servers: HubServers
) -> None:
    servers.behaviour.more_bytes = b"and more"
    with pytest.raises(DigestMismatchError, match="another size"):
        fetch(catalogue, servers)
    assert not catalogue.has("tiny.q8_0")


def test_a_hub_that_names_two_digests_is_not_asked_for_bytes(
    catalogue: Catalogue, servers: HubServers
) -> None:
    servers.behaviour.linked_etag = "0" * 64
    with pytest.raises(DigestMismatchError, match="lists one"):
        fetch(catalogue, servers)


@pytest.mark.parametrize("weak", [False, True])
def test_a_listing_without_digests_is_helped_by_the_headers(
    catalogue: Catalogue, servers: HubServers, weak: bool
) -> None:
    servers.behaviour.listing_digests = servers.behaviour.tree = False
    servers.behaviour.weak_etags = weak
    entry = fetch(catalogue, servers)
    assert entry.digest == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


def test_without_any_digest_nothing_is_fetched(catalogue: Catalogue, servers: HubServers) -> None:
    servers.behaviour.listing_digests = servers.behaviour.tree = False
    servers.behaviour.linked_headers = False
    with pytest.raises(OriginError, match="does not say which SHA-256"):
        fetch(catalogue, servers)
    assert not catalogue.models_dir.exists()


def test_a_busy_hub_is_asked_again(catalogue: Catalogue, servers: HubServers) -> None:
    servers.behaviour.statuses = [503, 429, 500]
    assert fetch(catalogue, servers).name == "tiny.q8_0"


def test_a_hub_that_stays_busy_is_given_up(catalogue: Catalogue, servers: HubServers) -> None:
    servers.behaviour.statuses = [503] * 5
    with pytest.raises(OriginError, match="503"):
        fetch(catalogue, servers)


@pytest.mark.parametrize(
    "location", ["file:///etc/hostname", "ftp://127.0.0.1/x", "", "/someone/Tiny-GGUF/resolve/x"]
)
def test_a_redirect_is_followed_only_to_the_web_and_not_in_circles(
    catalogue: Catalogue, servers: HubServers, location: str
) -> None:
    circle = f"/{REPOSITORY}/resolve/{COMMIT}/tiny.Q8_0.gguf"
    servers.behaviour.redirect_to = circle if location.startswith("/") else location or "mailto:x"
    with pytest.raises(OriginError, match="redirect"):
        fetch(catalogue, servers)


def test_nobody_listening_is_an_error_in_words(catalogue: Catalogue) -> None:
    hub = Hub("http://127.0.0.1:1", try_again_wait_s=0.0)
    with pytest.raises(OriginError, match="broke off 5 times"):
        add(catalogue, parse_source("hf:a/b", hub=hub), ignore)


def test_what_is_not_there_or_not_allowed_is_said_with_what_to_do(
    catalogue: Catalogue, servers: HubServers
) -> None:
    with pytest.raises(OriginError, match="private"):
        fetch(catalogue, servers, "someone/else")
    with pytest.raises(OriginError, match="revision"):
        fetch(catalogue, servers, f"{REPOSITORY}@v9")
    servers.behaviour.token = "right"
    with pytest.raises(OriginError, match="HF_TOKEN"):
        fetch(catalogue, servers)
    with pytest.raises(OriginError, match="check that the token"):
        fetch(catalogue, servers, token="wrong")
    servers.behaviour.gated = True
    with pytest.raises(OriginError, match="accept its terms") as caught:
        fetch(catalogue, servers, token="right")
    assert "right" not in str(caught.value)


@pytest.mark.parametrize("listing", [b"[]", b"<html>", b"{}", b'{"sha": "main", "siblings": []}'])
def test_an_answer_that_is_no_listing_is_refused(
    catalogue: Catalogue, servers: HubServers, listing: bytes
) -> None:
    servers.behaviour.listing = listing
    with pytest.raises(OriginError):
        fetch(catalogue, servers)


def test_of_several_files_one_must_be_chosen(catalogue: Catalogue, servers: HubServers) -> None:
    other = gguf_bytes({**TINY, "general.name": "Other"})
    servers.files[REPOSITORY] |= {"tiny.Q4_0.gguf": other, "mmproj-tiny.gguf": b"GGUF"}
    with pytest.raises(BadRequestError) as caught:
        fetch(catalogue, servers)
    assert caught.value.details["files"] == ["tiny.Q4_0.gguf", "tiny.Q8_0.gguf"]
    assert f"hf:{REPOSITORY}:tiny.Q8_0.gguf (3 MB)" in caught.value.advice
    assert fetch(catalogue, servers, f"{REPOSITORY}:tiny.Q4_0.gguf").description == "Other"
    assert fetch(catalogue, servers, f"{REPOSITORY}:q8_0").description == "Tiny"
    with pytest.raises(BadRequestError, match="no GGUF file 'q2'"):
        fetch(catalogue, servers, f"{REPOSITORY}:q2")


def test_q4_k_m_is_taken_when_there_is_exactly_one(
    catalogue: Catalogue, servers: HubServers
) -> None:
    usual = gguf_bytes({**TINY, "general.name": "Usual"})
    servers.files[REPOSITORY]["tiny.Q4_K_M.gguf"] = usual
    assert fetch(catalogue, servers).description == "Usual"


def test_what_can_not_be_served_is_refused_and_not_kept(
    catalogue: Catalogue, servers: HubServers
) -> None:
    servers.files[REPOSITORY] = {"tiny-00001-of-00002.gguf": CONTENT}
    with pytest.raises(UnsupportedError, match="cut into several"):
        fetch(catalogue, servers)
    servers.files[REPOSITORY] = {"tiny.gguf": b"not a model"}
    with pytest.raises(BadRequestError, match="not a GGUF file"):
        fetch(catalogue, servers)
    servers.files[REPOSITORY] = {"README.md": b"nothing else"}
    with pytest.raises(OriginError, match="has no GGUF file"):
        fetch(catalogue, servers)
    assert list(catalogue.models_dir.iterdir()) == []


def test_a_taken_name_is_refused_before_the_fetch(
    catalogue: Catalogue, servers: HubServers
) -> None:
    fetch(catalogue, servers)
    fetched = len(servers.asked("storage"))
    with pytest.raises(ConflictError):
        fetch(catalogue, servers)
    assert len(servers.asked("storage")) == fetched
    assert fetch(catalogue, servers, name="someone/tiny:q8").name == "someone/tiny:q8"


@pytest.mark.parametrize(
    "text", ["noslash", "a/b/c", "../etc", "a/..", "a/b:/etc/passwd", "a/b:x/../y", "a/b@../x", ""]
)
def test_what_names_no_repository_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        parse_source(f"hf:{text}")


def test_a_hub_does_not_show_its_token() -> None:
    assert "hf_secret" not in repr(Hub(token="hf_secret"))
