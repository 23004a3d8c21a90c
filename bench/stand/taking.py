"""Texts into a collection, beside a library that only embeds them.

Each round takes texts that nobody has seen, as a file of records, by `littoral memory add` into one
collection that grows; then the same texts are embedded by torch. Ours is everything: the command's
own start, reading, the requests, embedding, the truth on disk and its index; afterwards the last
text of the round is found by its meaning. Torch's is the call that encodes, the model being loaded.

CPU is that of the command with its reader, and of the PoP with its worker.
"""

import json
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from bench.stand.cores import processes_of
from bench.stand.embedding import texts_of, why_absent
from bench.stand.native import StandError
from bench.stand.ours import LITTORAL
from bench.stand.parts import Cell, Part
from bench.stand.report import at_least, note
from bench.stand.running import ROOT, Running, pop
from bench.stand.talk import Target
from bench.stand.torch_peer import torch_peer, why_no_torch

__all__ = ["taking"]

MODEL: Final = "all-minilm-l6-v2"
NAME: Final = "corpus"
WARM: Final = 64
LEAST: Final = 1.4
CPU: Final = "texts taken a second of CPU, of torch's"
WALL: Final = "texts taken a second, of torch's"


@dataclass(slots=True)
class _Rates:
    """Of each round."""

    wall: list[float]
    cpu: list[float]

    def add(self, texts: int, wall_s: float, cpu_s: float) -> None:
        self.wall.append(texts / wall_s)
        self.cpu.append(texts / cpu_s)


def taking(folder: Path, rounds: int, texts: int) -> Part:
    """Take so many texts in each round, and have torch embed them.

    Args:
        folder: for the PoP's home and the files.
        rounds: how many.
        texts: of each.
    """
    why = why_absent() or why_no_torch()
    if why:
        return Part([at_least(name, [], LEAST, "x", why) for name in (CPU, WALL)])
    everything = texts_of("documents")
    if len(everything) < WARM + rounds * texts:
        raise StandError(f"there are {len(everything)} texts, too few for so many rounds")
    home = folder / "home"
    home.mkdir()
    (home / "models").symlink_to(ROOT / ".models/models")
    threads = sorted({1, os.cpu_count() or 1})
    theirs = {f"torch, threads: {number}": number for number in threads}
    rates = {name: _Rates([], []) for name in ("littoral", *theirs)}
    with torch_peer() as torch, pop(home, "--models", MODEL) as running:
        for number in theirs.values():
            torch.ask({"texts": everything[:WARM], "threads": number})
        _ours(running, home, folder / "warm.jsonl", everything[:WARM])
        for turn in range(rounds):
            note(f"texts into a collection: round {turn + 1} of {rounds}")
            some = everything[WARM + turn * texts :][:texts]
            names = list(rates)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                if name in theirs:
                    said = torch.ask({"texts": some, "threads": theirs[name]})
                    took = (float(str(said["seconds"])), float(str(said["cpu_s"])))
                else:
                    took = _ours(running, home, folder / f"{turn}.jsonl", some)
                rates[name].add(len(some), *took)
                note(f"  {name}: {took[0]:.2f} s, {took[1]:.2f} s of CPU")
    return _part(rates, torch.said)


def _part(rates: dict[str, _Rates], said: dict[str, object]) -> Part:
    ours = rates["littoral"]
    others = [each for name, each in rates.items() if name != "littoral"]
    cpu = statistics.median(ours.cpu) / max(statistics.median(each.cpu) for each in others)
    wall = statistics.median(ours.wall) / max(statistics.median(each.wall) for each in others)
    rows: list[Sequence[Cell]] = [
        (name, statistics.median(each.cpu), statistics.median(each.wall))
        for name, each in rates.items()
    ]
    figures: dict[str, object] = {
        name: {"texts_per_cpu_s": _short(each.cpu), "texts_per_s": _short(each.wall)}
        for name, each in rates.items()
    }
    return Part(
        [at_least(CPU, [cpu], LEAST, "x"), at_least(WALL, [wall], LEAST, "x")],
        ("texts", "a second of CPU", "a second"),
        rows,
        {**figures, **said},
    )


def _ours(running: Running, home: Path, file: Path, texts: Sequence[str]) -> tuple[float, float]:
    """Seconds by the clock and of CPU.

    Raises:
        StandError: not all were taken, or what was taken is not found.
    """
    lines = [json.dumps({"id": f"{file.stem}-{n}", "text": text}) for n, text in enumerate(texts)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ["memory", "add", NAME, str(file), "--home", str(home), "--json"]
    before_s, began_s = _cpu_s(running.process.pid), time.perf_counter()
    done = subprocess.run([LITTORAL, *words], check=False, capture_output=True, text=True)
    took_s = time.perf_counter() - began_s
    cpu_s = _cpu_s(running.process.pid) - before_s
    if done.returncode:
        raise StandError(f"`littoral memory add` failed: {done.stderr[-300:]}")
    target = Target(str(running.said["url"]), str(running.said["key"]), MODEL)
    body = {"query": {"type": "like", "text": texts[-1]}, "limit": 5}
    with target.send(f"/v1/memory/{NAME}/search", body) as response:
        found = [hit["record"]["text"] for hit in json.loads(response.read())["hits"]]
    if texts[-1] not in found:
        raise StandError("the last text that was taken is not found")
    return took_s, cpu_s


def _cpu_s(pid: int) -> float:
    """Of the PoP and its workers, and of all commands that have ended; ended threads included."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = spent.ru_utime + spent.ru_stime
    for each in processes_of(pid):
        times = psutil.Process(each).cpu_times()
        total += times.user + times.system
    return total


def _short(values: Sequence[float]) -> list[float]:
    return [round(value, 1) for value in values]
