"""Pipelines as their users meet them: defined with commands, asked as a model, steps and all."""

import json
import subprocess
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from openai import OpenAI

from littoral.delivery.pipelines import read_pipeline
from littoral.trust.receipts import stated
from tests.conftest import CHAT_MODEL, EMBED_MODEL, RunningPop, started_pop
from tests.e2e.test_sources import ASKED, QUESTION, Desk
from tests.typed import typed

EXAMPLE = (Path(__file__).parents[2] / "docs/pipelines.md").read_text()
WRITTEN = EXAMPLE.partition("```toml\n")[2].partition("```")[0]

TIDES = """
name = "{name}"
[models]
writer = "{writer}"
{models}
[prompts]
answer = "Say when, from these alone:\\n{{passages}}\\nQ: {{question}}"
[collections]
tides = "{collection}"
{before}
[[steps]]
name = "found"
does = "recall"
collection = "tides"
query = "{query}"
most = 5
{steps}
[[steps]]
name = "answer"
does = "generate"
model = "writer"
prompt = "answer"
uses = {{ passages = "{best}", question = "input" }}
tokens_max = {tokens_max}
"""

SORT = '[[steps]]\nname = "best"\ndoes = "rerank"\nmodel = "sorter"\nquery = "input"\n'
SORT += 'passages = "found"\nmost = 1\n'
EMBED = '[[steps]]\nname = "vector"\ndoes = "embed"\nmodel = "embedder"\ntext = "input"\n'


