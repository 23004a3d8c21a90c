"""`littoral models upstream` and `relay`, as they are typed."""

import json
from pathlib import Path

import pytest

from tests.cli.test_models import run

ONE, TWO = "http://one:8000/v1", "http://two:8000/v1"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With a model of two upstreams."""
    run(tmp_path, "add", f"upstream:{ONE}", "--name", "big", "--upstream-model", "org/Big")
    added = run(tmp_path, "upstream", "add", "big", TWO, "--weight", "3")
    assert added.exit_code == 0, added.output
    return tmp_path


def upstreams(home: Path) -> dict[str, int]:
    document = json.loads(run(home, "show", "big", "--json").stdout)
    return {each["base_url"]: each["weight"] for each in document["upstreams"]}


def test_a_second_upstream_has_the_name_of_the_first_unless_told(home: Path) -> None:
    shown = run(home, "show", "big").stdout
    assert f"org/Big at {ONE}, weight 1" in shown
    assert f"org/Big at {TWO}, weight 3" in shown
    assert "3 attempts, no hedge, connect 10 s" in shown


def test_an_upstream_is_drained_taken_up_again_and_removed(home: Path) -> None:
    drained = run(home, "upstream", "drain", "big", ONE)
    assert f"org/Big at {ONE}, drained" in drained.stdout
    assert upstreams(home) == {ONE: 0, TWO: 3}
    run(home, "upstream", "undrain", "big", ONE)
    run(home, "upstream", "undrain", "big", TWO, "--weight", "5")
    assert upstreams(home) == {ONE: 1, TWO: 5}
    removed = json.loads(run(home, "upstream", "remove", "big", ONE, "--json").stdout)
    assert [each["base_url"] for each in removed["upstreams"]] == [TWO]
    last = run(home, "upstream", "remove", "big", TWO)
    assert last.exit_code == 5
    assert "only upstream" in last.stderr


def test_a_key_and_an_api_go_with_one_upstream(home: Path) -> None:
    added = run(
        home,
        *("upstream", "add", "big", "https://three/v1", "--key-env", "KEY"),
        *("--key-header", "api-key", "--native-api", "messages", "--native-api", "responses"),
    )
    assert "key in $KEY, speaks messages and responses" in added.stdout
    other = run(home, "add", "upstream:https://four/v1", "--name", "n", "--native-api", "messages")
    assert other.exit_code == 0, other.output
    assert "speaks messages" in run(home, "show", "n").stdout


def test_how_requests_are_sent_on_is_said_shown_and_changed_one_by_one(home: Path) -> None:
    run(home, "add", "upstream:http://h/v1", "--name", "spare")
    changed = run(
        home,
        *("relay", "big", "--attempts", "2", "--hedge-ms", "800", "--first-byte-s", "30"),
        *("--no-receipts", "--fallback", "spare", "--fallback", "echo"),
    )
    assert changed.exit_code == 0, changed.output
    document = json.loads(run(home, "relay", "big", "--json").stdout)
    assert document["fallbacks"] == ["spare", "echo"]
    assert document["relay"]["hedge_after_s"] == 0.8
    assert document["relay"]["attempts"] == 2
    assert document["relay"]["receipts"] is False
    again = run(home, "relay", "big", "--hedge-ms", "off", "--receipts", "--no-fallback")
    assert "2 attempts, no hedge, connect 10 s, first byte 30 s" in again.stdout
    assert "falls back" not in again.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("upstream", "add", "big", "two:8000"), "not a plain http or https URL"),
        (("upstream", "add", "big", TWO), "already"),
        (("upstream", "add", "none", TWO), "no model named none"),
        (("upstream", "add", "echo", TWO), "echo is built in"),
        (("upstream", "add", "big", "http://h/v1", "--native-api", "chat"), "is unknown"),
        (("upstream", "drain", "big", "http://h/v1"), "no such upstream"),
        (("relay", "big", "--hedge-ms", "soon"), "neither milliseconds nor off"),
        (("relay", "big", "--hedge-ms", "0"), "--hedge-ms is not above 0"),
        (("relay", "big", "--attempts", "99"), "--attempts 99 is not from 1 to 10"),
        (("relay", "big", "--total-s", "0"), "--total-s is not above 0"),
        (("relay", "big", "--fallback", "none"), "no model named none"),
        (("relay", "big", "--fallback", "big"), "can't fall back to itself"),
        (("relay", "big", "--fallback", "echo", "--no-fallback"), "both given"),
        (("relay", "none"), "no model named none"),
        (("add", "smollm2-135m", "--native-api", "messages"), "goes with an upstream only"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_changes_nothing(
    home: Path, arguments: tuple[str, ...], words: str
) -> None:
    before = run(home, "show", "big", "--json").stdout
    refused = run(home, *arguments)
    assert refused.exit_code == 5
    assert words in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert run(home, "show", "big", "--json").stdout == before


def test_a_mistyped_option_is_an_error_that_names_it(home: Path) -> None:
    refused = run(home, "relay", "big", "--hedge-msec", "5")
    assert refused.exit_code == 2
    assert "--hedge-msec" in refused.output


def test_a_fallback_does_what_the_model_does(home: Path) -> None:
    run(home, "add", "upstream:http://h/v1", "--name", "vectors", "--kind", "embed")
    refused = run(home, "relay", "big", "--fallback", "vectors")
    assert "vectors does nothing that big does" in refused.stderr
