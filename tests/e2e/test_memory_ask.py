"""`littoral memory ask` as a person types it: a real model, its answer, and where that is from."""

import json

import pytest

from tests.conftest import EMBED_MODEL, RunningPop
from tests.e2e.test_pipelines import littoral
from tests.e2e.test_sources import Desk

PASSAGES = (
    ("A network of PoPs needs a ticket. On the second machine run `littoral join TICKET`.", "join"),
    ("An API key is made with `littoral keys create NAME`, and shown once.", "keys"),
    ("`littoral verify FILE` checks a saved answer against its receipt.", "verify"),
)


@pytest.fixture(scope="module")
def handbook(pop: RunningPop) -> Desk:
    desk = Desk(pop)
    desk.ask("/v1/memory", {"name": desk.name, "embedding": EMBED_MODEL})
    desk.write(
        *(
            {"id": name, "text": text, "header": f"Handbook > {name}", "document": f"{name}.md"}
            for text, name in PASSAGES
        )
    )
    return desk


@pytest.mark.model
def test_a_question_is_answered_and_its_sources_are_listed(handbook: Desk, pop: RunningPop) -> None:
    question = "How do I join a second machine?"
    asked = littoral(pop.home, "memory", "ask", handbook.name, question)
    assert asked.returncode == 0, asked.stderr
    answer, _, sources = asked.stdout.partition("Answered from")
    assert "littoral join" in answer
    assert sources.split("]", 1)[1].strip().startswith("join.md: Handbook > join")
    assert "On the second machine run `littoral join TICKET`." in sources
    assert "Also found" in sources


@pytest.mark.model
def test_as_json_it_is_one_document_with_text_and_sources(handbook: Desk, pop: RunningPop) -> None:
    words = ("memory", "ask", handbook.name, "How is an API key made?", "--model", "echo")
    asked = littoral(pop.home, *words, "--passages", "2", "--json")
    assert asked.returncode == 0, asked.stderr
    said = json.loads(asked.stdout)
    assert said["sources"][0]["document"] == "keys.md"
    assert len(said["sources"]) == 2
    assert said["receipt_id"].startswith("rcpt_")


def test_a_collection_that_is_not_there_is_an_error(pop: RunningPop) -> None:
    asked = littoral(pop.home, "memory", "ask", "nowhere", "Anything?", "--model", "echo")
    assert asked.returncode != 0
    assert "there is no collection named 'nowhere'" in " ".join(asked.stderr.split())
