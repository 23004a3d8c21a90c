"""Answers from memory over HTTP, as the official clients see them; the echo engine says its prompt.

So what the model was told shows in the answer, and `[1]` in it is a citation.
"""

import json
import subprocess
import sys
import urllib.error
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from anthropic import Anthropic
from anthropic.types import CitationsSearchResultLocation, TextBlock
from openai import OpenAI

from littoral.trust.receipts import stated
from tests.conftest import RunningPop

QUESTION = "When does the tide turn?"
ASKED: Any = [{"role": "user", "content": QUESTION}]
LITTORAL = (sys.executable, "-m", "littoral.cli")
_names = count(1)


class Desk:
    """A client without any library, and one collection of its own."""

    def __init__(self, pop: RunningPop, key: str = "") -> None:
        self.url, self.key = pop.url, key or pop.key
        self.name = f"tides{next(_names)}"

    def ask(self, path: str, body: object, **fields: str) -> tuple[int, Mapping[str, str], Any]:
        head = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        head |= {name.replace("_", "-"): value for name, value in fields.items()}
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(f"{self.url}{path}", sent, head, method="POST")
        try:
            with urlopen(request, timeout=60) as answer:
                return answer.status, _low(answer.headers), json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _low(error.headers), json.loads(error.read())

    def write(self, *records: Mapping[str, object]) -> None:
        write = {"type": "upsert", "records": records}
        status, _, said = self.ask(f"/v1/memory/{self.name}/write", {"writes": [write]})
        assert status == 200, said

    def chat(self, memory: object = None, **more: Any) -> tuple[int, Mapping[str, str], Any]:
        fields = more.pop("fields", {})
        memory = {"collection": self.name} if memory is None else memory
        body = {"model": "echo", "messages": ASKED, "memory": memory, **more}
        return self.ask("/v1/chat/completions", body, **fields)


def _low(headers: Any) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.fixture
def desk(pop: RunningPop) -> Desk:
    desk = Desk(pop)
    status, _, said = desk.ask("/v1/memory", {"name": desk.name})
    assert status == 201, said
    desk.write(
        {
            "id": "turn",
            "text": "The tide turns at six, two hours after the moon.",
            "header": "Tides > Turning",
            "document": "tides.md",
            "position": 3,
            "metadata": {"kind": "fact"},
        },
        {"id": "salt", "text": "Salt crystals stay behind.", "document": "salt.md"},
    )
    return desk


@pytest.fixture
def openai(pop: RunningPop) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{pop.url}/v1", api_key=pop.key, max_retries=0) as client:
        yield client


def test_a_chat_is_answered_from_passages_and_says_which(desk: Desk) -> None:
    status, headers, answer = desk.chat()
    assert status == 200
    said = answer["choices"][0]["message"]
    assert "The tide turns at six" in said["content"], "the model was told it"
    assert "Salt" not in said["content"], "and nothing that does not answer"
    (passage,) = answer["littoral"]["passages"]
    assert passage["document"] == "tides.md"
    assert (passage["position"], passage["header"]) == (3, "Tides > Turning")
    assert passage["cited"]
    assert headers["littoral-passages"] == f"{desk.name}={passage['digest'][7:23]}"
    citation = said["annotations"][0]["url_citation"]
    assert said["content"][citation["start_index"] : citation["end_index"]] == "[1]"
    assert (citation["url"], citation["title"]) == ("tides.md", "Tides > Turning")


