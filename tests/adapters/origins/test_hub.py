"""The Hub as an origin: whole repositories, patterns, servers that say less, servers that lie."""

from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from littoral.adapters.origins.asking import Asker
from littoral.adapters.origins.hub import HubOrigin
from littoral.adapters.origins.promises import WholeFile
from littoral.terms.artifacts import OriginFile, OriginListing
from littoral.terms.errors import OriginChangedError, OriginError, OriginRefusedError
from tests.adapters.models.hub_server import COMMIT, HubServers, git_oid

REPOSITORY = "someone/Tiny"
FILES = {
    "README.md": b"# Tiny\n",
    "model-1.safetensors": b"one" * 1_000,
    "model-2.safetensors": b"two" * 1_000,
    "onnx/model.gguf": b"GGUF" * 500,
}


@pytest.fixture(autouse=True)
def repository(servers: HubServers) -> None:
    servers.files[REPOSITORY] = dict(FILES)


@pytest.fixture
def origin(asker: Asker, servers: HubServers) -> HubOrigin:
    return HubOrigin(asker, servers.endpoint)


def paths(listing: OriginListing) -> list[str]:
    return [file.path for file in listing.files]


def read(origin: HubOrigin, file: OriginFile) -> bytes:
    with origin.read(file, 0, file.size_bytes) as pieces:
        return b"".join(pieces)


def test_a_repository_is_listed_at_one_commit_with_what_it_is_derived_from(
    origin: HubOrigin, servers: HubServers
) -> None:
    servers.behaviour.card = {"base_model": ["someone/Base", "x"]}
    listing = origin.find(f"hf:{REPOSITORY}@refs/pr/1")
    assert listing.reference == f"hf:{REPOSITORY}@{COMMIT}"
    assert paths(listing) == sorted(FILES)
    assert (listing.private, listing.base) == (False, "hf:someone/Base")
    assert all((file.git_oid is None) != (file.digest is None) for file in listing.files)
    servers.behaviour.card = {"base_model": {"name": "../.."}}
    servers.behaviour.private = True
    listing = origin.find(f"hf:{REPOSITORY}")
    assert (listing.private, listing.base) == (True, None)


def test_a_path_or_a_pattern_is_some_of_the_files(origin: HubOrigin, servers: HubServers) -> None:
    assert paths(origin.find(f"hf:{REPOSITORY}:README.md")) == ["README.md"]
    several = origin.find(f"hf:{REPOSITORY}:model-?.safetensors")
    assert paths(several) == ["model-1.safetensors", "model-2.safetensors"]
    assert several.reference == f"hf:{REPOSITORY}@{COMMIT}:model-?.safetensors"
    servers.files[REPOSITORY]["odd[1].md"] = b"odd"
    assert paths(origin.find(f"hf:{REPOSITORY}:odd[1].md")) == ["odd[1].md"]
    for nothing in ("README", "*.bin"):
        with pytest.raises(OriginRefusedError, match="has no file"):
            origin.find(f"hf:{REPOSITORY}:{nothing}")


def test_each_file_has_the_name_that_is_promised(origin: HubOrigin) -> None:
    for file in origin.find(f"hf:{REPOSITORY}").files:
        whole = WholeFile(file)
        content = read(origin, file)
        kept = []
        for part in (content[:-1], content[-1:]):
            whole.update(part)
            kept.append(whole.is_promised)
        assert kept == [False, True]
        assert file.git_oid in {None, git_oid(content)}


def test_what_promises_nothing_is_never_what_was_promised() -> None:
    whole = WholeFile(OriginFile("x", 0, None, ""))
    assert not whole.is_promised


@pytest.mark.parametrize("tree", [True, False])
def test_a_server_that_lists_names_alone_is_asked_for_the_rest(
    origin: HubOrigin, servers: HubServers, tree: bool
) -> None:
    whole = origin.find(f"hf:{REPOSITORY}")
    servers.behaviour.listing_digests, servers.behaviour.tree = False, tree
    servers.behaviour.tree_page = 2
    assert origin.find(f"hf:{REPOSITORY}") == whole
    assert bool(servers.asked("hub", "HEAD")) == (not tree)


