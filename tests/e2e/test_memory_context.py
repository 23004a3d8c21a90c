"""`littoral memory context` as a person types it, with a real model that is asked of passages."""

import json
import time
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.conftest import CHAT_MODEL, EMBED_MODEL, RunningPop
from tests.e2e.test_pipelines import littoral
from tests.e2e.test_sources import Desk

WAIT_S = 60


def context_once_done(desk: Desk) -> dict[str, Any]:
    """What is said of the work once it has come to an end."""
    head = {"Authorization": f"Bearer {desk.key}"}
    until = time.monotonic() + WAIT_S
    while True:
        with urlopen(Request(f"{desk.url}/v1/memory/{desk.name}/context", headers=head)) as answer:
            context: dict[str, Any] = json.loads(answer.read())
        if context["state"] == "done":
            return context
        assert context["state"] == "running", context
        assert time.monotonic() < until, "the passage was not asked about"
        time.sleep(0.02)


@pytest.mark.model
def test_a_real_model_is_asked_of_each_passage_and_the_command_says_how_far_it_is(
    pop: RunningPop,
) -> None:
    desk = Desk(pop)
    desk.ask("/v1/memory", {"name": desk.name, "embedding": EMBED_MODEL})
    desk.write(
        {"id": "a", "text": "It ebbs twice a day.", "header": "Tides", "document": "tides.md"}
    )
    begun = littoral(pop.home, "memory", "context", desk.name, "--model", CHAT_MODEL)
    assert begun.returncode == 0, begun.stderr
    assert f"contexts by {CHAT_MODEL}: running" in begun.stdout
    context = context_once_done(desk)
    assert (context["model"], context["written"] + context["without"]) == (CHAT_MODEL, 1)
    _, _, fetched = desk.ask(f"/v1/memory/{desk.name}/fetch", {"ids": ["a"]})
    header = fetched["records"][0]["header"]
    assert header.startswith("Tides\n\N{INVISIBLE SEPARATOR}")
    shown = json.loads(littoral(pop.home, "memory", "show", desk.name, "--json").stdout)
    assert shown["context"] == context
    _, _, recalled = desk.ask(f"/v1/memory/{desk.name}/recall", {"text": "the tides"})
    assert [each["header"] for each in recalled["passages"]] == ["Tides"]
