"""`HF_ENDPOINT=POP/hub hf download`: what a PoP does not have it pulls, and keeps for the next."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.models.hub_server import COMMIT, HubServers, running_hub
from tests.e2e.deliveries import Pulling, Tap, pops, pull, weights
from tests.e2e.sides import Side
from tests.typed import typed

SECRET = "hf_private-to-this-pop"


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServers]:
    with running_hub() as servers:
        yield servers


@pytest.fixture(scope="module")
def side(hub: HubServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    with pops(tmp_path_factory.mktemp("front"), "paris", hub=hub.endpoint) as (only,):
        yield only


def download(
    side: Side, repository: str, folder: Path, *options: str
) -> "subprocess.CompletedProcess[str]":
    """What a user types, with a cache of its own."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"{side.pop.url}/hub",
        "HF_TOKEN": side.key,
        "HF_HOME": str(folder),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return subprocess.run(
        [str(Path(sys.executable).with_name("hf")), "download", repository, *options],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def downloaded(side: Side, repository: str, folder: Path, *options: str) -> dict[str, bytes]:
    """The files that it has brought."""
    done = download(side, repository, folder, *options)
    assert done.returncode == 0, done.stderr
    name = f"models--{repository.replace('/', '--')}"
    (snapshot,) = folder.glob(f"hub/{name}/snapshots/*")
    files = (path for path in snapshot.rglob("*") if path.is_file())
    return {str(path.relative_to(snapshot)): path.read_bytes() for path in files}


def test_what_is_not_here_is_pulled_once_and_given_to_all_who_ask(
    side: Side, hub: HubServers, tmp_path: Path
) -> None:
    hub.files["lab/model"] = files = {
        "model.safetensors": weights(60, count=8),
        "config.json": b'{"model_type": "tiny"}',
        "sub/empty.txt": b"",
    }
    tap = Tap()
    hub.pour = tap.pour
    assert downloaded(side, "lab/model", tmp_path / "one") == files
    size = sum(map(len, files.values()))
    assert tap.out_bytes <= 1.01 * size
    assert downloaded(side, "lab/model", tmp_path / "two") == files
    assert tap.out_bytes <= 1.01 * size
    for revision in ("refs/pr/1", COMMIT):
        place = tmp_path / revision.replace("/", "-")
        assert downloaded(side, "lab/model", place, "--revision", revision) == files
    assert tap.out_bytes <= 1.01 * size
    absent = download(side, "lab/model", tmp_path / "three", "--revision", "absent")
    assert absent.returncode != 0


def test_what_was_pulled_is_there_when_the_origin_is_gone(
    side: Side, hub: HubServers, tmp_path: Path
) -> None:
    hub.files["lab/kept"] = files = {"model.safetensors": weights(61, count=2), "a.json": b"[]"}
    pull(side, "hf:lab/kept")
    hub.behaviour.statuses += [503] * 200
    try:
        assert downloaded(side, "lab/kept", tmp_path / "one") == files
        place = tmp_path / "two"
        assert downloaded(side, "lab/kept", place, "--revision", COMMIT) == files
    finally:
        hub.behaviour.statuses.clear()


def test_a_private_repository_is_had_with_the_pops_own_token_as_soon_as_it_is_told(
    side: Side, hub: HubServers, tmp_path: Path
) -> None:
    hub.files["lab/private"] = files = {"model.safetensors": weights(62, count=2)}
    hub.behaviour.token, hub.behaviour.private = SECRET, True
    token = tmp_path / "token"
    token.write_text(SECRET)
    try:
        assert "private" in Pulling(side, "hf:lab/private").failed()
        host = hub.endpoint.partition("//")[2]
        side.cli("origins", "login", host, "--token-file", str(token))
        assert downloaded(side, "lab/private", tmp_path / "one") == files
        side.cli("origins", "logout", host)
        assert Pulling(side, "hf:lab/private").failed()
    finally:
        hub.behaviour.token, hub.behaviour.private = None, False
    shown = typed("store", "stats", "--json", "--home", str(side.home)).stdout
    said = [shown, *(log.read_text() for log in (side.home / "logs").glob("*.log"))]
    assert not any(SECRET in text for text in said)
    assert SECRET not in {one.headers.get("authorization") for one in hub.asked("storage")}
