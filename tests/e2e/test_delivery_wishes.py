"""Copies come to be where they are wished, or asked for; what is private stays with its owner."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from littoral.terms.values import ModelEntry
from littoral.web.delivery import DELIVERY
from tests.conftest import CHAT_MODEL, started_pop
from tests.e2e.deliveries import (
    MOVER,
    Pulling,
    WebServer,
    bytes_of,
    pops,
    pull,
    sees_whole,
    settled,
    web_server,
    weights,
)
from tests.e2e.sides import FREE, Side, founder_without, state_address, until
from tests.typed import typed


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server({}) as server:
        yield server


def holders(side: Side) -> set[str]:
    """Who has what the only wish is of."""
    (wish,) = side.cli("place")["wishes"]
    return set(wish["having"])


def name_of(side: Side) -> str:
    return str(next(row["pop"] for row in side.cli("pops")["pops"] if row["reach"] == "here"))


def test_a_wish_for_a_site_is_fulfilled_from_one_that_has_it(
    web: WebServer, tmp_path: Path
) -> None:
    web.files["a.safetensors"] = content = weights(40, count=4)
    reference = f"{web.url}/a.safetensors"
    with pops(tmp_path, "paris", "lyon") as (first, second):
        came = pull(first, reference)
        placed = first.cli("place", reference, "--sites", "lyon")
        assert placed["chosen"] == [name_of(second)]
        until(lambda: name_of(second) in holders(first))
        assert bytes_of(second, came["artifact"]) == [content]
        assert web.tap.out_bytes <= 1.05 * len(content)
        withdrawn = typed("place", reference, "--withdraw", "--home", str(first.home))
        assert withdrawn.returncode == 0, withdrawn.stderr
        assert first.cli("place")["wishes"] == []


def test_copies_that_are_lost_are_made_anew_elsewhere(web: WebServer, tmp_path: Path) -> None:
    web.files["b.safetensors"] = weights(41, count=2)
    reference = f"{web.url}/b.safetensors"
    with ExitStack() as stack:
        first, second = stack.enter_context(pops(tmp_path, "paris", "paris"))
        ticket = first.cli("invite", "--site", "paris")["ticket"]
        third_home = tmp_path / "third"
        joining = started_pop(third_home, *FREE, *MOVER, models="", joins=ticket)
        with joining as running:
            sides = first, second, Side(running, third_home, running.key)
            sides[2].get(f"{DELIVERY}/store")
            settled(*sides)
            chosen = first.cli("place", reference, "--replicas", "2")["chosen"]
            until(lambda: holders(first) == set(chosen))
            by_name = {name_of(side): side for side in sides}
            lost = next(by_name[name] for name in chosen if by_name[name] is not first)
            stays = next(side for side in sides if side is not lost)
            os.kill(lost.pop.pid, signal.SIGKILL)
            until(lambda: len(holders(stays)) == 2 and holders(stays) != set(chosen))


def test_what_a_site_asks_for_often_is_brought_there(smollm2: ModelEntry, tmp_path: Path) -> None:
    reference = f"file:{Path(smollm2.files[0].path).resolve()}"
    with pops(tmp_path, "paris", "lyon") as (first, second):
        came = pull(first, reference, "--name", CHAT_MODEL)
        assert came["model"] == CHAT_MODEL
        asked = typed(
            "run", CHAT_MODEL, "What is the capital of France?", "--home", str(first.home)
        )
        assert asked.stdout.strip(), asked.stderr
        until(lambda: CHAT_MODEL in models_of(second, "direct"))
        assert CHAT_MODEL not in models_of(second, "here")
        for number in range(6):
            status, _, body = second.chat(cache_control="no-store", x_number=str(number))
            assert status == 200, body
        until(lambda: CHAT_MODEL in models_of(second, "here"))
        assert second.chat(cache_control="no-store")[0] == 200


def models_of(side: Side, reach: str) -> set[str]:
    """What a PoP that is reached so is known to have."""
    rows = [row for row in side.cli("pops")["pops"] if row["reach"] == reach]
    return {model["name"] for row in rows for model in row["models"]}


def test_what_is_private_is_not_given_to_another_owner_and_nothing_is_asked_of_who_may_only_ask(
    web: WebServer, tmp_path: Path
) -> None:
    web.files["open.safetensors"] = weights(42, count=2)
    web.files["secret.safetensors?key=s3cr3t"] = weights(43, count=2)
    web.files["theirs.safetensors"] = weights(44, count=2)
    with (
        pops(tmp_path / "ours", "paris") as (ours,),
        founder_without(tmp_path / "theirs", *MOVER) as theirs,
    ):
        for side in (ours, theirs):
            side.cli("invite")  # which makes the owner
        pems = {}
        for side, name in ((ours, "ours"), (theirs, "theirs")):
            pems[name] = tmp_path / f"{name}.pem"
            pems[name].write_text(side.cli("owners", "export")["root_pem"])
        ours.cli("owners", "admit", str(pems["theirs"]), "--may-ask")
        address = state_address(ours.home)
        theirs.cli("owners", "admit", str(pems["ours"]), "--may-serve", "--address", address)
        theirs.get(f"{DELIVERY}/store")
        settled(ours, theirs)
        secret = pull(ours, f"{web.url}/secret.safetensors?key=s3cr3t")
        public = pull(ours, f"{web.url}/open.safetensors")
        until(lambda: sees_whole(theirs, public["artifact"]))
        got = pull(theirs, public["artifact"])
        assert got["neighbour_bytes"] == got["size_bytes"]
        refused = Pulling(theirs, secret["artifact"]).failed()
        assert "no PoP that can be reached has" in refused
        other = pull(theirs, f"{web.url}/theirs.safetensors")
        refused = Pulling(ours, other["artifact"]).failed()
        assert "no PoP that can be reached has" in refused
        for home in (ours.home, theirs.home):
            for log in (home / "logs").glob("*.log"):
                assert "s3cr3t" not in log.read_text()
