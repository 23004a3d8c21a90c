"""Reuse by meaning, performed: explored until proven, served within the bound, never across."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from littoral.adapters.reuse import QuestionBook, open_questions
from littoral.cache.semantic import Reuse
from littoral.node.reuse import Explore, Judgement, Nothing, SemanticReuse, Serve, headers
from littoral.terms.errors import EngineLostError, StoreError
from littoral.terms.facts import Fact, ReuseChecked, ReuseJudged
from littoral.terms.ids import KeyId, ModelName
from littoral.terms.values import Ask, Caller, Instant, Kind

M = ModelName("m")
ANN = Caller(KeyId("kann"), "ann", tenant="red")
BEN = Caller(KeyId("kben"), "ben", tenant="blue")
REUSE = Reuse(0.05)
SHADOW = Reuse(0.05, shadow=True)
ONE, OTHER = "Why is the sky blue?", "Why's the sky blue?"


@dataclass(frozen=True)
class Answer:
    texts: Sequence[bytes]


@dataclass
class Clock:
    """Stands still; its draw is what the test says."""

    draw: float = 0.5

    def now(self) -> Instant:
        return Instant(0)

    def unix_ns(self) -> int:
        return 10**18

    def random_bytes(self, count: int) -> bytes:
        return int(self.draw * 256**count).to_bytes(count)


@dataclass
class World:
    """A PoP's reuse with a model that answers by a table, and embeddings of length."""

    book: QuestionBook
    clock: Clock = field(default_factory=Clock)
    answers: dict[bytes, Answer] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    embedded: int = 0
    embeds: bool = True

    def __post_init__(self) -> None:
        self.reuse = SemanticReuse(
            self.book,
            embed=self.embed,
            answer_of=lambda key, _: self.answers.get(key),
            clock=self.clock,
            observe=self.facts.append,
        )

    async def embed(self, text: str) -> Sequence[float]:
        self.embedded += 1
        if not self.embeds:
            raise EngineLostError("gone")
        return [1.0, len(text) / 1000]

    async def judge(
        self, question: str, caller: Caller = ANN, reuse: Reuse = REUSE
    ) -> Judgement[Answer]:
        ask = Ask(
            "chat.completions",
            Kind.CHAT,
            M,
            {"messages": [{"role": "user", "content": question}]},
            stream=False,
        )
        return await self.reuse.judge(ask, caller, reuse, model=b"m1", policy_epoch=1)

    async def request(
        self, question: str, answer: str, caller: Caller = ANN, reuse: Reuse = REUSE
    ) -> Judgement[Answer]:
        """One request to its end: the model answers unless it was served, and reuse learns."""
        judgement = await self.judge(question, caller, reuse)
        if not isinstance(judgement, Serve):
            key = f"{caller.scope} {question}".encode()
            self.answers[key] = Answer([answer.encode()])
            await self.reuse.learn(judgement, answer, key)
        return judgement

    async def proven(self, reuse: Reuse = REUSE) -> None:
        """Ask two questions until the first one's answer may be served for the other."""
        await self.request(ONE, "Rayleigh", reuse=reuse)
        for _ in range(27):
            assert isinstance(await self.request(OTHER, "rayleigh.", reuse=reuse), Explore)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    book = open_questions(tmp_path)
    yield World(book)
    book.close()


async def test_a_first_question_is_kept_and_a_second_is_compared(world: World) -> None:
    assert isinstance(await world.request(ONE, "Rayleigh"), Nothing)
    assert isinstance(await world.request(OTHER, "Rayleigh"), Explore)
    assert world.facts == [
        ReuseJudged(M, "none", shadow=False),
        ReuseJudged(M, "explored", shadow=False),
        ReuseChecked(M, right=True, certified=False, shadow=False),
    ]
    assert world.book.count() == 1, "the answer was right: no second entry"


async def test_an_answer_is_served_once_it_was_shown_to_be_right(world: World) -> None:
    world.clock.draw = 0.5
    await world.request(ONE, "Rayleigh")
    outcomes = [await world.request(OTHER, "rayleigh.") for _ in range(40)]
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Explore] * 27 + [Serve] * 13
    served = outcomes[-1]
    assert isinstance(served, Serve)
    assert served.answer.texts == [b"Rayleigh"]
    assert headers(served, REUSE)["littoral-reuse"] == "hit; similarity=1.000; bound=0.05"


