"""Two machines become one network: invited, joined, asked, restarted, and shut out again."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from openai import OpenAI

from tests.conftest import CHAT_MODEL, started_pop
from tests.e2e.sides import FREE, Side, founder, founder_without, joined, state_address, until
from tests.typed import typed


@pytest.fixture(scope="module")
def sides(
    models_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Side, Side]]:
    folder = tmp_path_factory.mktemp("fabric")
    with ExitStack() as stack:
        first = stack.enter_context(founder(folder / "first", models_home, "--prices", "*=1/2.5"))
        ticket = first.cli("invite", "--site", "lyon", "--zone", "fr")["ticket"]
        second = stack.enter_context(joined(folder / "second", ticket))
        until(lambda: first.sees("here", "direct") and second.sees("here", "direct"))
        yield first, second


def test_who_joins_has_a_name_by_its_ticket_and_sees_the_models_of_the_other(
    sides: tuple[Side, Side],
) -> None:
    first, second = sides
    rows = {row["reach"]: row for row in second.cli("pops")["pops"]}
    assert (rows["here"]["zone"], rows["here"]["site"]) == ("fr", "lyon")
    assert (rows["direct"]["zone"], rows["direct"]["site"]) == ("eu", "paris")
    prices = {row["name"]: (row["price_in"], row["price_out"]) for row in rows["direct"]["models"]}
    assert prices[CHAT_MODEL] == (1.0, 2.5)
    assert {row["pop"] for row in first.cli("pops")["pops"]} == {
        rows["here"]["pop"],
        rows["direct"]["pop"],
    }


def test_a_model_of_the_other_answers_and_its_receipt_is_countersigned(
    sides: tuple[Side, Side],
) -> None:
    first, second = sides
    status, headers, body = second.chat(cache_control="no-store")
    assert status == 200
    assert "Paris" in json.loads(body)["choices"][0]["message"]["content"]
    assert headers["littoral-source"] == "neighbour"
    saved = second.home / "answer.json"
    asked = typed("run", CHAT_MODEL, "Hello", "--save", str(saved), "--home", str(second.home))
    assert asked.returncode == 0, asked.stderr
    keys = second.home / "both.pub"
    keys.write_bytes(
        (first.home / "identity.pub").read_bytes() + (second.home / "identity.pub").read_bytes()
    )
    shown = typed("verify", str(saved), "--trust", str(keys), "--home", str(second.home))
    assert "proven    neighbour" in shown.stdout, shown.stdout + shown.stderr


def test_the_official_client_streams_from_the_other_pop(sides: tuple[Side, Side]) -> None:
    _, second = sides
    client = OpenAI(base_url=f"{second.pop.url}/v1", api_key=second.key)
    chunks = client.chat.completions.create(
        model=CHAT_MODEL,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
        stream=True,
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "Paris" in text
    assert CHAT_MODEL in {model.id for model in client.models.list().data}


def test_the_same_question_is_answered_from_the_cache_of_the_nearest(
    sides: tuple[Side, Side],
) -> None:
    _, second = sides
    _, missed, first_body = second.chat()
    _, hit, second_body = second.chat()
    assert "hit" in hit["cache-status"]
    assert "hit" not in missed["cache-status"]
    assert json.loads(first_body)["choices"] == json.loads(second_body)["choices"]


@pytest.mark.parametrize(
    ("side", "required", "status"),
    [
        (1, "zone=eu", 200),
        (1, "zone=fr", 412),
        (1, "zone=fr, zone=eu", 200),
        (1, "tier=attested", 412),
        (1, "digest=sha256:" + "0" * 64, 412),
        (0, "zone=eu", 200),
        (0, "zone=fr", 412),
        (0, "nonsense", 400),
    ],
)
def test_what_a_request_requires_is_had_or_refused(
    sides: tuple[Side, Side], side: int, required: str, status: int
) -> None:
    told, headers, body = sides[side].chat(littoral_require=required)
    assert told == status, body
    if status == 412:
        assert json.loads(body)["error"]["code"] == "requirement_unmet"
    if status == 200:
        assert "cache-status" not in headers or "hit" not in headers["cache-status"]


def test_the_choice_is_explained_in_words(sides: tuple[Side, Side]) -> None:
    _, second = sides
    shown = second.cli("route", "explain", CHAT_MODEL, "What is the capital of France?")
    assert "site paris" in shown["candidates"][0]
    assert "link" in shown["candidates"][0]
    assert " units" in shown["candidates"][0]
    _, headers, _ = second.chat(littoral_explain="route", cache_control="no-store")
    assert "site paris" in headers["littoral-route"]


def test_a_ticket_is_good_once_and_a_wrong_one_says_so(
    sides: tuple[Side, Side], tmp_path: Path
) -> None:
    first, _ = sides
    ticket = first.cli("invite")["ticket"]
    for home, word in ((tmp_path / "third", ""), (tmp_path / "thief", "used")):
        done = typed("join", ticket, "--only", "--home", str(home), "--models", "")
        if word:
            assert done.returncode != 0
            assert word in done.stderr
        else:
            assert done.returncode == 0, done.stderr
    mistyped = typed("join", ticket[:-1] + "x", "--only", "--home", str(tmp_path / "typo"))
    assert mistyped.returncode != 0
    assert "ticket" in mistyped.stderr
    assert "Traceback" not in mistyped.stderr


def test_a_network_finds_itself_again_when_all_have_stopped(
    models_home: Path, tmp_path: Path
) -> None:
    ports = ("--fabric-host", "127.0.0.1")
    with founder(tmp_path / "a", models_home, *ports) as first:
        ticket = first.cli("invite")["ticket"]
        with joined(tmp_path / "b", ticket, *ports) as second:
            until(lambda: second.sees("here", "direct") and first.sees("here", "direct"))
            until(lambda: (tmp_path / "a" / "fabric" / "known.json").read_text().find("pop-") > 0)
        until(lambda: first.sees("here", "gone"))
        with started_pop(tmp_path / "b", *FREE, models="") as again:
            second = Side(again, tmp_path / "b", "")
            until(lambda: first.sees("here", "direct") and second.sees("here", "direct"))


def test_who_is_revoked_is_shut_out_at_once(models_home: Path, tmp_path: Path) -> None:
    with founder(tmp_path / "a", models_home) as first:
        ticket = first.cli("invite")["ticket"]
        with joined(tmp_path / "b", ticket) as second:
            until(lambda: second.sees("here", "direct") and first.sees("here", "direct"))
            assert second.chat()[0] == 200
            name = next(row["pop"] for row in second.cli("pops")["pops"] if row["reach"] == "here")
            assert first.cli("pops", "revoke", name, "--note", "lost")["status"] == "revoked"
            until(lambda: second.chat(cache_control="no-store")[0] != 200)
            again = typed("pops", "approve", name, "--home", str(first.home))
            assert again.returncode != 0
            assert "for ever" in again.stderr


def test_two_owners_let_in_each_others_pops_as_far_as_they_say(
    models_home: Path, tmp_path: Path
) -> None:
    with founder(tmp_path / "a", models_home) as ours, founder_without(tmp_path / "b") as theirs:
        for side in (ours, theirs):
            side.cli("invite")  # which makes the owner
        pems = {}
        for side, name in ((ours, "ours"), (theirs, "theirs")):
            pems[name] = tmp_path / f"{name}.pem"
            pems[name].write_text(side.cli("owners", "export")["root_pem"])
        ours.cli("owners", "admit", str(pems["theirs"]), "--may-ask")
        address = state_address(ours.home)
        theirs.cli("owners", "admit", str(pems["ours"]), "--may-serve", "--address", address)
        until(lambda: theirs.sees("here", "direct") and ours.sees("here", "direct"))
        assert theirs.chat()[0] == 200
        assert {row["own"] for row in theirs.cli("owners", "list")["owners"]} == {True, False}
        ours.cli("owners", "admit", str(pems["theirs"]))  # nothing is allowed that is not said
        until(lambda: theirs.chat(cache_control="no-store")[0] != 200)


def test_the_root_key_can_be_kept_elsewhere(models_home: Path, tmp_path: Path) -> None:
    away = tmp_path / "root.key"
    with founder_without(tmp_path / "a") as first:
        assert "is alone" in typed("pops", "--home", str(first.home)).stdout
        first.cli("invite")
        assert first.cli("owners", "root-away", str(away))["file"] == str(away)
        assert first.cli("pops")["root"] == "elsewhere"
        ticket = first.cli("invite")["ticket"]
        with joined(tmp_path / "b", ticket) as second:
            until(lambda: second.sees("here", "direct"))
            issuers = {row["reach"]: row["issuer"] for row in second.cli("pops")["pops"]}
            assert issuers == {"here": False, "direct": True}
        first.cli("owners", "root-back", str(away))
        assert first.cli("pops")["root"] == "here"
