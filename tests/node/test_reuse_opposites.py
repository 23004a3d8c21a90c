"""Adversarial, with the real embedding model: an entry that is proven a hundred times over serves
no opposite of its question, and nothing to another tenant, system prompt, or set of tools.

The same pairs are counted against fixed thresholds, which is what other caches do.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from littoral.adapters.clock import SystemClock
from littoral.adapters.reuse import open_questions
from littoral.cache.semantic import SIMILARITY_MIN, Reuse, cosine, unit
from littoral.node.reuse import Explore, Judgement, Nothing, SemanticReuse, Serve
from littoral.terms.ids import KeyId, ModelName
from littoral.terms.values import Ask, Caller, Kind, ModelEntry
from tests.adapters.engines.running import Running, running
from tests.cache.pairs import HELD_OUT, OPPOSITES, PARAPHRASES

M = ModelName("m")
CALLER = Caller(KeyId("kann"), "ann", tenant="red")
LOOSEST = Reuse(0.2)
ALL_OPPOSITES = [pair for pairs in OPPOSITES.values() for pair in pairs] + list(HELD_OUT)
SYSTEM = {"role": "system", "content": "You are terse."}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True)
class Answer:
    texts: Sequence[bytes]


@dataclass
class World:
    """The reuse of a PoP with the real embedding model, and whose entries can be proven at will."""

    engine: Running
    reuse: SemanticReuse[Answer] = field(init=False)
    answers: dict[bytes, Answer] = field(default_factory=dict)

    def begin(self, home: Path) -> None:
        self.book = open_questions(home)
        self.reuse = SemanticReuse(
            self.book,
            embed=self.embed,
            answer_of=lambda key, _: self.answers.get(key),
            clock=SystemClock(),
            observe=lambda _: None,
        )

    async def embed(self, text: str) -> Sequence[float]:
        (row,) = (await self.engine.body({"input": text}, Kind.EMBED))["data"]
        vector: Sequence[float] = row["embedding"]
        return vector

    async def judge(self, question: str, caller: Caller = CALLER, **body: Any) -> Judgement[Answer]:
        messages = [SYSTEM, {"role": "user", "content": question}]
        ask = Ask("chat.completions", Kind.CHAT, M, {"messages": messages, **body}, stream=False)
        return await self.reuse.judge(ask, caller, LOOSEST, model=b"m1", policy_epoch=1)

    async def keep(self, question: str) -> None:
        """Answer a question, and prove the answer right at every similarity, far beyond need."""
        judgement = await self.judge(question)
        assert isinstance(judgement, Nothing)
        assert judgement.question is not None
        self.answers[question.encode()] = Answer([b"An answer"])
        await self.reuse.learn(judgement, "An answer", question.encode())
        near = self.book.near(judgement.question.asked, judgement.question.vector, 1)
        for _ in range(100):
            self.book.learn(near[0].entry_id, SIMILARITY_MIN, right=True)

    async def served(self, question: str, times: int = 40, **body: Any) -> int:
        """How often the question is served, asked often enough not to be checked each time."""
        judgements = [await self.judge(question, **body) for _ in range(times)]
        return sum(isinstance(judgement, Serve) for judgement in judgements)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(
    minilm: ModelEntry, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    async with running(minilm, tmp_path_factory.mktemp("engine")) as subject:
        yield subject


@pytest_asyncio.fixture(loop_scope="module")
async def world(engine: Running, tmp_path: Path) -> AsyncIterator[World]:
    world = World(engine)
    world.begin(tmp_path)
    yield world
    world.book.close()


async def similarities(engine: Running, pairs: Sequence[tuple[str, str]]) -> list[float]:
    texts = [text for pair in pairs for text in pair]
    rows = (await engine.body({"input": texts}, Kind.EMBED))["data"]
    vectors = [unit(row["embedding"]) for row in rows]
    assert None not in vectors
    return [
        cosine(one or (), other or ())
        for one, other in zip(vectors[::2], vectors[1::2], strict=True)
    ]


async def test_no_opposite_is_served_however_well_an_entry_is_proven(world: World) -> None:
    compared = []
    for one, other in ALL_OPPOSITES:
        await world.keep(one)
        if not isinstance(await world.judge(other), Nothing):
            compared.append((one, other))
        world.book.sweep(lambda _: False)
    assert len(ALL_OPPOSITES) >= 150
    assert compared == []


async def test_the_other_way_round_no_opposite_is_served_either(world: World) -> None:
    compared = []
    for one, other in ALL_OPPOSITES:
        await world.keep(other)
        if not isinstance(await world.judge(one), Nothing):
            compared.append((one, other))
        world.book.sweep(lambda _: False)
    assert compared == []


async def test_among_all_of_them_together_each_finds_only_itself(world: World) -> None:
    """Every first question is an entry of one partition; no second question is served by any."""
    firsts = dict.fromkeys(one for one, _ in ALL_OPPOSITES)
    for one in firsts:
        await world.keep(one)
    for _, other in ALL_OPPOSITES:
        nothing = isinstance(await world.judge(other), Nothing)
        assert nothing or other in firsts, other


async def test_paraphrases_are_served_once_proven(world: World) -> None:
    for one, other in PARAPHRASES:
        await world.keep(one)
        assert await world.served(other) > 20, (one, other)
        world.book.sweep(lambda _: False)


async def test_paraphrases_are_explored_and_not_served_before_anything_is_proven(
    world: World,
) -> None:
    for one, other in PARAPHRASES:
        judgement = await world.judge(one)
        assert isinstance(judgement, Nothing)
        world.answers[b"key"] = Answer([b"An answer"])
        await world.reuse.learn(judgement, "An answer", b"key")
        assert isinstance(await world.judge(other), Explore)
        world.book.sweep(lambda _: False)


@pytest.mark.parametrize(
    ("caller", "body"),
    [
        (replace(CALLER, tenant="blue"), {}),
        (replace(CALLER, tenant=""), {}),
        (replace(CALLER, tenant="", key_id=KeyId("kben")), {}),
        (CALLER, {"messages": [{**SYSTEM, "content": "You are terse!"}]}),
        (CALLER, {"messages": []}),
        (CALLER, {"tools": [TOOL]}),
        (CALLER, {"response_format": {"type": "json_object"}}),
        (CALLER, {"temperature": 0.5}),
        (CALLER, {"seed": 1}),
    ],
)
async def test_the_very_same_question_of_others_or_in_another_setting_is_not_served(
    world: World, caller: Caller, body: dict[str, Any]
) -> None:
    question = PARAPHRASES[0][0]
    await world.keep(question)
    assert await world.served(question) > 20
    if "messages" in body:
        body = {"messages": [*body["messages"], {"role": "user", "content": question}]}
    judgement = await world.judge(question, caller, **body)
    assert isinstance(judgement, Nothing)
    assert judgement.question is not None


async def test_a_fixed_threshold_serves_many_of_the_opposites(engine: Running) -> None:
    """What docs/cache-semantic.md has in its table; the numbers move a little with the machine."""
    found = await similarities(engine, ALL_OPPOSITES)
    wrong = {least: sum(each >= least for each in found) for least in (0.8, 0.9, 0.95)}
    assert wrong[0.8] > len(found) / 2
    assert wrong[0.9] > len(found) / 3
    assert wrong[0.95] > len(found) / 8
