"""The stand-in for the Hub is held to what the Hub's own client accepts."""

from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

from tests.adapters.models.hub_server import COMMIT, HubServers

REPOSITORY = "someone/Tiny-GGUF"
FILES = {"README.md": b"# Tiny\n", "tiny.gguf": b"GGUF" * 1000}


@pytest.fixture(autouse=True)
def repository(servers: HubServers) -> None:
    servers.files[REPOSITORY] = dict(FILES)


def test_the_official_client_lists_what_the_stand_in_has(servers: HubServers) -> None:
    info = HfApi(servers.endpoint, token=False).model_info(REPOSITORY, files_metadata=True)
    assert info.sha == COMMIT
    by_name = {one.rfilename: one for one in info.siblings or []}
    assert by_name["README.md"].lfs is None
    lfs = by_name["tiny.gguf"].lfs
    assert lfs is not None
    assert (lfs.size, len(lfs.sha256)) == (4000, 64)


@pytest.mark.parametrize("name", FILES)
def test_the_official_client_downloads_from_the_stand_in(
    servers: HubServers, tmp_path: Path, name: str
) -> None:
    path = hf_hub_download(
        REPOSITORY, name, endpoint=servers.endpoint, cache_dir=tmp_path, token="hf_secret"
    )
    assert Path(path).read_bytes() == FILES[name]
    assert not any("authorization" in one.headers for one in servers.asked("storage"))


def test_the_official_client_understands_the_stand_ins_refusals(
    servers: HubServers, tmp_path: Path
) -> None:
    for repository, name, error in (
        (REPOSITORY, "none.gguf", EntryNotFoundError),
        ("someone/else", "tiny.gguf", RepositoryNotFoundError),
    ):
        with pytest.raises(error):
            hf_hub_download(
                repository, name, endpoint=servers.endpoint, cache_dir=tmp_path, token=False
            )
