"""Embeddings are kept text by text: whatever a batch has of known texts is not computed again."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.hardening.pops import HardPop, cache_status, hard_pop
from tests.hardening.upstreams import Asked, head, upstream
from tests.web.raw import Answer

PATH = "/v1/embeddings"


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("embeddings")) as running:
        yield running


def vector_of(text: str) -> list[float]:
    return [float(len(text)), *(float(ord(letter)) for letter in text[:3])]


def json_of(asked: Asked) -> Any:
    return json.loads(asked.body)


def texts_of(asked: Asked) -> list[str]:
    given = json_of(asked)["input"]
    return [given] if isinstance(given, str) else given


async def embed(asked: Asked, writer: asyncio.StreamWriter, *fields: str, tokens: int = 2) -> bool:
    """Answer as an embedding server does: a vector for each text, of so many tokens each."""
    texts = texts_of(asked)
    data = [
        {"object": "embedding", "index": index, "embedding": vector_of(text)}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": tokens * len(texts), "total_tokens": tokens * len(texts)}
    body = json.dumps({"object": "list", "data": data, "model": "theirs", "usage": usage}).encode()
    length = f"content-length: {len(body)}"
    writer.write(head("content-type: application/json", length, *fields) + body)
    return True


async def ask(
    pop: HardPop, model: str, texts: str | Sequence[object], *fields: str, **more: object
) -> Answer:
    body = json.dumps({"model": model, "input": texts, **more}).encode()
    return await pop.ask(PATH, body, *fields)


def check(answer: Answer, texts: Sequence[str]) -> Any:
    """It is the right answer for these texts; its usage."""
    assert answer.status == 200, answer
    said = json.loads(answer.body)
    assert [each["index"] for each in said["data"]] == list(range(len(texts)))
    assert [each["embedding"] for each in said["data"]] == list(map(vector_of, texts))
    return said["usage"]


def status_of(answer: Answer) -> str:
    return cache_status(answer).split(";")[1].strip()


async def test_only_texts_that_are_not_there_are_asked_for(pop: HardPop) -> None:
    async with upstream(embed) as theirs:
        model = pop.add(theirs.port)
        first = await ask(pop, model, ["ab", "cd"])
        check(first, ["ab", "cd"])
        assert status_of(first) == "fwd=miss"

        wanted = ["x", "cd", "yz", "x", "ab"]
        second = await ask(pop, model, wanted)
        usage = check(second, wanted)
        assert status_of(second) == "fwd=partial"
        assert texts_of(theirs.asked[1]) == ["x", "yz"], "each once, in order, and nothing else"
        assert usage["prompt_tokens_details"] == {"cached_tokens": 4}
        assert usage["prompt_tokens"] == usage["total_tokens"] == 8
        assert json_of(theirs.asked[1]).keys() == {"model", "input"}

        third = await ask(pop, model, ["yz", "x"])
        assert check(third, ["yz", "x"]) == {"prompt_tokens": 4, "total_tokens": 4}
        assert json.loads(third.body)["model"] == "theirs"
        assert status_of(third) == "hit"
        assert int(third.headers["age"]) >= 0
        assert len(theirs.asked) == 2
        assert (await pop.receipt(third)).origin == second.headers["littoral-receipt"]


async def test_one_text_is_a_batch_too_and_tokens_are_texts(pop: HardPop) -> None:
    async with upstream(embed) as theirs:
        model = pop.add(theirs.port)
        check(await ask(pop, model, "ab"), ["ab"])
        hit = await ask(pop, model, ["ab"])
        check(hit, ["ab"])
        assert status_of(hit) == "hit"
        assert len(hit.headers["littoral-cache-key"]) == 40
        assert len(theirs.asked) == 1


@pytest.mark.parametrize(
    "more", [{"encoding_format": "base64"}, {"dimensions": 2}, {"user": "u"}, {"unheard_of": 1}]
)
async def test_another_request_has_other_vectors(pop: HardPop, more: dict[str, object]) -> None:
    async with upstream(embed) as theirs:
        model = pop.add(theirs.port)
        for _ in range(2):
            await ask(pop, model, ["ab", "cd"])
            await ask(pop, model, ["ab", "cd"], **more)
        assert len(theirs.asked) == 2
        assert json_of(theirs.asked[1]).items() >= more.items()


async def test_what_the_request_says_holds_for_each_text(pop: HardPop) -> None:
    async with upstream(embed) as theirs:
        model = pop.add(theirs.port)
        await ask(pop, model, ["ab"], "Cache-Control: no-store")
        assert status_of(await ask(pop, model, ["ab"])) == "fwd=miss", "it was not kept"
        only = "Cache-Control: only-if-cached"
        refused = await ask(pop, model, ["ab", "cd"], only)
        assert refused.status == 504
        assert status_of(await ask(pop, model, ["ab", "ab"], only)) == "hit"
        assert status_of(await ask(pop, model, ["ab"], "Cache-Control: no-cache")) == "fwd=request"
        assert [texts_of(each) for each in theirs.asked] == [["ab"]] * 3


@pytest.mark.parametrize("directive", ["no-store", "private", "no-cache", "max-age=0"])
async def test_an_upstream_may_keep_its_vectors_out(pop: HardPop, directive: str) -> None:
    refuses = False

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        return await embed(asked, writer, *([f"cache-control: {directive}"] if refuses else []))

    async with upstream(play) as theirs:
        model = pop.add(theirs.port)
        await ask(pop, model, ["ab"])
        refuses = True
        for _ in range(2):
            check(await ask(pop, model, ["ab", "cd"]), ["ab", "cd"])
        assert [texts_of(each) for each in theirs.asked] == [["ab"], ["cd"], ["cd"]]


async def test_an_upstream_that_lies_about_the_rest_is_found_out(pop: HardPop) -> None:
    async def short(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        if len(theirs.asked) == 1:
            return await embed(asked, writer)
        body = b'{"data":[{"index":0,"embedding":[1]}],"usage":{"prompt_tokens":1}}'
        writer.write(head("content-type: application/json", f"content-length: {len(body)}") + body)
        return True

    async with upstream(short) as theirs:
        model = pop.add(theirs.port)
        await ask(pop, model, ["ab"])
        for _ in range(2):
            answer = await ask(pop, model, ["ab", "cd", "ef"])
            assert answer.status == 502
        assert [texts_of(each) for each in theirs.asked[1:]] == [["cd", "ef"]] * 2, "nothing kept"


async def test_a_refusal_of_the_rest_is_passed_on(pop: HardPop) -> None:
    refusal = b'{"error":{"message":"that is no text","type":"invalid_request_error"}}'

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        if len(theirs.asked) == 1:
            return await embed(asked, writer)
        length = f"content-length: {len(refusal)}"
        writer.write(
            head("content-type: application/json", length, status="400 Bad Request") + refusal
        )
        return True

    async with upstream(play) as theirs:
        model = pop.add(theirs.port)
        await ask(pop, model, ["ab"])
        answer = await ask(pop, model, ["ab", "cd"])
        assert answer.status == 400
        assert b"that is no text" in answer.body


async def test_vectors_of_a_fallback_never_stand_beside_the_models_own(pop: HardPop) -> None:
    async def down(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        if len(mine.asked) == 1:
            return await embed(asked, writer)
        writer.write(head("content-length: 0", status="500 Internal Server Error"))
        return True

    async with upstream(down) as mine, upstream(embed) as other:
        model = pop.add(mine.port, fallbacks=(pop.add(other.port),))
        await ask(pop, model, ["ab"])
        answer = await ask(pop, model, ["ab", "cd"])
        check(answer, ["ab", "cd"])
        assert "littoral-model" in answer.headers
        assert texts_of(other.asked[0]) == ["ab", "cd"]


async def test_identical_batches_at_once_are_asked_once(pop: HardPop) -> None:
    async with upstream(embed) as theirs:
        model = pop.add(theirs.port)
        await ask(pop, model, ["ab"])
        answers = await asyncio.gather(*[ask(pop, model, ["ab", "cd"]) for _ in range(20)])
        for answer in answers:
            check(answer, ["ab", "cd"])
        assert [texts_of(each) for each in theirs.asked] == [["ab"], ["cd"]]


async def test_a_long_batch_is_looked_up_whole(pop: HardPop) -> None:
    texts = [f"text {number}" for number in range(1500)]
    async with upstream(embed) as theirs:
        model = pop.add(theirs.port)
        check(await ask(pop, model, texts), texts)
        answer = await ask(pop, model, [*texts, "one more"])
        check(answer, [*texts, "one more"])
        assert texts_of(theirs.asked[1]) == ["one more"]
        assert status_of(await ask(pop, model, texts[::-1])) == "hit"
        refused = await ask(pop, model, [*texts, "another"], "Cache-Control: only-if-cached")
        assert refused.status == 504
        assert len(theirs.asked) == 2
        too_old = await ask(pop, model, texts, "Cache-Control: min-fresh=2147483647")
        assert status_of(too_old) == "fwd=stale"


@pytest.mark.parametrize("many", [1, 100])
async def test_a_model_on_this_machine_computes_only_the_rest(pop: HardPop, many: int) -> None:
    known, new = [f"known {many} {number}" for number in range(many)], f"new {many}"
    first = await ask(pop, "echo", known)
    whole = await ask(pop, "echo", [*known, new, new], "Cache-Control: no-store")
    answer = await ask(pop, "echo", [*known, new, new])
    assert status_of(answer) == "fwd=partial"
    said, true = json.loads(answer.body), json.loads(whole.body)
    assert said["data"] == true["data"]
    assert (
        said["usage"]["prompt_tokens_details"]["cached_tokens"]
        == (json.loads(first.body)["usage"]["prompt_tokens"])
    )
    receipt = await pop.receipt(answer)
    assert receipt.origin is None
    hit = await ask(pop, "echo", [new, *known])
    assert status_of(hit) == "hit"


async def test_a_key_pays_only_for_what_an_upstream_computes(pop: HardPop) -> None:
    async def dear(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        return await embed(asked, writer, tokens=100)

    async with upstream(dear) as theirs:
        await check_paid(pop, pop.add(theirs.port), [f"text {number}" for number in range(5)], 500)


async def test_a_key_pays_only_for_what_is_computed_here(pop: HardPop) -> None:
    text = "word " * 300
    said = await ask(pop, "echo", [text], "Cache-Control: no-store")
    await check_paid(pop, "echo", [text], json.loads(said.body)["usage"]["prompt_tokens"])


async def check_paid(pop: HardPop, model: str, known: list[str], tokens: int) -> None:
    """Twice the tokens of the known texts are enough for many batches that have them."""
    key = pop.new_key("--tokens-per-minute", str(2 * tokens))
    for number in range(4):
        texts = [*known, f"new {number}"] if number else known
        body = json.dumps({"model": model, "input": texts}).encode()
        answer = await pop.ask_as(key, PATH, body)
        assert answer.status == 200, (number, answer)
        assert json.loads(answer.body)["usage"]["prompt_tokens"] >= tokens


async def test_a_text_is_looked_up_once_as_far_as_anybody_counts(tmp_path: Path) -> None:
    with hard_pop(tmp_path) as pop:
        for texts in (["a", "b"], ["b", "c"]):
            assert (await ask(pop, "echo", texts)).status == 200
    (line,) = pop.command("cache", "stats")["models"]
    assert (line["hits"], line["misses"]) == (1, 3)
