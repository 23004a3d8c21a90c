"""What a PoP costs beside its engine: the promises of one machine with a real model.

Rounds are interleaved: in each, the PoP and its rival answer the same prompts with the same threads
and slots, and take turns at going first. Ratios are of medians of rounds. Nothing else should run.

Rivals: the engine alone behind its own HTTP listener; for embeddings, sentence-transformers on
torch in its own environment, at whichever number of threads it is faster.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil

from bench.stand import talk
from bench.stand.report import Promise, at_least, at_most, note, print_report
from bench.stand.running import ROOT, Running, pop, rival
from bench.stand.talk import Target
from bench.stand.torch_peer import torch_peer

CHAT, EMBEDDINGS = "smollm2-135m", "all-minilm-l6-v2"
ROUNDS, PAIRS, DEPARTURES = 7, 60, 12
SLOTS, KV_TOKENS = 8, 16_384
MODELS = ROOT / ".models/models"
TOPICS = (
    "a lighthouse",
    "a river",
    "an orchard",
    "a railway",
    "a market",
    "a glacier",
    "a harbour",
)


def story(number: int, stream: int = 0) -> str:
    """A prompt that no other round has, so that no cache of prompts helps either side."""
    topic = TOPICS[(number + stream) % len(TOPICS)]
    return f"Tell a very long story about {topic}. Chapter {number}.{stream}:"


def texts(count: int) -> list[str]:
    """Sentences of 5 to about 60 words, made by joining our own in a fixed order."""
    sentences = (ROOT / "bench/sentences.txt").read_text().splitlines()
    return [
        " ".join(sentences[(7 * number + part) % len(sentences)] for part in range(number % 4 + 1))
        for number in range(count)
    ]


def taking_turns(rounds: int, *sides: Callable[[int], float]) -> list[list[float]]:
    """Each side's values of each round; who goes first changes from round to round."""
    values: list[list[float]] = [[] for _ in sides]
    for number in range(rounds):
        for turn in range(len(sides)):
            side = (number + turn) % len(sides)
            values[side].append(sides[side](number))
    return values


def throughput(ours: Target, bare: Target, streams: int) -> tuple[Promise, dict[str, object]]:
    """Tokens a second through the PoP, as a part of the bare engine's."""

    def measure(target: Target) -> Callable[[int], float]:
        def one(number: int) -> float:
            prompts = [story(100 * streams + number, stream) for stream in range(streams)]
            return talk.chat_many(target, prompts, tokens=128 if streams == 1 else 64)

        return one

    mine, other = taking_turns(ROUNDS, measure(ours), measure(bare))
    note(f"  the PoP: {[round(rate, 1) for rate in mine]} tokens/s")
    note(f"  the engine alone: {[round(rate, 1) for rate in other]} tokens/s")
    ratio = statistics.median(mine) / statistics.median(other)
    promise = at_least(f"tokens/s at {streams} streams, of the bare engine's", [ratio], 0.95, "x")
    return promise, {
        "pop_tokens_s": statistics.median(mine),
        "bare_tokens_s": statistics.median(other),
    }


def first_token(ours: Target, bare: Target) -> tuple[Promise, dict[str, object]]:
    """Milliseconds that the PoP adds before the first token of a prompt that is cached already."""

    def measure(target: Target) -> Callable[[int], float]:
        return lambda _: talk.chat(target, "Say hello.", 1).first_s * 1e3

    for target in (ours, bare):
        talk.chat(target, "Say hello.", 1)
    mine, other = taking_turns(PAIRS, measure(ours), measure(bare))
    added = [a - b for a, b in zip(mine, other, strict=True)]
    peers: dict[str, object] = {
        "pop_ms_p50": statistics.median(mine),
        "bare_ms_p50": statistics.median(other),
    }
    return at_most("added time to first token (p50)", added, 5, "ms"), peers


def departures(target: Target, depart: Callable[[int], None]) -> list[float]:
    """Milliseconds from a client's leaving until the one slot serves the next client.

    The next client's own time to first token, measured when the slot was freed by an answer that
    ended, is taken off: what is left is how long the slot stayed taken.
    """
    idle = []
    for number in range(DEPARTURES):
        talk.chat(target, story(9000 + number), 8)
        idle.append(talk.chat(target, "Hi", 1).first_s)
    usual = statistics.median(idle)
    late = []
    for number in range(DEPARTURES):
        depart(number)
        late.append((talk.chat(target, "Hi", 1).first_s - usual) * 1e3)
    return late


