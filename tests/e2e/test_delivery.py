"""Real PoPs bring in what they are asked for: from its origin once, then from each other."""

import hashlib
import json
import signal
from collections.abc import Iterator

import pytest

from tests.adapters.models.hub_server import COMMIT, HubServers, running_hub
from tests.e2e.deliveries import (
    Pulling,
    Tap,
    WebServer,
    begin,
    bytes_of,
    ended,
    has_come,
    pops,
    pull,
    sees_whole,
    web_server,
    weights,
)
from tests.e2e.sides import Side, until
from tests.typed import typed

MIB = 1024 * 1024
FIRST_DEAL = 2 * MIB
"""What one reads before anybody else is known to be at the same."""


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServers]:
    with running_hub() as servers:
        yield servers


@pytest.fixture(scope="module")
def sides(
    hub: HubServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Side, Side, Side]]:
    """Three PoPs, two of them of one site."""
    folder = tmp_path_factory.mktemp("delivery")
    with pops(folder, "paris", "paris", "lyon", hub=hub.endpoint) as (first, second, third):
        yield first, second, third


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server({}) as server:
        yield server


def test_one_of_a_web_server_is_fetched_once_and_then_had_from_a_neighbour(
    sides: tuple[Side, Side, Side], web: WebServer
) -> None:
    first, second, _ = sides
    web.files["one.safetensors"] = content = weights(1)
    reference = f"{web.url}/one.safetensors"
    came = pull(first, reference)
    assert came["origin_bytes"] == came["size_bytes"] == len(content)
    assert bytes_of(first, came["artifact"]) == [content]
    left_bytes = web.tap.out_bytes
    assert left_bytes <= 1.01 * len(content)
    again = pull(second, reference)
    assert again["artifact"] == came["artifact"]
    assert again["neighbour_bytes"] == len(content)
    assert [row["source"].startswith("pop-") for row in again["sources"]] == [True]
    assert web.tap.out_bytes - left_bytes < 64, "the origin was asked what it has, and no more"
    assert bytes_of(second, came["artifact"]) == [content]


def test_of_a_new_version_on_the_hub_only_the_files_that_changed_leave_it(
    sides: tuple[Side, Side, Side], hub: HubServers
) -> None:
    side = sides[0]
    files = {"model.safetensors": weights(5, count=4), "README.md": b"# one", "config.json": b"{}"}
    hub.files["lab/first"] = files
    pull(side, "hf:lab/first")
    hub.files["lab/second"] = {**files, "README.md": b"# two"}
    size = sum(map(len, hub.files["lab/second"].values()))
    plan = side.cli("pull", "hf:lab/second", "--plan")
    assert (plan["here_bytes"], plan["origin_bytes"]) == (size - 5, 5)
    came = pull(side, "hf:lab/second")
    assert came["reused_bytes"] == size - 5
    assert sorted(bytes_of(side, came["artifact"])) == sorted(hub.files["lab/second"].values())


def test_three_that_pull_at_once_have_one_copy_leave_the_hub(
    sides: tuple[Side, Side, Side], hub: HubServers
) -> None:
    tap = Tap(20e6)
    hub.pour = tap.pour
    content = weights(2, count=32)
    hub.files["lab/three"] = {"model.safetensors": content, "config.json": b"{}"}
    for side in sides:
        begin(side, "hf:lab/three")
    came = [ended(side, "hf:lab/three") for side in sides]
    size = len(content) + 2
    # On a busy machine two begin before either knows of the other: each reads a first deal.
    once = 1.01 * size + 2 * FIRST_DEAL
    assert tap.out_bytes <= once
    assert {each["artifact"] for each in came} == {came[0]["artifact"]}
    for side, each in zip(sides, came, strict=True):
        assert each["here_bytes"] == each["size_bytes"] == size
        assert sorted(bytes_of(side, each["artifact"])) == sorted([content, b"{}"])
    assert sum(each.get("origin_bytes", 0) for each in came) <= once


def test_a_plan_says_what_would_come_from_where_and_fetches_nothing(
    sides: tuple[Side, Side, Side], web: WebServer
) -> None:
    first, second, _ = sides
    web.files["plan.safetensors"] = content = weights(3)
    reference = f"{web.url}/plan.safetensors"
    plan = second.cli("pull", reference, "--plan")
    assert (plan["origin_bytes"], plan["artifact"]) == (len(content), None)
    came = pull(first, reference)
    until(lambda: second.cli("pull", reference, "--plan")["origin_bytes"] == 0)
    plan = second.cli("pull", reference, "--plan")
    ((source, count),) = plan["sources"]
    assert source.startswith("pop-")
    assert count + plan["here_bytes"] == len(content)
    assert plan["artifact"] == came["artifact"]
    assert first.cli("pull", reference, "--plan")["here_bytes"] == len(content)
    shown = {row["artifact"] for row in second.cli("store", "stats")["artifacts"]}
    assert came["artifact"] not in shown