def test_very_many_files_are_not_asked_for_one_by_one(
    origin: HubOrigin, servers: HubServers
) -> None:
    servers.files[REPOSITORY] = {f"{number}.md": b"" for number in range(300)}
    servers.behaviour.listing_digests = servers.behaviour.tree = False
    with pytest.raises(OriginRefusedError, match="how large 300 files"):
        origin.find(f"hf:{REPOSITORY}")
    assert not servers.asked("hub", "HEAD")
    assert paths(origin.find(f"hf:{REPOSITORY}:7.md")) == ["7.md"]


def test_a_next_page_that_is_elsewhere_is_asked_of_the_endpoint(
    asker: Asker, servers: HubServers
) -> None:
    servers.behaviour.token = "hf_secret"
    servers.behaviour.listing_digests = False
    servers.behaviour.tree_page = 2
    servers.behaviour.tree_address = servers.storage_address
    origin = HubOrigin(asker, servers.endpoint, "hf_secret")
    assert paths(origin.find(f"hf:{REPOSITORY}")) == sorted(FILES)
    assert not any(one.path.startswith("/api") for one in servers.asked("storage"))


def test_where_a_file_was_redirected_to_is_asked_first_from_then_on(
    origin: HubOrigin, servers: HubServers
) -> None:
    file = origin.find(f"hf:{REPOSITORY}:model-1.safetensors").files[0]
    for _ in range(3):
        read(origin, file)
    assert [len(servers.asked("hub")), len(servers.asked("storage"))] == [2, 3]
    servers.behaviour.refused = [403]
    assert read(origin, file) == FILES[file.path]
    assert len(servers.asked("hub")) == 3


def test_a_hub_that_serves_another_file_than_it_lists_is_not_read(
    origin: HubOrigin, servers: HubServers
) -> None:
    listing = origin.find(f"hf:{REPOSITORY}")
    readme, large = listing.files[0], listing.files[1]
    servers.behaviour.linked_etag = "0" * 64
    with pytest.raises(OriginChangedError, match="lists one"):
        read(origin, large)
    servers.behaviour.linked_etag = None
    servers.files[REPOSITORY] = {name: content[::-1] for name, content in FILES.items()}
    for file in (readme, large):
        with pytest.raises(OriginChangedError, match="lists one"):
            read(origin, file)


@pytest.mark.parametrize(
    "siblings",
    [
        b'"x"',
        b'[{"rfilename": "../x", "size": 1}]',
        b'[{"rfilename": "x", "size": -1}]',
        b'[{"rfilename": "x", "size": 1}, {"rfilename": "X", "size": 1}]',
        b'[{"rfilename": "x", "size": 1}, 5]',
        b"[]",
    ],
)
def test_a_listing_with_one_wrong_row_is_refused_whole(
    origin: HubOrigin, servers: HubServers, siblings: bytes
) -> None:
    sha = b'{"sha": "' + COMMIT.encode() + b'", "siblings": '
    servers.behaviour.listing = sha + siblings + b"}"
    with pytest.raises(OriginRefusedError):
        origin.find(f"hf:{REPOSITORY}")


def test_a_listing_of_who_does_not_say_is_private_when_a_token_was_shown(
    asker: Asker, servers: HubServers
) -> None:
    row = b'{"rfilename": "x", "size": 1, "blobId": "%b"}' % (b"a" * 40)
    servers.behaviour.listing = b'{"sha": "%b", "siblings": [%b]}' % (COMMIT.encode(), row)
    for token in (None, "hf_secret"):
        listing = HubOrigin(asker, servers.endpoint, token).find(f"hf:{REPOSITORY}")
        assert listing.private == (token is not None)


def test_what_the_hub_says_of_a_refusal_is_passed_on(
    origin: HubOrigin, servers: HubServers
) -> None:
    servers.behaviour.gated = True
    with pytest.raises(OriginError, match="accept its terms"):
        origin.find(f"hf:{REPOSITORY}")


def test_the_official_client_takes_a_whole_snapshot_of_the_stand_in(
    servers: HubServers, tmp_path: Path
) -> None:
    folder = snapshot_download(
        REPOSITORY, endpoint=servers.endpoint, cache_dir=tmp_path, token=False, max_workers=1
    )
    for name, content in FILES.items():
        assert Path(folder, name).read_bytes() == content