def slot_free(target: Target) -> list[Promise]:
    """How soon a slot is free again when its client leaves, streaming and not."""
    streamed = departures(target, lambda n: talk.leave(target, story(7000 + n), 2000, after=16))
    note(f"  left while streaming: {[round(value) for value in streamed]} ms")
    whole = departures(
        target, lambda n: talk.leave_unstreamed(target, story(8000 + n), 2000, after_s=1.0)
    )
    note(f"  left while waiting: {[round(value) for value in whole]} ms")
    return [
        at_most("slot free after a streaming client leaves", streamed, 100, "ms"),
        at_most("slot free after a waiting client leaves", whole, 100, "ms"),
    ]


def embeddings(ours: Target) -> tuple[Promise, dict[str, object]]:
    """Texts a second, as a multiple of the usual library's at its better number of threads."""
    batch = texts(512)
    cores = os.cpu_count() or 1

    def theirs(threads: int) -> Callable[[int], float]:
        def one(_: int) -> float:
            seconds = torch.ask({"texts": batch, "threads": threads})["seconds"]
            assert isinstance(seconds, float)
            return len(batch) / seconds

        return one

    with torch_peer() as torch:
        torch.ask({"texts": batch[:64], "threads": cores})
        talk.embed(ours, batch[:64])
        mine, one, all_cores = taking_turns(
            ROUNDS, lambda _: talk.embed(ours, batch), theirs(1), theirs(cores)
        )
    rates = {"pop": mine, "torch with 1 thread": one, f"torch with {cores} threads": all_cores}
    for name, values in rates.items():
        note(f"  {name}: {[round(value) for value in values]} texts/s")
    medians = {f"{name}, texts/s": statistics.median(values) for name, values in rates.items()}
    best = max(statistics.median(one), statistics.median(all_cores))
    ratio = statistics.median(mine) / best
    name = "embeddings, of sentence-transformers on torch"
    return at_least(name, [ratio], 1.4, "x"), {**medians, **torch.said}


def target_of(running: Running, key: str, model: str) -> Target:
    """A model of a PoP or a rival, as its clients name it."""
    return Target(str(running.said["url"]), key, model)


def main() -> None:
    """Measure everything and report."""
    threads = max(1, (psutil.cpu_count(logical=False) or 1) - 1)
    promises: list[Promise] = []
    peers: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "models").symlink_to(MODELS)
        options = ("--threads", str(threads), "--slots", str(SLOTS), "--kv-tokens", str(KV_TOKENS))
        weights = next((MODELS / CHAT).glob("*.gguf"))
        bare_options = (str(weights), str(threads), str(SLOTS), str(KV_TOKENS))
        with pop(home, *options) as ours:
            key = str(ours.said["key"])
            chat = target_of(ours, key, CHAT)
            with rival(Path(sys.executable), "llama", *bare_options) as engine:
                bare = target_of(engine, "none", CHAT)
                for streams in (1, SLOTS):
                    note(f"tokens/s at {streams} streams")
                    promise, values = throughput(chat, bare, streams)
                    promises.append(promise)
                    peers[f"streams_{streams}"] = values
                note("time to first token")
                promise, peers["first_token"] = first_token(chat, bare)
                promises.append(promise)
            note("embeddings")
            promise, peers["embeddings"] = embeddings(target_of(ours, key, EMBEDDINGS))
            promises.append(promise)
            served_mb = ours.rss_mb()
        note("departures, on one slot")
        with pop(home, "--threads", str(threads), "--slots", "1", "--models", CHAT) as ours:
            promises += slot_free(target_of(ours, key, CHAT))
        note("memory")
        with pop(home, "--models", "") as ours:
            promises.append(at_most("RSS of a PoP without model", [ours.rss_mb()], 120, "MB"))
        promises.append(
            at_most("RSS of the PoP's own process after serving", [served_mb], 120, "MB")
        )
    print_report("engine", promises, peers, ROUNDS)


if __name__ == "__main__":
    main()
