"""One PoP that pulls: what performs a real `PullMachine` in a simulated network.

A chunk's bytes are one word: right, or forged. A PoP checks what comes against the manifest; in a
draft, against what is said by whoever vouches for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.news import News, decoded, encoded
from littoral.delivery.pull import PullMachine
from littoral.delivery.words import (
    ORIGIN,
    Begin,
    Blame,
    Drop,
    Effect,
    Ended,
    Event,
    Fail,
    Fetch,
    Finish,
    Landed,
    Met,
    Moving,
    Parted,
    Replaced,
    Role,
    Seal,
    Sealed,
    SealFailed,
    Spoiled,
    Tell,
    Told,
    Woke,
)
from littoral.sim.clock import Act
from littoral.sim.delivery.net import Stream
from littoral.sim.delivery.outlet import Outlet
from littoral.terms.ids import PopId
from littoral.terms.values import SECOND, Instant

if TYPE_CHECKING:
    from littoral.sim.delivery.world import World

__all__ = ["RIGHT", "Copy", "SimPop"]


@dataclass(frozen=True, slots=True)
class Copy:
    """A chunk as somebody has it."""

    forged: bool = False
    voucher: PopId = ORIGIN
    """Who read it at the origin, if that was another."""


RIGHT = Copy()


class SimPop:
    """See the module docstring."""

    def __init__(
        self, world: "World", pop: PopId, has: ChunkSet, expected: Sequence[PopId]
    ) -> None:
        self.world = world
        self.pop = pop
        self.store: dict[int, Copy] = dict.fromkeys(has, RIGHT)
        self.machine = PullMachine(pop, world.sizes, has, expected)
        self.alive = True
        self.ended: Instant | None = None
        self.failed = ""
        self.blamed: set[PopId] = set()
        self.came_at = world.clock.now()
        """When something last came that was lacking."""
        self.longest = 0
        """Nanoseconds without anything that was lacking."""
        self._outlets: dict[PopId, Outlet] = {}
        self._reads: Outlet | None = None
        """What it reads at the origin, one run after the other."""
        self._active: dict[int, Outlet] = {}
        self._sources: dict[int, PopId] = {}
        self._moved_at: dict[int, int] = {}
        self._wake: Act | None = None

    # --- what happens to it --------------------------------------------------------------------

    def begin(self) -> None:
        """Start pulling."""
        self.came_at = self.world.clock.now()
        self.take(Begin())

    def meet(self, other: "SimPop", role: Role, news: News) -> None:
        """A link is there."""
        self.take(Met(other.pop, role, self._read(news)))

    def hear(self, other: PopId, news: News) -> None:
        """Another says something."""
        self.take(Told(other, self._read(news)))

    def part(self, other: PopId) -> None:
        """A link ends, with all that is on it."""
        outlet = self._outlets.pop(other, None)
        if outlet is not None:
            outlet.stream.close()
        self.take(Parted(other))

    def lose_origin(self) -> None:
        """What the origin is sending never comes, and nobody says so."""
        for fetch, source in self._sources.items():
            if source == ORIGIN and fetch in self._active:
                self._active[fetch].stream.close()

    def die(self) -> None:
        """Its process is gone."""
        self.alive = False
        for outlet in self._outlets.values():
            outlet.stream.close()

    def outlet_to(self, asker: "SimPop") -> Outlet:
        """What sends chunks to one that asks."""
        outlet = self._outlets.get(asker.pop)
        if outlet is None:
            stream = Stream(self.world.net, self.pop, asker.pop)
            outlet = Outlet(
                stream,
                self.world.sizes,
                self.store,
                lambda fetch, chunk: asker.receive(fetch, chunk, self.copy_of(chunk)),
                asker.moving,
            )
            self._outlets[asker.pop] = outlet
        return outlet

    def copy_of(self, chunk: int) -> Copy:
        """A chunk as this PoP sends it."""
        copy = self.store[chunk]
        if self._forges(chunk):
            return Copy(forged=True, voucher=self.pop)
        if copy.voucher == ORIGIN:
            return Copy(copy.forged, self.pop)
        return copy

    def _forges(self, chunk: int) -> bool:
        """In a draft the same lie is told to all: who tells two is found out by comparing."""
        lies = self.world.liars.get(self.pop, 0.0)
        if not lies or (self.world.draft and self.store[chunk].voucher != ORIGIN):
            return False
        chance = self.world.chance
        return (chance.of(f"{chunk}") if self.world.draft else chance).happens(lies)

    def receive(self, fetch: int, chunk: int, copy: Copy) -> None:
        """A chunk is in."""
        world = self.world
        late = fetch not in self._sources
        if not self.alive or (late and (copy.forged or chunk in self.store)):
            return
        if copy.forged and not world.draft:
            world.spoiled += 1
            self.take(Spoiled(fetch, chunk))
            return
        before = self.store.get(chunk)
        if before is None:
            now = world.clock.now()
            self.longest = max(self.longest, now - self.came_at)
            self.came_at = now
        if before is None or self._sources.get(fetch) == ORIGIN:
            self.store[chunk] = copy
        for outlet in self._outlets.values():
            outlet.have(chunk)
        changed = before is not None and before.forged != copy.forged
        voucher = copy.voucher if world.draft else ORIGIN
        self.take(Landed(fetch, chunk, voucher, changed))

    def moving(self, fetch: int) -> None:
        """Part of a chunk is in."""
        now = self.world.clock.now()
        if self.alive and now - self._moved_at.get(fetch, -SECOND) >= SECOND // 2:
            self._moved_at[fetch] = now
            self.take(Moving(fetch))

    def end(self, fetch: int, error: str | None) -> None:
        """A fetch is over."""
        if self._sources.pop(fetch, None) is not None:
            self.take(Ended(fetch, error))

    def take(self, event: Event) -> None:
        """Let the machine step, and do what it says."""
        if not self.alive or self.machine.done:
            return
        world = self.world
        effects = self.machine.step(event, world.clock.now())
        if world.checks:
            self.machine.check()
        for effect in effects:
            self._perform(effect)
        self._set_alarm()

    # --- what it does --------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        world = self.world
        match effect:
            case Fetch(number, source, chunks, at_once):
                assert source not in self.blamed or source == ORIGIN, "who lies is not asked again"
                world.story(f"{self.pop} asks {source or 'origin'} {list(chunks.runs())}")
                self._sources[number] = source
                world.later(lambda: self._ask(number, source, chunks, at_once=at_once))
            case Drop(number):
                self._drop(number)
            case Tell(news):
                world.tell(self, news)
            case Blame(source, chunk):
                world.story(f"{self.pop} blames {source or 'origin'} for {chunk}")
                self.blamed.add(source)
            case Replaced(source):
                world.story(f"{self.pop} replaces {source or 'origin'}")
                world.replaced.append((self.pop, source, world.clock.now()))
            case Seal():
                world.later(self._seal)
            case Finish():
                world.story(f"{self.pop} has it all")
                self.ended = world.clock.now()
            case Fail(reason):
                world.story(f"{self.pop} gives up: {reason}")
                self.failed = reason
            case _:
                assert_never(effect)

    def _ask(self, fetch: int, source: PopId, chunks: ChunkSet, *, at_once: bool) -> None:
        world = self.world
        if not self.alive or fetch not in self._sources:
            return
        if source == ORIGIN:
            outlet = world.origin_outlet(self) if at_once else self._reads_in_turn()
        else:
            other = world.pops[source]
            if not other.alive or source not in world.linked(self.pop):
                world.later(lambda: self.end(fetch, "it is gone"))
                return
            outlet = other.outlet_to(self)
        self._active[fetch] = outlet
        outlet.ask(fetch, chunks)

    def _reads_in_turn(self) -> Outlet:
        if self._reads is None or self._reads.stream.closed:
            self._reads = self.world.origin_outlet(self)
        return self._reads

    def _drop(self, fetch: int) -> None:
        outlet = self._active.pop(fetch, None)
        source = self._sources.pop(fetch, None)
        if outlet is not None and source == ORIGIN and outlet is not self._reads:
            outlet.stream.close()
        elif outlet is not None:
            self.world.later(lambda: outlet.drop(fetch))

    def _seal(self) -> None:
        wrong = {self.world.file_of(chunk) for chunk, copy in self.store.items() if copy.forged}
        for first, end in sorted(wrong):
            self.take(SealFailed(first, end))
        if not wrong:
            self.take(Sealed())

    def _set_alarm(self) -> None:
        if self._wake is not None:
            self._wake.call_off()
            self._wake = None
        moment = self.machine.deadline()
        if moment is not None:
            self._wake = self.world.clock.at(moment, lambda: self.take(Woke()))

    def _read(self, news: News) -> News:
        if not self.world.checks:
            return news
        return decoded(encoded(news), len(self.world.sizes))
