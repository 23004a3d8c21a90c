"""Small networks and requests for tests of the simulator."""

from pathlib import Path

import msgspec

from littoral.sim.machine import Engine, Job
from littoral.sim.network import Link, Machine, Network, Site, Workload
from littoral.sim.workload import Request

BLOCK = 64
PLAIN = Machine(model="m", prefill_tps=1000, decode_tps=10, slots=2, kv_tokens=64 * 100)


def job(number: int, prompt: int = 1000, answer: int = 11, blocks: tuple[int, ...] = ()) -> Job:
    request = Request(0.0, 0, 0, prompt, answer, blocks)
    request.number = number
    return Job(request, 0)


def engine(**changes: object) -> Engine:
    return Engine(msgspec.structs.replace(PLAIN, **changes), BLOCK)


def drive(machine: Engine, jobs: list[tuple[float, Job]]) -> dict[int, tuple[float, float]]:
    """When each job began and ended; refused ones are left out."""
    began: dict[int, float] = {}
    ended: dict[int, tuple[float, float]] = {}

    def until(end: float) -> None:
        while (now := machine.deadline()) < end:
            first, over = machine.step(now)
            machine.check()
            began.update({one.request.number: now for one in first})
            ended.update({one.request.number: (began[one.request.number], now) for one in over})

    for at, one in jobs:
        until(at)
        machine.take(one, at)
        machine.check()
    until(float("inf"))
    return ended


def network(**load: object) -> Network:
    """Two sites of one zone, one machine each."""
    told = {"turns": 4, "think_s": 5, "system_tokens": 256, "tenants": 3} | load
    return Network(
        (
            Site("here", "eu", 0, 0.3, (PLAIN,)),
            Site("there", "eu", 0, 0.1, (msgspec.structs.replace(PLAIN, prefill_tps=3000),)),
        ),
        (Link(("eu", "eu"), 20, 1e7),),
        msgspec.convert(told, Workload),
    )


def written(folder: Path, text: str) -> Path:
    path = folder / "network.toml"
    path.write_text(text)
    return path
