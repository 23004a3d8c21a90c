"""Reuse by meaning, replayed: how much it serves, and how much of that is wrong, against its bound.

The workload is synthetic, and stated: INTENTS questions, among them pairs of opposites, asked
REQUESTS times with a popularity by Zipf's law, each time in words put together from politeness,
contractions and spacing (FORMS), so that most texts are new. The model is a table: one answer for
each intent, worded in another way once in 500 times. Texts asked before are the exact cache's, and
are left out. The embeddings are real (all-minilm-l6-v2), and so are the guard, learner and book.

Rivals, on the same stream: the nearest question at a fixed threshold, which is what other caches
serve; and our learner without the guard, to show what each of the two does.

What it does not show: how people reword. Free rewordings are mostly refused by the guard.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench.stand.report import Promise, at_least, at_most, note, print_report
from bench.stand.running import ROOT
from littoral.adapters.clock import SystemClock
from littoral.adapters.engines import EnginePlace
from littoral.adapters.engines.onnx import OnnxEngine
from littoral.adapters.models import Catalogue
from littoral.adapters.reuse import open_questions
from littoral.cache.learner import Record, decide, observe
from littoral.cache.semantic import SIMILARITY_MIN, Reuse, unit
from littoral.node.reuse import SemanticReuse, Serve
from littoral.terms.ids import KeyId, ModelName
from littoral.terms.values import Ask, Caller, EngineCall, Kind, Ready
from tests.cache.pairs import HELD_OUT, OPPOSITES, PARAPHRASES

EMBEDDINGS = "all-minilm-l6-v2"
MODELS = ROOT / ".models/models"
SEEDS = (1, 2, 3)
REQUESTS = 12_000
INTENTS = 100
ZIPF = 1.0
REWORDED = 0.002
BOUNDS = (0.01, 0.02, 0.05)
THRESHOLDS = (0.8, 0.9, 0.95)
BATCH = 256
M = ModelName("m")
CALLER = Caller(KeyId("kbench"), "bench")

GREETINGS = ("", "Hi, ", "Hello, ", "Hey, ", "Please, ", "Ok, ", "So, ", "Well, ", "Thanks. ")
OPENINGS = (
    "",
    "can you tell me: ",
    "could you please tell me: ",
    "do you know, ",
    "tell me: ",
    "I want to know, ",
    "I wonder, ",
    "any idea, ",
    "quick question: ",
    "for my homework: ",
)
CLOSINGS = ("", " Thanks", " Please", " thanks", "  ", "...")
FORMS = tuple(product(GREETINGS, OPENINGS, CLOSINGS, (False, True)))
SHORT = (("What is", "What's"), ("Who is", "Who's"), ("Where is", "Where's"), ("do not", "don't"))

Vector = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its text, what it asks, and the model's answer to it."""

    text: str
    intent: int
    answer: str


@dataclass(slots=True)
class Tally:
    """What one way of reuse did with one stream."""

    requests: int = 0
    served: int = 0
    wrong: int = 0
    seconds: float = 0.0

    def add(self, *, right: bool) -> None:
        """Count a served answer."""
        self.served += 1
        self.wrong += not right

    @property
    def hit_rate(self) -> float:
        """Served, of all requests."""
        return self.served / self.requests

    @property
    def wrong_share(self) -> float:
        """Wrong, of the served."""
        return self.wrong / self.served if self.served else 0.0


def intents() -> list[str]:
    """Questions of which no two are the same; opposites stand side by side."""
    pairs = [pair for rows in OPPOSITES.values() for pair in rows] + list(HELD_OUT)
    texts = [one for one, _ in PARAPHRASES] + [text for pair in pairs for text in pair]
    return list(dict.fromkeys(texts))[:INTENTS]


def worded(question: str, rng: random.Random) -> str:
    """The question in one of its forms."""
    greeting, opening, closing, short = rng.choice(FORMS)
    if short:
        for long, contracted in SHORT:
            question = question.replace(long, contracted)
    return f"{greeting}{opening}{question}{closing}"