async def test_an_opposite_is_a_question_of_its_own(world: World) -> None:
    await world.proven()
    assert isinstance(await world.request("Why is the sky not blue?", "It is."), Nothing)
    assert world.book.count() == 2


async def test_a_wrong_answer_closes_the_entry_and_is_kept_as_another(world: World) -> None:
    await world.proven()
    world.clock.draw = 0.0
    assert isinstance(await world.request(OTHER, "Magic"), Explore)
    assert world.facts[-1] == ReuseChecked(M, right=False, certified=True, shadow=False)
    world.clock.draw = 0.5
    assert not isinstance(await world.judge(ONE), Serve)
    assert world.book.count() == 2


async def test_another_tenant_gets_nothing_of_it(world: World) -> None:
    await world.proven()
    assert isinstance(await world.judge(OTHER), Serve)
    assert isinstance(await world.judge(OTHER, BEN), Nothing)
    assert isinstance(await world.judge(OTHER, replace(ANN, tenant="")), Nothing)
    assert isinstance(await world.judge(OTHER, replace(ANN, key_id=KeyId("kcat"))), Serve)


async def test_in_shadow_everything_is_counted_and_nothing_served(world: World) -> None:
    await world.proven(SHADOW)
    for answer in ("Rayleigh", "Rayleigh", "Magic"):
        judgement = await world.request(OTHER, answer, reuse=SHADOW)
        assert isinstance(judgement, Explore)
        assert "shadow" in headers(judgement, SHADOW)["littoral-reuse"]
    checks = [fact for fact in world.facts if isinstance(fact, ReuseChecked) and fact.certified]
    assert [check.right for check in checks[-3:]] == [True, True, False]
    assert all(check.shadow for check in checks)
    assert not any(isinstance(fact, ReuseJudged) and fact.outcome == "hit" for fact in world.facts)


async def test_an_answer_that_is_no_longer_kept_is_forgotten(world: World) -> None:
    await world.proven()
    world.answers.clear()
    assert isinstance(await world.judge(OTHER), Nothing)
    assert world.book.count() == 0


async def test_another_answer_under_the_same_key_has_proven_nothing(world: World) -> None:
    await world.proven()
    world.answers = dict.fromkeys(world.answers, Answer([b"Rayleigh, as computed anew"]))
    assert isinstance(await world.judge(OTHER), Nothing)


async def test_an_answer_in_several_parts_is_not_reused(world: World) -> None:
    await world.proven()
    world.answers = dict.fromkeys(world.answers, Answer([b"Ray", b"leigh"]))
    assert isinstance(await world.judge(OTHER), Nothing)


async def test_what_is_not_kept_as_an_answer_is_not_kept_as_a_question(world: World) -> None:
    judgement = await world.judge(ONE)
    assert isinstance(judgement, Nothing)
    await world.reuse.learn(judgement, "Rayleigh", None)
    await world.reuse.learn(judgement, "  ", b"key")
    assert world.book.count() == 0


async def test_answers_are_embedded_only_when_their_words_allow_it(world: World) -> None:
    await world.request(ONE, "It scatters blue light the most")
    before = world.embedded
    await world.request(OTHER, "Blue light scatters the most")
    assert world.embedded == before + 3
    await world.request(OTHER, "It does not scatter blue light")
    assert world.embedded == before + 4
    checks = [fact.right for fact in world.facts if isinstance(fact, ReuseChecked)]
    assert checks == [True, False]


async def test_without_embeddings_requests_go_on_without_reuse(world: World) -> None:
    world.embeds = False
    assert await world.judge(ONE) == Nothing()
    assert not world.facts


async def test_a_book_that_fails_costs_the_reuse_and_not_the_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    judgement = await world.judge(ONE)
    assert isinstance(judgement, Nothing)

    def fail(*_: object, **__: object) -> None:
        raise StoreError("damaged")

    monkeypatch.setattr(world.book, "near", fail)
    monkeypatch.setattr(world.book, "add", fail)
    assert await world.judge(ONE) == Nothing()
    await world.reuse.learn(judgement, "Rayleigh", b"key")


async def test_what_is_no_plain_question_is_not_even_embedded(world: World) -> None:
    ask = Ask("embeddings", Kind.EMBED, M, {"input": "Why?"}, stream=False)
    assert await world.reuse.judge(ask, ANN, REUSE, model=b"", policy_epoch=0) == Nothing()
    assert world.embedded == 0
