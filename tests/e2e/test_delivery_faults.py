"""What a pull survives: its mover killed, its PoP killed, a full disk, a dead origin, a liar."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import started_pop
from tests.e2e.deliveries import (
    MOVER,
    Pulling,
    WebServer,
    bytes_of,
    committed,
    has_come,
    log_of,
    mover_of,
    pops,
    pull,
    rot,
    sees_whole,
    under_way,
    web_server,
    weights,
)
from tests.e2e.sides import FREE, Side, until

MIB = 1024 * 1024
NEAR = 128 * 1024
"""What a pull asks for besides what it lacks: what is there, and its header."""


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server({}) as server:
        yield server


def begun(side: Side, reference: str, web: WebServer) -> Pulling:
    """A pull of which some is committed, some came after that, and no more comes."""
    web.tap.close_after(9 * MIB)
    pulling = Pulling(side, reference)
    until(lambda: has_come(side, reference, 7 * MIB) and committed(side))
    return pulling


def test_after_its_mover_was_killed_a_pull_goes_on_from_what_was_committed(
    web: WebServer, tmp_path: Path
) -> None:
    web.files["a.safetensors"] = content = weights(20)
    reference = f"{web.url}/a.safetensors"
    with pops(tmp_path, "paris") as (side,):
        pulling = begun(side, reference, web)
        mover_of(side).send_signal(signal.SIGKILL)
        failed = pulling.failed()
        assert "Traceback" not in failed
        before = web.tap.out_bytes
        web.tap.open()
        again = pull(side, reference)
        assert again["reused_bytes"] >= MIB
        assert web.tap.out_bytes - before <= len(content) - again["reused_bytes"] + NEAR
        assert bytes_of(side, again["artifact"]) == [content]


def test_after_the_pop_was_killed_the_next_goes_on_from_what_was_committed(
    web: WebServer, tmp_path: Path
) -> None:
    web.files["b.safetensors"] = content = weights(21)
    reference = f"{web.url}/b.safetensors"
    with pops(tmp_path, "paris") as (side,):
        pulling = begun(side, reference, web)
        os.kill(side.pop.pid, signal.SIGKILL)
        assert "Traceback" not in pulling.failed()
    before = web.tap.out_bytes
    web.tap.open()
    with started_pop(side.home, *FREE, *MOVER, models="") as running:
        back = Side(running, side.home, side.key)
        again = pull(back, reference)
        assert again["reused_bytes"] >= MIB
        assert web.tap.out_bytes - before <= len(content) - again["reused_bytes"] + NEAR
        assert bytes_of(back, again["artifact"]) == [content]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A home whose artifacts lie on a disk of 100 MiB."""
    artifacts = tmp_path / "pop-1" / "artifacts"
    artifacts.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100m", "none", str(artifacts)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield artifacts
    finally:
        subprocess.run(["umount", "--lazy", str(artifacts)], check=True)


def test_a_disk_that_fills_up_ends_the_pull_which_goes_on_once_there_is_room(
    web: WebServer, small_disk: Path, tmp_path: Path
) -> None:
    web.files["c.safetensors"] = content = weights(22)
    reference = f"{web.url}/c.safetensors"
    with pops(tmp_path, "paris") as (side,):
        pulling = begun(side, reference, web)
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        web.tap.open()
        failed = pulling.failed()
        assert "disk" in failed
        assert "Traceback" not in failed
        refused = Pulling(side, reference).failed()
        assert "a last copy" in refused
        filler.unlink()
        again = pull(side, reference)
        assert again["reused_bytes"] >= 2 * MIB
        assert bytes_of(side, again["artifact"]) == [content]


def test_a_neighbour_has_it_when_the_origin_dies_in_the_middle(
    web: WebServer, tmp_path: Path
) -> None:
    web.files["d.safetensors"] = content = weights(23)
    reference = f"{web.url}/d.safetensors"
    with pops(tmp_path, "paris", "lyon") as (first, second):
        pull(first, reference)
        web.tap.close_after(web.tap.out_bytes + MIB)
        pulling = Pulling(second, reference)
        until(lambda: under_way(second, reference).get("stage", "asking") != "asking")
        web.die()
        assert bytes_of(second, pulling.ended()["artifact"]) == [content]


def test_each_wrong_chunk_costs_one_more_fetch_and_whoever_gave_it_is_named(
    web: WebServer, tmp_path: Path
) -> None:
    web.files["e.safetensors"] = content = weights(24, count=32)
    reference = f"{web.url}/e.safetensors"
    with pops(tmp_path, "paris", "paris", "paris") as (first, second, third):
        came = pull(first, reference)
        pull(second, came["artifact"])
        until(lambda: sees_whole(third, came["artifact"]))
        until(lambda: len(third.cli("pull", came["artifact"], "--plan")["sources"]) == 2)
        for at in range(MIB, 30 * MIB, MIB // 4):
            rot(second, came["artifact"], at)
        got = pull(third, came["artifact"])
        assert bytes_of(third, got["artifact"]) == [content]
        name = next(row["pop"] for row in second.cli("pops")["pops"] if row["reach"] == "here")
        assert f"{name} gave wrong bytes" in log_of(third)
        wrong = log_of(third).count("gave wrong bytes")
        sources = {row["source"]: row["fetched_bytes"] for row in got["sources"]}
        assert sum(sources.values()) == len(content), f"{wrong} wrong ones are in no file"
        assert sources.get(name, 0) <= 3 * MIB
        assert web.tap.out_bytes <= 1.01 * len(content)


def test_a_flipped_byte_is_found_and_repaired_from_a_neighbour(
    web: WebServer, tmp_path: Path
) -> None:
    web.files["f.safetensors"] = content = weights(25)
    reference = f"{web.url}/f.safetensors"
    with pops(tmp_path, "paris", "paris") as (first, second):
        came = pull(first, reference)
        until(lambda: sees_whole(second, came["artifact"]))
        pull(second, reference)
        left = web.tap.out_bytes
        assert first.cli("store", "verify")["rotten"] == []
        rot(first, came["artifact"], 5 * MIB)
        found = first.cli("store", "verify")
        assert len(found["rotten"]) == 1
        assert came["artifact"] in found["rotten"][0]
        repaired = pull(first, reference)  # waits for the repair, which has begun by itself
        assert repaired.get("neighbour_bytes", 0) <= MIB
        assert repaired["artifact"] == came["artifact"]
        assert bytes_of(first, came["artifact"]) == [content]
        assert first.cli("store", "verify")["rotten"] == []
        assert web.tap.out_bytes - left < NEAR