def stream(seed: int) -> list[Request]:
    """The requests that the exact cache leaves over."""
    rng = random.Random(seed)
    questions = intents()
    order = list(range(len(questions)))
    rng.shuffle(order)
    weights = [1 / (rank + 1) ** ZIPF for rank in range(len(order))]
    asked: set[str] = set()
    left = []
    for intent in rng.choices(order, weights, k=REQUESTS):
        text = worded(questions[intent], rng)
        wording = " in other words" if rng.random() < REWORDED else ""
        if text not in asked:
            asked.add(text)
            left.append(Request(text, intent, f"This is answer number {intent}{wording}."))
    return left


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in parts that one request takes."""
    for begin in range(0, len(texts), BATCH):
        yield list(texts[begin : begin + BATCH])


async def embedded(texts: Sequence[str]) -> dict[str, Vector]:
    """The real vector of each text."""
    import msgspec

    entry = Catalogue(MODELS).get(EMBEDDINGS)
    ready = asyncio.Event()
    vectors: dict[str, Vector] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = EnginePlace(Path(folder), Path(folder), 1, 4096, 0)
        engine = OnnxEngine(entry, place, clock=SystemClock(), observe=lambda _: None)
        serving = asyncio.create_task(
            engine.serve(lambda state: ready.set() if isinstance(state, Ready) else None)
        )
        try:
            await asyncio.wait_for(ready.wait(), 60)
            for batch in batches(texts):
                call = EngineCall(Kind.EMBED, {"input": batch}, stream=False, model=entry.name)
                async with engine.open(call) as chunks:
                    raw = b"".join([chunk async for chunk in chunks])
                for text, row in zip(batch, msgspec.json.decode(raw)["data"], strict=True):
                    vector = unit(row["embedding"])
                    assert vector is not None
                    vectors[text] = vector
        finally:
            serving.cancel()
            await asyncio.wait([serving])
    return vectors


class SeededClock(SystemClock):
    """The clock, with draws that are the same in every run."""

    def __init__(self, seed: int) -> None:
        """Begin the draws."""
        self._rng = random.Random(seed)

    def random_bytes(self, count: int) -> bytes:
        """The next draw."""
        return self._rng.randbytes(count)


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer, and what it was the answer to."""

    texts: tuple[bytes, ...]
    intent: int


async def ours(
    requests: Sequence[Request], vectors: dict[str, Vector], bound: float, seed: int
) -> Tally:
    """The whole of it: partition, guard, learner and book."""
    tally, answers = Tally(), dict[bytes, Answer]()

    async def embed(text: str) -> Vector:
        return vectors[text]

    with tempfile.TemporaryDirectory() as folder:
        book = open_questions(Path(folder))
        reuse = SemanticReuse(
            book,
            embed=embed,
            answer_of=lambda key, _: answers.get(key),
            clock=SeededClock(seed),
            observe=lambda _: None,
        )
        begun = time.process_time()
        for number, request in enumerate(requests):
            body = {"messages": [{"role": "user", "content": request.text}], "temperature": 0}
            ask = Ask("chat.completions", Kind.CHAT, M, body, stream=False)
            judged = await reuse.judge(ask, CALLER, Reuse(bound), model=b"m", policy_epoch=0)
            tally.requests += 1
            if isinstance(judged, Serve):
                tally.add(right=judged.answer.intent == request.intent)
                continue
            key = b"%d" % number
            answers[key] = Answer((request.answer.encode(),), request.intent)
            await reuse.learn(judged, request.answer, key)
        tally.seconds = time.process_time() - begun
        book.close()
    return tally


class Nearest:
    """Entries without a guard, and the nearest one of a vector."""

    def __init__(self) -> None:
        """None yet."""
        import numpy as np

        self._numpy = np
        self._rows = np.zeros((REQUESTS, 384), dtype="f4")
        self.intents: list[int] = []

    def find(self, vector: Vector) -> tuple[int, float] | None:
        """Place and similarity of the nearest."""
        if not self.intents:
            return None
        scores = self._rows[: len(self.intents)] @ self._numpy.asarray(vector, dtype="f4")
        place = int(scores.argmax())
        return place, min(1.0, float(scores[place]))

    def add(self, vector: Vector, intent: int) -> None:
        """Keep one more."""
        self._rows[len(self.intents)] = vector
        self.intents.append(intent)


