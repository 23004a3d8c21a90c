"""The Hub's own client pulls from a PoP: `HF_ENDPOINT=http://POP/hub`."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from huggingface_hub import (
    HfApi,
    HfFileSystem,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from littoral.adapters.shelves import LocalShelf
from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import OriginError, RateLimitedError
from littoral.terms.facts import FileSent, RequestRefused
from littoral.terms.values import Caller
from tests.web.fake_door import KEY, NARROW_KEY, OPERATOR_KEY
from tests.web.shelf import FILES, WEIGHTS, Pop, pop_with, repositories, shelf_in

REPOSITORY = "acme/tiny"
T = TypeVar("T")


@pytest.fixture
async def pop(tmp_path: Path) -> AsyncIterator[Pop]:
    async with pop_with(shelf_in(tmp_path)) as running:
        yield running


async def api(pop: Pop, ask: Callable[[HfApi], T], key: str = KEY) -> T:
    return await asyncio.to_thread(lambda: ask(HfApi(pop.endpoint, token=key)))


async def pulled(pop: Pop, cache: Path, name: str, revision: str | None = None) -> Path:
    def pull() -> str:
        return hf_hub_download(
            REPOSITORY, name, endpoint=pop.endpoint, revision=revision, cache_dir=cache, token=KEY
        )

    return Path(await asyncio.to_thread(pull))


async def test_a_snapshot_is_the_repository(pop: Pop, tmp_path: Path) -> None:
    def pull() -> str:
        return snapshot_download(
            REPOSITORY, endpoint=pop.endpoint, cache_dir=tmp_path / "cache", token=KEY
        )

    folder = Path(await asyncio.to_thread(pull))
    assert folder.name == repositories(tmp_path)[0].commit
    there = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in there.items()} == FILES
    blob = there["model.safetensors"].resolve()
    assert blob.name == hashlib.sha256(WEIGHTS).hexdigest()
    sent = [fact for fact in pop.facts if isinstance(fact, FileSent)]
    assert {fact.outcome for fact in sent} == {"whole"}
    assert sum(fact.bytes for fact in sent) == sum(map(len, FILES.values()))


async def test_a_second_snapshot_asks_for_no_file(pop: Pop, tmp_path: Path) -> None:
    def pull() -> str:
        return snapshot_download(
            REPOSITORY, endpoint=pop.endpoint, cache_dir=tmp_path / "cache", token=KEY
        )

    first = await asyncio.to_thread(pull)
    pop.facts.clear()
    assert await asyncio.to_thread(pull) == first
    assert not pop.facts


@pytest.mark.parametrize("revision", ["v1/old", "commit"])
async def test_revisions_by_branch_and_commit(pop: Pop, tmp_path: Path, revision: str) -> None:
    old = repositories(tmp_path)[1]
    wanted = old.commit if revision == "commit" else revision
    path = await pulled(pop, tmp_path / "cache", "old.txt", revision=wanted)
    assert path.read_bytes() == b"old"
    assert path.parent.name == old.commit


async def test_what_is_in_a_repository(pop: Pop) -> None:
    assert await api(pop, lambda hub: hub.list_repo_files(REPOSITORY)) == sorted(FILES)
    info = await api(pop, lambda hub: hub.model_info(REPOSITORY, files_metadata=True))
    sizes = {one.rfilename: one.size for one in info.siblings or []}
    assert sizes == {name: len(data) for name, data in FILES.items()}
    by_name = {one.rfilename: one for one in info.siblings or []}
    lfs = by_name["model.safetensors"].lfs
    assert lfs is not None
    assert (lfs.sha256, lfs.size) == (hashlib.sha256(WEIGHTS).hexdigest(), len(WEIGHTS))
    assert by_name["README.md"].lfs is None
    refs = await api(pop, lambda hub: hub.list_repo_refs(REPOSITORY))
    assert [branch.name for branch in refs.branches] == ["main", "v1/old"]
    listed = await api(pop, lambda hub: [model.id for model in hub.list_models()])
    assert listed == ["acme/tiny", "legacy"]


async def test_paths_are_looked_up(pop: Pop) -> None:
    asked = ["onnx", "README.md", "nowhere", "onnx/model.onnx"]
    found = await api(pop, lambda hub: hub.get_paths_info(REPOSITORY, asked))
    assert [each.path for each in found] == ["onnx", "README.md", "onnx/model.onnx"]
    tree = await api(pop, lambda hub: list(hub.list_repo_tree(REPOSITORY, "onnx")))
    assert [each.path for each in tree] == ["onnx/model.onnx", "onnx/quantised"]


async def test_the_file_system_reads_ranges(pop: Pop) -> None:
    def read() -> tuple[object, bytes, int]:
        files = HfFileSystem(endpoint=pop.endpoint, token=KEY, skip_instance_cache=True)
        with files.open(f"{REPOSITORY}/model.safetensors", block_size=1000) as file:
            file.seek(1_500_000)
            piece = file.read(10)
        listed = files.ls(REPOSITORY, detail=False)
        return listed, piece, files.info(f"{REPOSITORY}@v1%2Fold/old.txt")["size"]

    listed, piece, size = await asyncio.to_thread(read)
    assert isinstance(listed, list)
    assert f"{REPOSITORY}/onnx" in listed
    assert (piece, size) == (WEIGHTS[1_500_000:1_500_010], 3)


async def test_what_the_head_says(pop: Pop, tmp_path: Path) -> None:
    def ask(name: str) -> object:
        url = hf_hub_url(REPOSITORY, name, endpoint=pop.endpoint)
        said = get_hf_file_metadata(url, token=KEY, endpoint=pop.endpoint)
        assert said.xet_file_data is None
        return said.commit_hash, said.etag, said.size

    shelved = repositories(tmp_path)[0]
    weights, readme = "model.safetensors", "README.md"
    sha256, blob = (
        hashlib.sha256(WEIGHTS).hexdigest(),
        hashlib.sha1(b"blob 7\0# tiny\n").hexdigest(),
    )
    assert await asyncio.to_thread(ask, weights) == (shelved.commit, sha256, len(WEIGHTS))
    assert await asyncio.to_thread(ask, readme) == (shelved.commit, blob, 7)


class Breaking(LocalShelf):
    """Breaks off once, within a file."""

    broken = False

    @asynccontextmanager
    async def open(
        self, file: OriginFile, start: int, end: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        async with super().open(file, start, end) as pieces:
            yield self._some(pieces)

    async def _some(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            yield piece
            if not self.broken:
                self.broken = True
                raise OriginError("the neighbour that sends this has died")


async def test_a_download_goes_on_where_it_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client drops what is less than a whole chunk of its own, which is 10 MiB.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 2**16)
    there = repositories(tmp_path)
    async with pop_with(Breaking(lambda: there)) as pop:
        path = await pulled(pop, tmp_path / "cache", "model.safetensors")
        assert path.read_bytes() == WEIGHTS
        first, second = [fact for fact in pop.facts if isinstance(fact, FileSent)]
    assert (first.outcome, second.outcome) == ("failed", "whole")
    assert first.bytes + second.bytes == len(WEIGHTS)


async def test_a_dry_run_takes_nothing(pop: Pop, tmp_path: Path) -> None:
    def plan() -> list[tuple[str, int | None]]:
        wanted = snapshot_download(
            REPOSITORY,
            endpoint=pop.endpoint,
            cache_dir=tmp_path / "cache",
            token=KEY,
            dry_run=True,
        )
        return sorted((each.filename, each.file_size) for each in wanted)

    assert await asyncio.to_thread(plan) == sorted((n, len(d)) for n, d in FILES.items())
    assert not pop.facts


async def test_data_sets_and_names_without_owner(pop: Pop, tmp_path: Path) -> None:
    def pull(name: str, file: str, kind: str) -> bytes:
        path = hf_hub_download(
            name,
            file,
            repo_type=kind,
            endpoint=pop.endpoint,
            cache_dir=tmp_path / "cache",
            token=KEY,
        )
        return Path(path).read_bytes()

    assert await asyncio.to_thread(pull, "acme/tiny", "train.csv", "dataset") == b"a,b\n1,2\n"
    assert await asyncio.to_thread(pull, "legacy", "a", "model") == b"legacy"
    info = await api(pop, lambda hub: hub.dataset_info("acme/tiny"))
    assert info.id == "acme/tiny"


async def test_what_is_not_there_raises_the_clients_own_errors(pop: Pop, tmp_path: Path) -> None:
    with pytest.raises(RemoteEntryNotFoundError):
        await pulled(pop, tmp_path / "cache", "nowhere.bin")
    absent = tmp_path / "cache" / "models--acme--tiny" / ".no_exist"
    assert [path.name for path in absent.rglob("nowhere.bin")], "the client remembers it"
    with pytest.raises(RevisionNotFoundError):
        await pulled(pop, tmp_path / "cache", "a", revision="v9")
    with pytest.raises(RepositoryNotFoundError):
        await api(pop, lambda hub: hub.model_info("acme/nothing"))


async def test_keys_open_what_they_may_open(pop: Pop) -> None:
    def info(name: str) -> Callable[[HfApi], object]:
        return lambda hub: hub.model_info(name).id

    assert await api(pop, info("acme/secret"), OPERATOR_KEY) == "acme/secret"
    with pytest.raises(RepositoryNotFoundError):
        await api(pop, info("acme/secret"))
    assert await api(pop, info("acme/tiny"), NARROW_KEY) == "acme/tiny"
    with pytest.raises(GatedRepoError):
        await api(pop, info("legacy"), NARROW_KEY)
    with pytest.raises(HfHubHTTPError) as false:
        await api(pop, info("acme/tiny"), "lit_false")
    assert false.value.response.status_code == 401
    assert not isinstance(false.value, RepositoryNotFoundError)
    with pytest.raises(HfHubHTTPError, match="no API key came") as missing:
        await asyncio.to_thread(lambda: HfApi(pop.endpoint, token=False).model_info("acme/tiny"))
    assert missing.value.response.status_code == 401


async def test_who_a_key_belongs_to(pop: Pop) -> None:
    said = await api(pop, lambda hub: hub.whoami())
    assert (said["type"], said["name"]) == ("user", "user")


async def test_the_command_line_needs_nothing_but_the_endpoint(pop: Pop, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": pop.endpoint,
        "HF_TOKEN": KEY,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }

    def download() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(Path(sys.executable).with_name("hf")), "download", REPOSITORY],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    done = await asyncio.to_thread(download)
    assert done.returncode == 0, done.stderr
    (weights,) = (tmp_path / "home").rglob("snapshots/*/model.safetensors")
    assert weights.read_bytes() == WEIGHTS


class Turnstile:
    """Counts requests, and refuses the one of this number and all after it for so long."""

    def __init__(self, let_in: int, refused: int) -> None:
        self.asked = 0
        self.refused = range(let_in, let_in + refused)

    def __call__(self, caller: Caller) -> None:
        self.asked += 1
        if self.asked - 1 in self.refused:
            said = f"the limit of {caller.name}"
            raise RateLimitedError(said, retry_after_s=0, details={"allowed": 60})


async def test_a_key_beyond_its_limit_is_told_to_wait_and_the_client_does(tmp_path: Path) -> None:
    count = Turnstile(let_in=1, refused=1)
    async with pop_with(shelf_in(tmp_path), count=count) as pop:
        path = await pulled(pop, tmp_path / "cache", "model.safetensors")
        assert path.read_bytes() == WEIGHTS
        assert RequestRefused("hub", "rate_limit_exceeded", 429) in pop.facts
    assert count.asked == 3, "of the file: its head, and its bytes twice"


async def test_the_client_says_which_limit_it_was(tmp_path: Path) -> None:
    async with pop_with(shelf_in(tmp_path), count=Turnstile(0, 1)) as pop:
        with pytest.raises(HfHubHTTPError, match=r"'requests' rate limit.*\n.*\(0/60 requests"):
            await api(pop, lambda hub: hub.model_info(REPOSITORY))
