"""A model that sorts passages inside a PoP, as clients meet it: alone, in memory, in pipelines."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from littoral.trust.receipts import Receipt, stated
from tests.adapters.crossed import made_folder
from tests.conftest import RunningPop, started_pop
from tests.e2e.test_sources import QUESTION, Desk
from tests.typed import typed

SORTER = "tide-sorter"
TEXTS = ["Salt stays behind.", "the tide turns at six", "when does the tide turn at six"]
PIPELINE = """
name = "{name}"
[models]
writer = "echo"
sorter = "tide-sorter"
[prompts]
answer = "From these alone:\\n{{passages}}\\nQ: {{question}}"
[collections]
tides = "{collection}"
[[steps]]
name = "found"
does = "recall"
collection = "tides"
query = "input"
most = 5
[[steps]]
name = "best"
does = "rerank"
model = "sorter"
query = "input"
passages = "found"
most = 1
{sure}
[[steps]]
name = "answer"
does = "generate"
model = "writer"
prompt = "answer"
uses = {{ passages = "best", question = "input" }}
"""


def littoral(home: Path, *words: str) -> str:
    done = typed(*words, "--home", str(home))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPop]:
    """One with a cross-encoder that a person has added."""
    home = tmp_path_factory.mktemp("sorting")
    folder = made_folder(tmp_path_factory.mktemp("models") / SORTER)
    shown = littoral(home, "models", "add", str(folder))
    assert f"{SORTER} is ready: sorts passages" in " ".join(shown.split())
    with started_pop(home, models="echo") as running:
        yield running


@pytest.fixture(scope="module")
def tides(pop: RunningPop) -> Desk:
    """Of the tide, the first is nearest by words, and nothing to a model that knows no capitals."""
    desk = Desk(pop)
    desk.ask("/v1/memory", {"name": desk.name})
    desk.write(
        {"id": "moon", "text": "Tide, Tide, Tide.", "document": "moon.md"},
        {"id": "six", "text": "when does the tide turn at six", "document": "six.md"},
        {"id": "salt", "text": "the salt stays when the moon turns", "document": "salt.md"},
    )
    return desk


def rerank(desk: Desk, **more: Any) -> tuple[int, Mapping[str, str], Any]:
    body = {"model": SORTER, "query": "when does the tide turn", "documents": TEXTS, **more}
    return desk.ask("/v1/rerank", body)


def key(pop: RunningPop, *words: str) -> str:
    made = littoral(pop.home, "keys", "create", "-".join(["k", *words]), *words, "--json")
    return str(json.loads(made)["key"])


def receipt_of(pop: RunningPop, name: str) -> Receipt:
    head = {"Authorization": f"Bearer {pop.key}"}
    with urlopen(Request(f"{pop.url}/v1/receipts/{name}", headers=head), timeout=60) as response:
        return stated(response.read())


def test_a_client_has_texts_sorted_and_gets_a_receipt(pop: RunningPop, tides: Desk) -> None:
    status, headers, said = rerank(tides, top_n=2, return_documents=True)
    assert status == 200, said
    assert said["model"] == SORTER
    assert said["results"] == [
        {"index": 2, "relevance_score": 5.0, "document": {"text": TEXTS[2]}},
        {"index": 1, "relevance_score": 2.0, "document": {"text": TEXTS[1]}},
    ]
    receipt = receipt_of(pop, headers["littoral-receipt"])
    assert (receipt.api, receipt.n_in) == ("rerank", said["usage"]["total_tokens"])

    again = rerank(tides, documents=[{"text": text} for text in TEXTS])[2]["results"]
    assert [one["index"] for one in again] == [2, 1, 0]


def test_what_can_not_be_sorted_is_refused_in_words(tides: Desk) -> None:
    status, _, said = rerank(tides, query="salt " * 30)
    assert (status, said["error"]["code"]) == (400, "context_length_exceeded")
    assert "the query is 30 tokens" in said["error"]["message"]
    status, _, said = rerank(tides, model="echo")
    assert (status, said["error"]["code"]) == (400, "unsupported")
    status, _, said = tides.ask("/v1/embeddings", {"model": SORTER, "input": "a"})
    assert (status, said["error"]["code"]) == (400, "unsupported")
    assert "it does rerank" in said["error"]["message"]


def test_keys_limit_it_as_any_request(pop: RunningPop, tides: Desk) -> None:
    once = Desk(pop, key(pop, "--requests-per-minute", "1"))
    assert [rerank(once)[0] for _ in range(2)] == [200, 429]
    little = Desk(pop, key(pop, "--tokens-per-day", "45"))
    assert rerank(little)[2]["usage"]["total_tokens"] == 40
    assert rerank(little)[0] == 429
    assert rerank(Desk(pop, key(pop, "--model", "echo")))[0] == 403


def test_memory_is_sorted_by_it(tides: Desk) -> None:
    plain = {"text": "tide", "limit": 1}
    recall = f"/v1/memory/{tides.name}/recall"
    first = tides.ask(recall, plain)[2]["passages"]
    assert first[0]["document"] == "moon.md"
    status, _, said = tides.ask(recall, {"text": QUESTION.lower(), "limit": 1, "rerank": SORTER})
    assert status == 200, said
    assert [(each["document"], each["score"]) for each in said["passages"]] == [("six.md", 5.0)]
    memory = {"collection": tides.name, "limit": 1, "rerank": SORTER}
    status, _, answer = tides.chat(memory)
    assert status == 200, answer
    assert [each["document"] for each in answer["littoral"]["passages"]] == ["six.md"]
    long = {"text": "tide " * 200, "limit": 1, "rerank": SORTER}
    assert tides.ask(recall, long)[0] == 200, "a question is cut before an answer is refused"


def test_pipelines_sort_by_it_unless_the_search_was_sure(tides: Desk) -> None:
    for name, sure, document in (("all", "", "six.md"), ("sure", "sure = 0.0", "moon.md")):
        text = PIPELINE.format(name=name, collection=tides.name, sure=sure)
        status, _, said = tides.ask("/v1/delivery/pipelines", {"text": text})
        assert status < 300, said
        asked = {"model": f"pipeline:{name}", "messages": [{"role": "user", "content": "tide"}]}
        status, _, said = tides.ask("/v1/chat/completions", asked)
        assert status == 200, said
        assert [each["document"] for each in said["littoral"]["passages"]] == [document]