def fixed(requests: Sequence[Request], vectors: dict[str, Vector], threshold: float) -> Tally:
    """What a fixed threshold serves."""
    tally, entries = Tally(), Nearest()
    for request in requests:
        tally.requests += 1
        found = entries.find(vectors[request.text])
        if found is not None and found[1] >= threshold:
            tally.add(right=entries.intents[found[0]] == request.intent)
        else:
            entries.add(vectors[request.text], request.intent)
    return tally


def unguarded(
    requests: Sequence[Request], vectors: dict[str, Vector], bound: float, seed: int
) -> Tally:
    """Our learner without what words tell."""
    rng, tally, entries = random.Random(seed), Tally(), Nearest()
    records: list[Record] = []
    answers: list[str] = []
    for request in requests:
        tally.requests += 1
        found = entries.find(vectors[request.text])
        if found is not None and found[1] >= SIMILARITY_MIN:
            place, similarity = found
            right = entries.intents[place] == request.intent
            same = right and answers[place] == request.answer
            if decide(records[place], similarity, bound, rng.random()).serve:
                tally.add(right=right)
                continue
            records[place] = observe(records[place], similarity, right=same)
            if same:
                continue
        entries.add(vectors[request.text], request.intent)
        answers.append(request.answer)
        records.append(Record())
    return tally


def together(tallies: Sequence[Tally]) -> Tally:
    """The sum of several streams."""
    whole = Tally()
    for tally in tallies:
        whole.requests += tally.requests
        whole.served += tally.served
        whole.wrong += tally.wrong
        whole.seconds += tally.seconds
    return whole


async def main() -> None:
    """Replay every stream in every way, and report."""
    streams = {seed: stream(seed) for seed in SEEDS}
    texts = sorted({request.text for requests in streams.values() for request in requests})
    left = sum(map(len, streams.values())) / len(streams)
    note(f"{REQUESTS} requests, of which {left:.0f} are new texts; {len(intents())} intents")
    vectors = await embedded(texts)
    rows: dict[str, Tally] = {}
    for bound in BOUNDS:
        done = [await ours(streams[seed], vectors, bound, seed) for seed in SEEDS]
        rows[f"bound {bound:g}"] = together(done)
    for bound in BOUNDS:
        done = [unguarded(streams[seed], vectors, bound, seed) for seed in SEEDS]
        rows[f"bound {bound:g}, learner alone"] = together(done)
    for threshold in THRESHOLDS:
        done = [fixed(streams[seed], vectors, threshold) for seed in SEEDS]
        rows[f"threshold {threshold:g}"] = together(done)
    note(f"{'':28}{'hit rate':>10}{'wrong of served':>17}{'wrong':>7}{'served':>8}")
    for name, row in rows.items():
        shares = f"{row.hit_rate:>10.1%}{row.wrong_share:>17.2%}"
        note(f"{name:28}{shares}{row.wrong:>7}{row.served:>8}")
    promises: list[Promise] = []
    for bound in BOUNDS:
        row = rows[f"bound {bound:g}"]
        name = f"wrong of what is served at a bound of {bound:g}"
        promises.append(at_most(name, [row.wrong_share], bound, "share"))
        promises.append(at_least(f"served at a bound of {bound:g}", [row.hit_rate], 0.05, "share"))
    cost_us = [
        row.seconds / row.requests * 1e6 for row in (rows[f"bound {bound:g}"] for bound in BOUNDS)
    ]
    promises.append(at_most("CPU per request beside the embedding", cost_us, 5_000, "µs"))
    peers = {
        name: {"hit_rate": round(row.hit_rate, 4), "wrong_share": round(row.wrong_share, 4)}
        for name, row in rows.items()
    }
    print_report("semantic", promises, peers, len(SEEDS))


if __name__ == "__main__":
    asyncio.run(main())