def littoral(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return typed(*words, "--home", str(home))


class Sorter:
    """A server with a `/rerank` API that likes texts with a certain word."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.asked: list[Mapping[str, Any]] = []
        self.broken = False
        sorter = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._say({"data": []})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                sorter.asked.append(body)
                texts: Sequence[str] = body["documents"]
                scores = [float(sorter.word in text) for text in texts]
                rows = [
                    {"index": place, "relevance_score": score}
                    for place, score in sorted(enumerate(scores), key=lambda one: -one[1])
                ]
                self._say({"results": rows[1:] if sorter.broken else rows})

            def _say(self, answer: object) -> None:
                said = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def pop(models_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPop]:
    """One with a catalogue of its own, to which a model is added."""
    home = tmp_path_factory.mktemp("piped")
    (home / "models").mkdir()
    for model in (CHAT_MODEL, EMBED_MODEL):
        (home / "models" / model).symlink_to(models_home / "models" / model)
    with started_pop(home, models=EMBED_MODEL) as running:
        yield running


@pytest.fixture(scope="module")
def sorter(pop: RunningPop) -> Iterator[Sorter]:
    sorter = Sorter("moon")
    added = littoral(
        pop.home,
        *("models", "add", f"upstream:{sorter.url}", "--name", "moon-sorter"),
        *("--native-api", "rerank"),
    )
    assert added.returncode == 0, added.stderr
    yield sorter
    sorter.server.shutdown()
    sorter.server.server_close()


@pytest.fixture(scope="module")
def tides(pop: RunningPop) -> Desk:
    """Two passages that answer, and the collection's model to look for them by vectors."""
    desk = Desk(pop)
    desk.ask("/v1/memory", {"name": desk.name, "embedding": EMBED_MODEL})
    desk.write(
        {"id": "six", "text": "The tide turns at six.", "document": "clock.md", "header": "Tides"},
        {"id": "moon", "text": "The moon turns the tide.", "document": "sky.md"},
        {"id": "far", "text": "Bread is baked before dawn.", "document": "bread.md"},
    )
    return desk


def defined(desk: Desk, name: str, **more: str) -> str:
    """A pipeline's name as a model's, once it is defined."""
    usual = {"writer": "echo", "models": "", "before": "", "query": "input", "steps": ""}
    usual |= {"best": "found", "tokens_max": "400", "collection": desk.name}
    text = TIDES.format(name=name, **(usual | more))
    status, _, said = desk.ask("/v1/delivery/pipelines", {"text": text})
    assert status < 300, said
    return f"pipeline:{name}"


def sorted_tides(desk: Desk, name: str, **more: str) -> str:
    models, steps = 'sorter = "moon-sorter"', more.pop("steps", SORT)
    return defined(desk, name, models=models, steps=steps, best="best", **more)


def asked(desk: Desk, model: str, **more: Any) -> tuple[int, Mapping[str, str], Any]:
    return desk.ask("/v1/chat/completions", {"model": model, "messages": ASKED, **more})


def test_the_example_of_the_documentation_is_a_pipeline() -> None:
    assert read_pipeline(WRITTEN).name == tomllib.loads(WRITTEN)["name"]


def test_commands_define_list_and_show(pop: RunningPop, tmp_path: Path) -> None:
    home, file = pop.home, tmp_path / "handbook.toml"
    file.write_text(WRITTEN)
    made = littoral(home, "pipeline", "define", str(file), "--json")
    assert made.returncode == 0, made.stderr
    row = json.loads(made.stdout)
    listed = littoral(home, "pipeline", "list")
    assert "handbook" in listed.stdout
    assert "embed, recall, rerank, generate" in " ".join(listed.stdout.split())
    shown = littoral(home, "pipeline", "show", row["artifact"])
    assert "Answer from these passages alone." in shown.stdout
    assert "handbook-2026" in shown.stdout
    file.write_text(WRITTEN.replace('does = "rerank"', 'does = "sort"'))
    refused = littoral(home, "pipeline", "define", str(file))
    assert refused.returncode != 0
    assert "step 3 does 'sort'" in " ".join(refused.stderr.split())
    missing = littoral(home, "pipeline", "define", str(tmp_path / "none.toml"))
    assert "can't be read" in " ".join(missing.stderr.split())


def test_steps_find_sort_and_write_and_each_is_told_of(
    tides: Desk, sorter: Sorter, pop: RunningPop
) -> None:
    model = sorted_tides(tides, "told")
    status, headers, answer = asked(tides, model)
    assert status == 200, answer
    said = answer["choices"][0]["message"]["content"]
    assert "The moon turns the tide." in said
    assert "at six" not in said, "the sorter likes the moon, and one was to be kept"
    assert sorter.asked[-1]["query"] == QUESTION
    told = answer["littoral"]
    assert [step["does"] for step in told["steps"]] == ["recall", "rerank", "generate"]
    assert all(step["milliseconds"] > 0 for step in told["steps"])
    assert told["pipeline"] == "told"
    assert [each["document"] for each in told["passages"]] == ["sky.md"]
    assert "found;dur=" in headers["server-timing"]
    assert headers["littoral-pipeline"] == f"told@{told['artifact']}"
    request = Request(
        f"{pop.url}/v1/receipts/{headers['littoral-receipt']}",
        headers={"Authorization": f"Bearer {pop.key}"},
    )
    with urlopen(request, timeout=60) as response:
        receipt = stated(response.read())
    assert (receipt.pipeline, receipt.asked) == (told["artifact"], model)
    assert receipt.passages[0].digests == (told["passages"][0]["digest"],)


def test_clients_ask_the_same_servers_to_sort(tides: Desk, sorter: Sorter) -> None:
    documents = ["the sun", {"text": "the moon"}]
    asking = {"model": "moon-sorter", "query": QUESTION, "documents": documents}
    status, headers, said = tides.ask("/v1/rerank", asking)
    assert status == 200, said
    assert [each["index"] for each in said["results"]] == [1, 0]
    assert sorter.asked[-1]["documents"] == ["the sun", "the moon"]
    assert headers["littoral-source"] == "upstream"


def test_memory_in_a_chat_is_sorted_by_the_same_servers(tides: Desk, sorter: Sorter) -> None:
    memory = {"collection": tides.name, "limit": 1, "rerank": "moon-sorter"}
    status, _, answer = tides.chat(memory)
    assert status == 200, answer
    assert [each["document"] for each in answer["littoral"]["passages"]] == ["sky.md"]
    assert len(sorter.asked[-1]["documents"]) > 1
    status, _, said = tides.chat({**memory, "rerank": "echo"})
    assert (status, said["error"]["code"]) == (400, "unsupported")


def test_the_answer_streams_and_is_a_response_and_a_message_as_well(
    tides: Desk, pop: RunningPop
) -> None:
    model = defined(tides, "streams")
    with OpenAI(base_url=f"{pop.url}/v1", api_key=pop.key, max_retries=0) as client:
        chunks = list(client.chat.completions.create(model=model, messages=ASKED, stream=True))
        response = client.responses.create(model=model, input=QUESTION)
    texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert len(texts) > 3
    assert "The tide turns at six." in "".join(texts)
    extras = [chunk.model_extra or {} for chunk in chunks]
    (member,) = [extra["littoral"] for extra in extras if "littoral" in extra]
    assert [step["name"] for step in member["steps"]] == ["found", "answer"]
    assert [item.type for item in response.output] == ["file_search_call", "message"]
    body = {"model": model, "max_tokens": 300, "messages": ASKED}
    status, _, message = tides.ask("/v1/messages", body)
    assert status == 200
    assert "at six" in message["content"][0]["text"]


def test_passages_are_found_by_the_vector_that_a_step_has_made(tides: Desk) -> None:
    model = defined(
        tides, "vectors", models=f'embedder = "{EMBED_MODEL}"', before=EMBED, query="vector"
    )
    status, _, answer = asked(tides, model)
    assert status == 200, answer
    assert [step["does"] for step in answer["littoral"]["steps"]] == [
        *("embed", "recall", "generate")
    ]
    assert answer["littoral"]["passages"][0]["document"] == "clock.md"


def test_a_step_that_writes_on_the_way_has_a_receipt_of_its_own(tides: Desk) -> None:
    draft = '[[steps]]\nname = "draft"\ndoes = "generate"\nmodel = "writer"\nprompt = "draft"\n'
    draft += 'uses = { it = "found" }\ntokens_max = 60\n'
    text = TIDES.format(
        name="drafts",
        writer="echo",
        models="",
        before="",
        query="input",
        steps=draft,
        best="draft",
        tokens_max="200",
        collection=tides.name,
    ).replace("[prompts]", '[prompts]\ndraft = "{it}"')
    status, _, said = tides.ask("/v1/delivery/pipelines", {"text": text})
    assert status < 300, said
    status, _, answer = asked(tides, "pipeline:drafts")
    assert status == 200, answer
    steps = answer["littoral"]["steps"]
    assert steps[1]["receipt_id"].startswith("rcpt_")
    documents = {each["document"] for each in answer["littoral"]["passages"]}
    assert "clock.md" in documents, "what a step within was shown is named as well"


@pytest.mark.parametrize(
    ("name", "more", "status", "words"),
    [
        ("no-collection", {"collection": "nowhere"}, 404, "no collection named 'nowhere'"),
        ("no-model", {"writer": "no-such-model"}, 404, "no model 'no-such-model'"),
        ("no-chat", {"writer": EMBED_MODEL}, 400, "does not do chat"),
        (
            "no-sorter",
            {"models": f'sorter = "{CHAT_MODEL}"', "steps": SORT, "best": "best"},
            400,
            "does not sort passages: name a cross-encoder",
        ),
    ],
)
def test_what_it_names_and_is_not_here_is_said_before_anything_runs(
    tides: Desk, name: str, more: Mapping[str, str], status: int, words: str
) -> None:
    answered, _, said = asked(tides, defined(tides, name, **more))
    assert answered == status, said
    assert words in said["error"]["message"]


def test_a_step_that_breaks_is_named(tides: Desk, sorter: Sorter) -> None:
    model = sorted_tides(tides, "breaks")
    sorter.broken = True
    try:
        status, _, said = asked(tides, model)
    finally:
        sorter.broken = False
    assert status == 502, said
    assert (
        "step 'best' (rerank) of breaks: moon-sorter has not answered" in said["error"]["message"]
    )


def test_each_step_of_a_model_counts_on_the_keys_limits_and_the_pipelines_name_allows_them(
    tides: Desk, pop: RunningPop
) -> None:
    model = defined(
        tides, "limits", models=f'embedder = "{EMBED_MODEL}"', before=EMBED, query="vector"
    )

    def key(*options: str) -> Desk:
        made = littoral(
            pop.home, "keys", "create", f"key {len(options)}{options[-1]}", *options, "--json"
        )
        assert made.returncode == 0, made.stderr
        return Desk(pop, json.loads(made.stdout)["key"])

    assert asked(key("--requests-per-minute", "2", "--model", model), model)[0] == 200
    status, _, said = asked(key("--requests-per-minute", "1"), model)
    assert (status, said["error"]["code"]) == (429, "rate_limit_exceeded")
    assert "step 'answer' (generate) of limits" in said["error"]["message"]
    assert asked(key("--model", "echo"), model)[0] == 403


def test_an_unknown_pipeline_and_what_none_takes_are_refused(tides: Desk) -> None:
    assert asked(tides, "pipeline:nothing")[0] == 404
    model = defined(tides, "refuses")
    status, _, said = asked(tides, model, memory=tides.name)
    assert (status, said["error"]["code"]) == (400, "unsupported")
    body = {"model": model, "input": "x"}
    assert tides.ask("/v1/embeddings", body)[0] == 400


@pytest.mark.model
def test_a_real_model_answers_through_a_pipeline(tides: Desk) -> None:
    model = defined(tides, "real", writer=CHAT_MODEL, tokens_max="24")
    status, _, answer = asked(tides, model, temperature=0)
    assert status == 200, answer
    assert "six" in answer["choices"][0]["message"]["content"]