def test_a_cancelled_pull_goes_on_from_what_has_come(
    sides: tuple[Side, Side, Side], web: WebServer
) -> None:
    first, *_ = sides
    web.files["cancel.safetensors"] = content = weights(4)
    reference = f"{web.url}/cancel.safetensors"
    web.tap.close_after(8 * MIB)
    pulling = Pulling(first, reference)
    until(lambda: has_come(first, reference, 4 * MIB))
    pulling.process.send_signal(signal.SIGINT)
    out, errors = pulling.process.communicate(timeout=30)
    assert json.loads(out)["stage"] == "cancelled", errors
    assert "run it again" in errors
    came_bytes = json.loads(out)["here_bytes"]
    web.tap.open()
    again = pull(first, reference)
    assert again["reused_bytes"] >= came_bytes
    assert again["origin_bytes"] <= len(content) - came_bytes
    assert bytes_of(first, again["artifact"]) == [content]


def test_two_who_ask_one_pop_for_the_same_share_one_pull(
    sides: tuple[Side, Side, Side], web: WebServer
) -> None:
    first, *_ = sides
    web.files["shared.safetensors"] = content = weights(5)
    reference = f"{web.url}/shared.safetensors"
    pulls = [Pulling(first, reference) for _ in range(3)]
    assert len({each.ended()["artifact"] for each in pulls}) == 1
    assert web.tap.out_bytes <= 1.01 * len(content)


def test_a_fine_tune_costs_what_is_new_of_it(
    sides: tuple[Side, Side, Side], web: WebServer
) -> None:
    first, second, _ = sides
    base = weights(6)
    tuned = bytearray(base)
    tuned[-MIB:] = weights(7, count=1)[-MIB:]
    web.files["base.safetensors"], web.files["tuned.safetensors"] = base, bytes(tuned)
    for name in ("base", "tuned"):
        pull(first, f"{web.url}/{name}.safetensors")
    pull(second, f"{web.url}/base.safetensors")
    came = pull(second, f"{web.url}/tuned.safetensors")
    assert came["neighbour_bytes"] <= 1.1 * MIB
    assert came["reused_bytes"] + came["neighbour_bytes"] == len(tuned)
    assert bytes_of(second, came["artifact"]) == [bytes(tuned)]


def test_what_the_origin_does_not_promise_is_not_taken(
    sides: tuple[Side, Side, Side], web: WebServer
) -> None:
    first, *_ = sides
    web.files["other.safetensors"] = weights(8, count=2)
    wrong = hashlib.sha256(b"another").hexdigest()
    failed = Pulling(first, f"{web.url}/other.safetensors#sha256={wrong}").failed()
    assert "promises" in failed
    assert "Traceback" not in failed


def test_what_names_nothing_is_said_to(sides: tuple[Side, Side, Side], web: WebServer) -> None:
    first, *_ = sides
    for reference, words in (
        (f"{web.url}/nothing", "there is no"),
        ("hf:lab/absent", "absent"),
        (f"blake3:{'0' * 64}", "no PoP"),
        ("gopher://x", "gopher"),
    ):
        done = typed("pull", reference, "--home", str(first.home))
        assert done.returncode != 0
        assert words in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


def test_a_pinned_reference_of_the_hub_is_had_from_others_when_the_hub_is_gone(
    sides: tuple[Side, Side, Side], hub: HubServers
) -> None:
    first, second, _ = sides
    hub.files["lab/gone"] = {"model.safetensors": weights(9, count=2)}
    came = pull(first, f"hf:lab/gone@{COMMIT}")
    hub.behaviour.statuses += [503] * 100
    try:
        until(lambda: sees_whole(second, came["artifact"]))
        again = pull(second, f"hf:lab/gone@{COMMIT}")
    finally:
        hub.behaviour.statuses.clear()
    assert again["artifact"] == came["artifact"]
    assert again["neighbour_bytes"] == again["size_bytes"]


def test_whoever_has_it_gives_it_whatever_the_names_of_both_are(
    sides: tuple[Side, Side, Side], web: WebServer
) -> None:
    first, second, _ = sides
    for number, (holder, other) in enumerate(((first, second), (second, first))):
        web.files[f"{number}.safetensors"] = content = weights(10 + number, count=2)
        came = pull(holder, f"{web.url}/{number}.safetensors")
        until(lambda: sees_whole(other, came["artifact"]))  # noqa: B023
        again = pull(other, came["artifact"])
        assert again["neighbour_bytes"] + again.get("reused_bytes", 0) == len(content)
