"""Where tests run PoPs in a fabric: a real one on this machine's loopback, or a simulated one.

Run as a program it is one PoP in a process of its own, so that it can be killed: it says a state
each second until then.
"""

import asyncio
import contextlib
import itertools
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import uvloop

from littoral.adapters.clock import SystemClock
from littoral.adapters.fabric import FabricPlace, ZenohNames
from littoral.adapters.identity import verify
from littoral.node.fabric.view import FleetView
from littoral.routing.fleet import PopState
from littoral.sim.clock import VirtualClock
from littoral.sim.names import Air, Weather
from littoral.terms.facts import Fact
from littoral.terms.heard import Heard
from littoral.terms.ports import Clock, Names
from littoral.terms.values import SECOND
from littoral.trust.records import RecordKind
from tests.fabric_made import Pop, check
from tests.owners import TestOwner

WAIT_S = 30
"""Far longer than anything takes, on any machine."""
ROOT = Path(__file__).parent.parent


class Standing:
    """One PoP in the fabric, with its view of the others."""

    def __init__(self, pop: Pop, names: Names, clock: Clock, boot: int = 1) -> None:
        self.pop = pop
        self.names = names
        self.boot = boot
        self.facts: list[Fact] = []
        self._clock = clock
        self._seqs = itertools.count(1)
        self.view = FleetView(
            verify=verify,
            check=check,
            admissible=lambda _: True,
            observe=self.facts.append,
            keeps=lambda _: False,
            passed_on=lambda _: None,
        )

    async def open(self) -> None:
        await self.names.open(self.hear)

    async def enter(self, *, early: bool = False) -> None:
        """Be in the fabric, and say who this is; or, early, the other way round."""
        if early:
            self.introduce()
        await self.open()
        if not early:
            self.introduce()

    def hear(self, heard: Sequence[Heard]) -> None:
        self.view.hear(heard, self._clock.now(), self._clock.unix_ns() // SECOND)

    def introduce(self) -> None:
        """Say who this is, and a first state."""
        self.names.say(self.pop.topic(RecordKind.CARD), self.pop.card(1, boot=self.boot))
        self.say()

    def say(self, *models: str) -> int:
        """Say a new state; its number."""
        seq = next(self._seqs)
        self.names.say(self.pop.topic(), self.pop.state(seq, boot=self.boot, models=models))
        return seq

    def state_of(self, pop: Pop) -> PopState | None:
        known = self.view.fleet.pops.get(pop.id)
        return known.state if known is not None else None

    def seq_of(self, pop: Pop) -> int:
        """The number of the latest state of this PoP that came here; 0 without one."""
        state = self.state_of(pop)
        return state.seq if state is not None else 0

    def sees(self, pop: Pop) -> bool:
        known = self.view.fleet.pops.get(pop.id)
        return known is not None and known.alive


class SimStand:
    """A simulated fabric with bad weather, in which time passes as fast as it can."""

    def __init__(self) -> None:
        chance = Random(7).random
        self.clock = VirtualClock(chance)
        self.air = Air(self.clock, chance, Weather(lost=0.2, twice=0.2))

    async def start(self, number: int, *, boot: int = 1, early: bool = False) -> Standing:
        pop = Pop(number)
        standing = Standing(pop, self.air.names(pop.id), self.clock, boot)
        await standing.enter(early=early)
        return standing

    async def start_apart(self, number: int) -> Pop:
        return (await self.start(number)).pop

    async def kill(self, pop: Pop) -> None:
        self.air.crash(pop.id)

    async def renew(self, standing: Standing) -> None:
        await standing.names.reopen()

    async def until(self, done: Callable[[], bool]) -> None:
        until = self.clock.now() + WAIT_S * SECOND
        while not done():
            assert self.clock.step(type(self.clock.now())(until)), "too late"

    async def end(self) -> None:
        """Nothing is left of it anyway."""


class RealStand:
    """PoPs on this machine's loopback, with certificates of one owner; the first is the seed."""

    def __init__(self, folder: Path) -> None:
        self.owner = TestOwner(folder)
        self.clock = SystemClock()
        self._seeds: tuple[str, ...] = ()
        self._standing: list[Standing] = []
        self._apart: dict[str, asyncio.subprocess.Process] = {}

    def place(self, pop: Pop, owner: TestOwner | None = None) -> FabricPlace:
        """A place on a free port, with a new certificate."""
        owner = owner or self.owner
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        chain, key = owner.member(pop.name())
        return FabricPlace("127.0.0.1", port, chain, key, owner.roots, self._seeds)

    async def start(
        self,
        number: int,
        *,
        boot: int = 1,
        early: bool = False,
        place: FabricPlace | None = None,
    ) -> Standing:
        pop = Pop(number)
        place = place or self.place(pop)
        standing = Standing(pop, ZenohNames(pop.id, place), self.clock, boot)
        self._standing.append(standing)
        await standing.enter(early=early)
        self._seeds = self._seeds or (f"127.0.0.1:{place.port}",)
        return standing

    async def start_apart(self, number: int) -> Pop:
        pop = Pop(number)
        place = self.place(pop)
        text = json.dumps(
            [number, place.port, *map(str, (place.chain, place.key, place.roots)), self._seeds]
        )
        self._apart[pop.id] = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.fabric_stand", text), cwd=ROOT, env=dict(os.environ)
        )
        return pop

    async def kill(self, pop: Pop) -> None:
        process = self._apart.pop(pop.id)
        process.kill()
        await process.wait()

    async def renew(self, standing: Standing) -> None:
        self.owner.member(standing.pop.name())
        await standing.names.reopen()

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not done():
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        for pop in list(self._apart):
            with contextlib.suppress(ProcessLookupError):
                self._apart[pop].kill()
            await self._apart.pop(pop).wait()
        for standing in reversed(self._standing):
            await standing.names.close()


async def _stand_apart(text: str) -> None:
    number, port, chain, key, roots, seeds = json.loads(text)
    place = FabricPlace("127.0.0.1", port, Path(chain), Path(key), Path(roots), tuple(seeds))
    pop = Pop(number)
    standing = Standing(pop, ZenohNames(pop.id, place), SystemClock())
    await standing.open()
    standing.introduce()
    while True:
        await asyncio.sleep(1)
        standing.say()


if __name__ == "__main__":
    uvloop.run(_stand_apart(sys.argv[1]))
