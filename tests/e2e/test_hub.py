"""`HF_ENDPOINT=http://POP/hub`: a real PoP, with and without workers, gives out its own models."""

import filecmp
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
from tokenizers import Tokenizer

from littoral.terms.values import ModelEntry
from tests.conftest import EMBED_MODEL, RunningPop, started_pop
from tests.e2e.sides import Side

REPOSITORY = f"littoral/{EMBED_MODEL}"


@pytest.fixture(scope="module", params=["1", "2"])
def pop(
    request: pytest.FixtureRequest, models_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningPop]:
    home = tmp_path_factory.mktemp("hub")
    (home / "models").symlink_to(models_home / "models")
    with started_pop(home, "--workers", request.param, models="") as running:
        yield running


@pytest.mark.model
def test_a_models_files_come_as_they_are(
    pop: RunningPop, minilm: ModelEntry, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"{pop.url}/hub",
        "HF_TOKEN": pop.key,
        "HF_HOME": str(tmp_path),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    subprocess.run(
        [str(Path(sys.executable).with_name("hf")), "download", REPOSITORY],
        env=environment,
        check=True,
        timeout=60,
    )
    (folder,) = tmp_path.glob(f"hub/models--littoral--{EMBED_MODEL}/snapshots/*")
    for file in minilm.files:
        assert filecmp.cmp(file.path, folder / Path(file.path).name, shallow=False)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.encode("hello world").tokens[1:3] == ["hello", "world"]


@pytest.mark.model
def test_the_head_alone_costs_no_reading(pop: RunningPop, minilm: ModelEntry) -> None:
    weights = minilm.files[0]
    endpoint = f"{pop.url}/hub"
    url = hf_hub_url(REPOSITORY, Path(weights.path).name, endpoint=endpoint)
    said = get_hf_file_metadata(url, token=pop.key, endpoint=endpoint)
    assert (said.size, f"sha256:{said.etag}") == (weights.size_bytes, weights.digest)


@pytest.mark.model
def test_pages_lead_to_where_the_client_has_found_the_pop(pop: RunningPop) -> None:
    hub = HfApi(f"{pop.url}/hub", token=pop.key)
    page = f"{pop.url}/hub/api/models/{REPOSITORY}/tree/main?limit=1"
    asked = urllib.request.Request(page, headers={"Authorization": f"Bearer {pop.key}"})
    with urllib.request.urlopen(asked) as answer:
        assert answer.headers["link"] == f'<{page}&cursor=1>; rel="next"'
    assert len(list(hub.list_repo_tree(REPOSITORY))) == 2


@pytest.mark.model
def test_a_keys_limit_of_requests_holds_for_files_too(pop: RunningPop) -> None:
    side = Side(pop, pop.home, pop.key)
    key = side.cli("keys", "create", "slow", "--requests-per-minute", "3")["key"]
    headers = {"Authorization": f"Bearer {key}"}

    def ask(path: str) -> None:
        request = urllib.request.Request(f"{pop.url}{path}", headers=headers)
        urllib.request.urlopen(request).close()

    for path in ("/hub/api/whoami-v2", "/v2/", f"/hub/api/models/{REPOSITORY}"):
        ask(path)
    for path in ("/hub/api/whoami-v2", "/v2/_catalog"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(path)
        assert refused.value.code == 429
        assert 0 < int(refused.value.headers["retry-after"]) <= 61
        refused.value.close()