def test_openais_client_reads_the_citations_whole_and_streamed(desk: Desk, openai: OpenAI) -> None:
    memory = {"memory": desk.name}
    whole = openai.chat.completions.create(model="echo", messages=ASKED, extra_body=memory)
    (message,) = [choice.message for choice in whole.choices]
    assert message.annotations
    assert message.annotations[0].url_citation.url == "tides.md"
    assert whole.model_extra is not None
    with openai.chat.completions.stream(model="echo", messages=ASKED, extra_body=memory) as stream:
        final = stream.get_final_completion()
    streamed = final.choices[0].message
    assert streamed.content == message.content
    assert [each.to_dict() for each in streamed.annotations or ()] == [
        each.to_dict() for each in message.annotations
    ]
    chunks = list(
        openai.chat.completions.create(
            model="echo",
            messages=ASKED,
            extra_body=memory,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    told = [chunk.model_extra for chunk in chunks if "littoral" in (chunk.model_extra or {})]
    assert len(told) == 1
    assert told[0] == {"littoral": whole.model_extra["littoral"]}
    assert chunks[-1].usage is not None, "it stays the last"


@pytest.mark.parametrize("results", [True, False])
def test_file_search_is_answered_as_openais_client_reads_it(
    desk: Desk, openai: OpenAI, results: bool
) -> None:
    response = openai.responses.create(
        model="echo",
        input=QUESTION,
        tools=[{"type": "file_search", "vector_store_ids": [desk.name], "max_num_results": 3}],
        include=["file_search_call.results"] if results else [],
    )
    search, message = response.output
    assert search.type == "file_search_call"
    assert (search.status, search.queries) == ("completed", [QUESTION])
    if results:
        assert search.results is not None
        assert search.results[0].text == "The tide turns at six, two hours after the moon."
        assert search.results[0].attributes == {"kind": "fact"}
    else:
        assert search.results is None
    assert message.type == "message"
    (part,) = message.content
    assert part.type == "output_text"
    citation = part.annotations[0]
    assert citation.type == "file_citation"
    assert (citation.file_id, citation.filename) == ("tides.md", "tides.md")
    assert part.text[: citation.index].endswith("[1]")
    assert response.tools[0].type == "file_search"


def test_a_streamed_file_search_comes_in_openais_events(desk: Desk, openai: OpenAI) -> None:
    with openai.responses.stream(
        model="echo",
        input=QUESTION,
        tools=[{"type": "file_search", "vector_store_ids": [desk.name]}],
    ) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_response()
    expected = [
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
    ]
    assert events[2:7] == expected
    assert "response.output_text.annotation.added" in events
    assert [item.type for item in final.output] == ["file_search_call", "message"]
    message = final.output[1].to_dict()
    assert message["content"][0]["annotations"][0]["file_id"] == "tides.md"  # type: ignore[index]


def test_filters_of_file_search_say_which_passages_may_answer(desk: Desk) -> None:
    def found(filters: object) -> list[str]:
        tool = {"type": "file_search", "vector_store_ids": [desk.name], "filters": filters}
        body = {"model": "echo", "input": QUESTION, "tools": [tool]}
        _, _, answer = desk.ask("/v1/responses", body)
        return [each["id"] for each in answer["littoral"]["passages"]]

    fact = {"type": "eq", "key": "kind", "value": "fact"}
    other = {"type": "ne", "key": "kind", "value": "fact"}
    assert found(fact) == ["turn"]
    assert found({"type": "or", "filters": [fact, other]}) == ["turn"]
    assert found({"type": "and", "filters": [fact, other]}) == []
    assert found({"type": "nin", "key": "kind", "value": ["fact", "tale"]}) == []


def test_anthropics_client_reads_the_citations_whole_and_streamed(
    desk: Desk, pop: RunningPop
) -> None:
    asked: Any = {
        "model": "echo",
        "max_tokens": 500,
        "messages": ASKED,
        "extra_body": {"memory": {"collection": desk.name}},
    }
    with Anthropic(base_url=pop.url, api_key=pop.key, max_retries=0) as client:
        whole = client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            streamed = stream.get_final_message()
    for message in (whole, streamed):
        (block,) = message.content
        assert isinstance(block, TextBlock)
        (citation,) = block.citations or []
        assert isinstance(citation, CitationsSearchResultLocation)
        assert (citation.source, citation.title) == ("tides.md", "Tides > Turning")
        assert citation.cited_text.startswith("The tide turns")


def test_the_receipt_names_the_passages_and_verify_shows_them(
    desk: Desk, pop: RunningPop, tmp_path: Path
) -> None:
    _, headers, answer = desk.chat(fields={"Littoral_Nonce": "n1"})
    request = Request(
        f"{pop.url}/v1/receipts/{headers['littoral-receipt']}",
        headers={"Authorization": f"Bearer {pop.key}"},
    )
    with urlopen(request, timeout=60) as response:
        document = response.read()
    (named,) = stated(document).passages
    digest = answer["littoral"]["passages"][0]["digest"]
    assert (named.collection, named.digests) == (desk.name, (digest,))
    (tmp_path / "receipt").write_bytes(document)
    (tmp_path / "answer").write_text(json.dumps(answer))
    command = [*LITTORAL, "verify", str(tmp_path / "answer")]
    command += ["--receipt", str(tmp_path / "receipt"), "--home", str(pop.home)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert f"of {desk.name}: {digest}" in shown.stdout


def test_a_kept_answer_is_given_again_until_a_passage_of_it_changes(desk: Desk) -> None:
    def asked() -> tuple[str, Mapping[str, str]]:
        status, headers, answer = desk.chat(temperature=0)
        assert status == 200, answer
        return headers["cache-status"], headers

    assert asked()[0] == "littoral; fwd=miss"
    status, headers = asked()
    assert status.startswith("littoral; hit")
    assert headers["littoral-passages"].startswith(f"{desk.name}=")
    assert headers["littoral-source"] == "cache"
    desk.write({"id": "other", "text": "Nothing in common.", "document": "o.md"})
    assert asked()[0].startswith("littoral; hit"), "what it was not made from does not matter"
    desk.write({"id": "turn", "text": "The tide turns at seven.", "document": "tides.md"})
    assert asked()[0] == "littoral; fwd=miss"
    assert asked()[0].startswith("littoral; hit")
    gone = {"writes": [{"type": "delete", "ids": ["turn"]}]}
    desk.ask(f"/v1/memory/{desk.name}/write", gone)
    assert asked()[0] == "littoral; fwd=miss"


def test_a_given_answers_receipt_names_the_passages_too(desk: Desk, pop: RunningPop) -> None:
    desk.chat(temperature=0)
    _, headers, _ = desk.chat(temperature=0)
    assert headers["cache-status"].startswith("littoral; hit")
    request = Request(
        f"{pop.url}/v1/receipts/{headers['littoral-receipt']}",
        headers={"Authorization": f"Bearer {pop.key}"},
    )
    with urlopen(request, timeout=60) as response:
        (named,) = stated(response.read()).passages
    assert named.collection == desk.name


def test_what_was_made_from_a_collection_can_be_purged_by_its_name(
    desk: Desk, pop: RunningPop
) -> None:
    desk.chat(temperature=0)
    command = [*LITTORAL, "cache", "purge", "--home", str(pop.home)]
    purged = subprocess.run(
        [*command, "--tag", f"memory:{desk.name}/tides.md"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert purged.returncode == 0, purged.stderr
    _, headers, _ = desk.chat(temperature=0)
    assert headers["cache-status"] == "littoral; fwd=miss"


def test_a_passage_that_a_key_may_not_see_is_never_told_to_the_model(
    desk: Desk, pop: RunningPop
) -> None:
    desk.write(
        {
            "id": "secret",
            "text": "The tide turns at five when the harbour master says so.",
            "document": "secret.md",
            "labels": ["harbour"],
        }
    )
    guest = Desk(pop, made_key(pop, "guest"))
    guest.name = desk.name
    _, _, seen = desk.chat()
    assert "harbour master" in seen["choices"][0]["message"]["content"], "an operator sees it"
    status, _, answer = guest.chat()
    assert status == 200
    assert "harbour master" not in json.dumps(answer)
    assert [each["id"] for each in answer["littoral"]["passages"]] == ["turn"]


@pytest.mark.parametrize("spelled", ["file_search", "file_\\u0073earch", "\\u0066ile_search"])
@pytest.mark.parametrize("api", ["responses", "chat/completions", "messages"])
def test_no_key_is_given_again_what_another_keys_passages_made(
    desk: Desk, pop: RunningPop, spelled: str, api: str
) -> None:
    """However the tool is spelled, and though both keys are of one tenant and ask the same."""
    secret = "The tide turns at five when the harbour master says so."
    desk.write({"id": "secret", "text": secret, "labels": ["harbour"]})
    tool = {"type": "file_search", "vector_store_ids": [desk.name]}
    asks = {"input": QUESTION} if api == "responses" else {"messages": ASKED, "max_tokens": 99}
    body = json.dumps({"model": "echo", **asks, "tools": [tool], "temperature": 0})
    body = body.replace("file_search", spelled)
    said = []
    for name, labels in (("master", ("--label", "harbour")), ("mate", ())):
        key = made_key(pop, f"{desk.name}-{name}", "--tenant", desk.name, *labels)
        asked = Desk(pop, key).ask(f"/v1/{api}", body.encode(), cache_control="max-age=3600")
        assert asked[0] == 200, asked
        said.append(json.dumps(asked[2]))
    assert "harbour master" in said[0]
    assert "harbour master" not in said[1]


def made_key(pop: RunningPop, name: str, *options: str) -> str:
    made = subprocess.run(
        [*LITTORAL, "keys", "create", name, *options, "--json", "--home", str(pop.home)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return str(json.loads(made.stdout)["key"])


@pytest.mark.parametrize(
    ("memory", "status", "code"),
    [
        ("not-there", 404, "not_found"),
        ({"collection": "not-there"}, 404, "not_found"),
        ({"collection": "x", "limit": 0}, 400, "invalid_request"),
        ({"collection": "x", "limits": 3}, 400, "invalid_request"),
        ({"collection": []}, 400, "invalid_request"),
        (3, 400, "invalid_request"),
    ],
)
def test_what_is_wrong_with_it_is_said(
    pop: RunningPop, memory: object, status: int, code: str
) -> None:
    answered, _, said = Desk(pop).chat(memory)
    assert (answered, said["error"]["code"]) == (status, code)


def test_it_is_refused_where_it_would_be_ignored(desk: Desk) -> None:
    body = {"model": "echo", "prompt": QUESTION, "memory": desk.name}
    status, _, said = desk.ask("/v1/completions", body)
    assert (status, said["error"]["param"]) == (400, "memory")
    counted = {"model": "echo", "messages": ASKED, "memory": desk.name}
    assert desk.ask("/v1/messages/count_tokens", counted)[0] == 400


def test_a_search_that_the_client_rules_out_is_not_made(desk: Desk) -> None:
    tool = {"type": "file_search", "vector_store_ids": [desk.name]}
    body = {"model": "echo", "input": QUESTION, "tools": [tool], "tool_choice": "none"}
    status, headers, answer = desk.ask("/v1/responses", body)
    assert status == 200, answer
    assert [item["type"] for item in answer["output"]] == ["message"]
    assert "littoral-passages" not in headers


def test_a_body_that_only_looks_as_if_it_wanted_memory_is_answered_as_ever(desk: Desk) -> None:
    said = {"model": "echo", "input": 'I say "file_search" and no more'}
    assert desk.ask("/v1/responses", said)[0] == 200
    status, _, answer = desk.chat(None, messages=[])
    assert (status, answer["error"]["param"]) == (400, "messages")


def test_a_collection_without_anything_to_say_is_told_to_the_model_as_none(desk: Desk) -> None:
    memory = {"collection": desk.name, "text": "zebra"}
    _, headers, answer = desk.chat(memory)
    assert headers["littoral-passages"] == "none"
    assert answer["littoral"]["passages"] == []
    assert "No source was found" in answer["choices"][0]["message"]["content"]


def test_two_collections_are_asked_as_one(desk: Desk, pop: RunningPop) -> None:
    other = Desk(pop)
    other.ask("/v1/memory", {"name": other.name})
    other.write({"id": "t", "text": "The tide turns at eight elsewhere.", "document": "e.md"})
    _, headers, answer = desk.chat({"collection": [desk.name, other.name], "limit": 2})
    assert {each["collection"] for each in answer["littoral"]["passages"]} == {
        desk.name,
        other.name,
    }
    assert other.name in headers["littoral-passages"]
