"""Reuse of answers by meaning, in a running PoP with a real embedding model."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from littoral.terms.values import ToolSupport
from tests.conftest import EMBED_MODEL
from tests.hardening.pops import HardPop, cache_status, check_error, hard_pop, parted
from tests.hardening.upstreams import Asked, Upstream, head, upstream
from tests.web.fake_door import chat_body, chat_stream
from tests.web.raw import Answer

CHAT = "/v1/chat/completions"
ONE, OTHER = "Why is the sky blue?", "Why's the sky blue?"
OPPOSITE = "Why is the sky not blue?"
SAID = {ONE: "Air scatters blue light.", OTHER: "Air scatters blue light.", OPPOSITE: "It is blue."}
TRIES = 60
"""An entry that is always right is proven at a bound of 0.2 after far fewer."""


@contextmanager
def embedding_pop(folder: Path, models_home: Path, *options: str) -> Iterator[HardPop]:
    models = folder / "home" / "models"
    models.mkdir(parents=True, mode=0o700)
    (models / EMBED_MODEL).symlink_to(models_home / "models" / EMBED_MODEL)
    with hard_pop(folder, *options) as running:
        yield running


@pytest.fixture(scope="module")
def pop(models_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with embedding_pop(tmp_path_factory.mktemp("reuse"), models_home) as running:
        yield running


def question_of(asked: Asked) -> str:
    return str(json.loads(asked.body)["messages"][-1]["content"])


async def play(asked: Asked, writer: asyncio.StreamWriter) -> bool:
    """Answer by the table, whatever blanks are in the question."""
    words = [SAID.get(" ".join(question_of(asked).split()), "I do not know.")]
    pieces = chat_stream(words) if asked.streams else chat_body(words)
    kind = "text/event-stream" if asked.streams else "application/json"
    body = b"".join(pieces)
    writer.write(head(f"content-type: {kind}", f"content-length: {len(body)}") + body)
    return True


def text_of(answer: Answer) -> str:
    return str(json.loads(answer.body)["choices"][0]["message"]["content"])


class Person:
    """Somebody with a key, who asks one model."""

    def __init__(
        self,
        pop: HardPop,
        running: Upstream,
        *options: str,
        tools: ToolSupport = ToolSupport.NATIVE,
    ) -> None:
        self.pop = pop
        self.model = pop.add(running.port, tools=tools)
        self.running = running
        self.key = pop.new_key(*options)

    async def asks(self, question: str, *fields: str, **more: object) -> Answer:
        messages = [{"role": "user", "content": question}]
        body = {"model": self.model, "messages": messages, **more}
        return await self.pop.ask_as(self.key, CHAT, json.dumps(body).encode(), *fields)

    async def proves(self, *questions: str, **more: object) -> Answer:
        """Ask until an answer is reused; that one."""
        for number in range(TRIES):
            answer = await self.asks(questions[number % len(questions)], **more)
            assert answer.status == 200, answer
            if answer.headers["littoral-reuse"].startswith("hit"):
                return answer
        raise AssertionError("nothing was ever reused")


async def test_an_answer_is_given_again_once_it_was_proven(pop: HardPop) -> None:
    async with upstream(play) as running:
        person = Person(pop, running, "--reuse-error-max", "0.2")
        first = await person.asks(ONE)
        assert first.headers["littoral-reuse"] == "none; bound=0.2"
        assert cache_status(first) == "littoral; fwd=miss"
        second = await person.asks(OTHER)
        assert second.headers["littoral-reuse"].startswith("explored; similarity=0.9")
        hit = await person.proves(OTHER)
        asked = len(running.asked)
        assert asked > 5, "it took some proving"
        assert text_of(hit) == SAID[ONE]
        assert cache_status(hit).startswith("littoral; hit; ttl=")
        assert cache_status(hit).endswith("; detail=semantic")
        receipt = await pop.receipt(hit)
        assert (receipt.source.value, receipt.origin) == (
            "cache",
            first.headers["littoral-receipt"],
        )
        for _ in range(TRIES):  # however well it is proven
            assert text_of(await person.asks(OPPOSITE)) == SAID[OPPOSITE]


async def test_streams_are_reused_as_streams(pop: HardPop) -> None:
    async with upstream(play) as running:
        person = Person(pop, running, "--reuse-error-max", "0.2")
        first, _ = parted(await person.asks(ONE, stream=True))
        own, _ = parted(await person.proves(OTHER, stream=True))
        assert own == first
        assert all(asked.streams for asked in running.asked)


async def test_exact_answers_come_first_and_prove_nothing(pop: HardPop) -> None:
    async with upstream(play) as running:
        person = Person(pop, running, "--reuse-error-max", "0.2")
        for number in range(4):
            answer = await person.asks(ONE, temperature=0)
            assert cache_status(answer).startswith("littoral; " + ("hit" if number else "fwd"))
        assert len(running.asked) == 1
        hit = await person.proves(
            *[ONE.replace(" ", " " * (1 + number)) for number in range(1, TRIES)], temperature=0
        )
        assert text_of(hit) == SAID[ONE]


async def test_no_other_tenant_model_or_system_prompt_is_ever_near(pop: HardPop) -> None:
    async with upstream(play) as running:
        bound = ("--reuse-error-max", "0.2")
        person, other = Person(pop, running, *bound), Person(pop, running, *bound)
        await person.proves(ONE, OTHER)
        stranger = Person(pop, running, *bound)
        stranger.model = person.model
        other.key = person.key
        for answer in (
            await stranger.asks(ONE),
            await other.asks(ONE),
            await person.asks(ONE, tools=[{"type": "function", "function": {"name": "look"}}]),
            await person.asks(ONE, temperature=0.5),
        ):
            assert answer.headers["littoral-reuse"].startswith("none")
        messages = [{"role": "system", "content": "Be rude."}, {"role": "user", "content": ONE}]
        answer = await person.asks(ONE, messages=messages)
        assert answer.headers["littoral-reuse"].startswith("none")


async def test_a_shadow_decides_and_serves_nothing(pop: HardPop) -> None:
    async with upstream(play) as running:
        person = Person(pop, running, "--reuse-error-max", "0.2")
        await person.proves(ONE, OTHER)
        asked = len(running.asked)
        for _ in range(5):
            answer = await person.asks(ONE, "Littoral-Reuse: shadow")
            assert answer.headers["littoral-reuse"].startswith("explored")
            assert "shadow" in answer.headers["littoral-reuse"]
        assert len(running.asked) == asked + 5


async def test_a_request_may_be_stricter_than_its_key_and_not_looser(pop: HardPop) -> None:
    async with upstream(play) as running:
        person = Person(pop, running, "--reuse-error-max", "0.05")
        stricter = await person.asks(ONE, "Littoral-Reuse: error=0.01")
        assert stricter.headers["littoral-reuse"] == "none; bound=0.01"
        assert "littoral-reuse" not in (await person.asks(ONE, "Littoral-Reuse: off")).headers
        for field, status in (("error=0.1", 403), ("sometimes", 400), ("error=2", 400)):
            refused = await person.asks(ONE, f"Littoral-Reuse: {field}")
            assert refused.status == status
            check_error(CHAT, refused)
        nobody = Person(pop, running)
        assert (await nobody.asks(ONE, "Littoral-Reuse: error=0.05")).status == 403
        assert "littoral-reuse" not in (await nobody.asks(ONE)).headers


async def test_what_the_cache_may_not_do_reuse_may_not(pop: HardPop) -> None:
    async with upstream(play) as running:
        person = Person(pop, running, "--reuse-error-max", "0.2")
        await person.proves(ONE, OTHER)
        asked = len(running.asked)
        for directive in ("no-store", "no-cache", "max-age=0"):
            answer = await person.asks(ONE, f"Cache-Control: {directive}")
            assert "littoral-reuse" not in answer.headers
        assert len(running.asked) == asked + 3


async def test_a_purge_drops_the_questions_too(pop: HardPop) -> None:
    async with upstream(play) as running:
        person = Person(pop, running, "--reuse-error-max", "0.2")
        await person.proves(ONE, OTHER)
        book = pop.home / "semantic.db"
        assert book.stat().st_mode & 0o777 == 0o600
        said = pop.command("cache", "purge", "--model", person.model)
        assert said["questions"] >= 1
        answer = await person.asks(ONE)
        assert answer.headers["littoral-reuse"].startswith("none")


async def test_a_hit_passes_the_limits_of_its_key(pop: HardPop) -> None:
    async with upstream(play) as running:
        person = Person(pop, running, "--reuse-error-max", "0.2", "--requests-per-minute", "40")
        statuses = [(await person.asks((ONE, OTHER)[number % 2])).status for number in range(42)]
        assert statuses == [200] * 40 + [429] * 2


async def test_a_model_behind_a_handler_is_reused_as_any(pop: HardPop) -> None:
    async with upstream(play) as running:
        bound = ("--reuse-error-max", "0.2")
        person = Person(pop, running, *bound, tools=ToolSupport.PROMPTED)
        hit = await person.proves(ONE, OTHER)
        assert text_of(hit) == SAID[ONE]
        assert cache_status(hit).endswith("; detail=semantic")


async def test_workers_reuse_what_any_of_them_was_answered(
    models_home: Path, tmp_path: Path
) -> None:
    with embedding_pop(tmp_path, models_home, "--workers", "2") as pop:
        async with upstream(play) as running:
            person = Person(pop, running, "--reuse-error-max", "0.2")
            assert text_of(await person.proves(ONE, OTHER)) == SAID[ONE]


@pytest.mark.parametrize("options", [(), ("--cache-bytes-max", "0")])
async def test_where_there_is_no_embedding_or_no_cache_all_is_asked(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    with hard_pop(tmp_path, *options) as pop:
        async with upstream(play) as running:
            person = Person(pop, running, "--reuse-error-max", "0.2")
            for number in range(3):
                assert text_of(await person.asks(ONE)) == SAID[ONE]
                assert len(running.asked) == number + 1
