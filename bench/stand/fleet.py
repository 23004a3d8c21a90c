"""PoPs and gateways on paper, for comparing ways to choose among them on a trace of requests.

An engine reads one prompt at a time, in order of arrival, writes all answers at its own rate, has
so many slots, and keeps the prompts read last. So all that becomes of a request is known as it
arrives. Gateways choose by records that PoPs publish every PERIOD_S, and by what they have sent
since.
"""

import heapq
import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from littoral.routing.candidates import Needs
from littoral.routing.fleet import Fleet, Known, ModelState, PopState
from littoral.routing.predict import Wanted, choose
from littoral.routing.prefix import Sketch, prefixes_of
from littoral.routing.sends import Send, Sends
from littoral.routing.table import Table
from littoral.terms.ids import ModelName, OwnerId, PopId, SiteName, ZoneName
from littoral.terms.values import SECOND, Instant, Kind
from littoral.trust.members import Member

__all__ = ["POLICIES", "Arrival", "arrivals", "replay"]

MODEL: Final = ModelName("model")
NEEDS: Final = Needs(Kind.CHAT, "chat.completions", stream=True)
PERIOD_S: Final = 2.0
GATEWAYS: Final = 4
BLOCK_TOKENS, BLOCK_BYTES = 512, 2_048
ENGINES: Final = ((12_000.0, 60.0), (10_000.0, 50.0), (8_000.0, 50.0), (8_000.0, 40.0)) * 2
"""Tokens a second that each reads and writes."""
SLOTS, KEPT_TOKENS = 16, 600_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of the trace."""

    at_s: float
    tokens: int
    answer: int
    blocks: tuple[int, ...]
    prefixes: tuple[int, ...]


def arrivals(path: Path, speed: float) -> list[Arrival]:
    """The trace, gone through so many times as fast."""
    found = []
    for line in map(json.loads, path.open()):
        blocks = tuple(line["hash_ids"])
        prompt = b"".join((b"%d " % block * BLOCK_BYTES)[:BLOCK_BYTES] for block in blocks)
        prefixes = prefixes_of("", MODEL, prompt[: line["input_length"] * 4])
        at_s = line["timestamp"] / 1_000 / speed
        found.append(Arrival(at_s, line["input_length"], line["output_length"], blocks, prefixes))
    return found


@dataclass(slots=True)
class Engine:
    """One PoP's."""

    number: int
    reads: float
    writes: float
    kept: dict[int, None] = field(default_factory=dict)
    """Blocks, from the one used longest ago."""
    sketch: Sketch = field(default_factory=lambda: Sketch(KEPT_TOKENS))
    slots: list[float] = field(default_factory=list)
    """When each that is at work is free."""
    idle_at: float = 0.0
    """When it has read all prompts."""
    work: list[tuple[float, float, float, int]] = field(default_factory=list)
    """Begin, first token, end and tokens to read, of what is not over."""

    @property
    def pop(self) -> PopId:
        """Its name."""
        return PopId(f"pop-{self.number:016x}")

    def take(self, one: Arrival, now: float) -> tuple[float, float]:
        """When the first token of its answer comes, and the last."""
        free = now if len(self.slots) < SLOTS else heapq.heappop(self.slots)
        begin = max(now, free, self.idle_at)
        known = len(list(itertools.takewhile(self.kept.__contains__, one.blocks)))
        to_read = max(1, one.tokens - known * BLOCK_TOKENS)
        first = self.idle_at = begin + to_read / self.reads
        end = first + one.answer / self.writes
        heapq.heappush(self.slots, end)
        for block in reversed(one.blocks):
            self.kept.pop(block, None)
            self.kept[block] = None
        while len(self.kept) * BLOCK_TOKENS > KEPT_TOKENS:
            del self.kept[next(iter(self.kept))]
        self.sketch.read(one.prefixes)
        self.work.append((begin, first, end, to_read))
        return first, end

    def record(self, now: float, number: int) -> Known:
        """What it says of itself."""
        while self.slots and self.slots[0] <= now:
            heapq.heappop(self.slots)
        self.work = [each for each in self.work if each[2] > now]
        begun = sum(begin <= now for begin, *_ in self.work)
        queued = sum(
            to_read if begin > now else int((first - now) * self.reads)
            for begin, first, _, to_read in self.work
            if first > now
        )
        said = ModelState(
            MODEL,
            (Kind.CHAT,),
            slots=SLOTS,
            in_flight=begun,
            waiting=len(self.work) - begun,
            queued_tokens=queued,
            prefill_tps=self.reads,
            decode_tps=self.writes,
            answer_tokens=340.0,
            prefixes=self.sketch.told(),
        )
        site = SiteName(f"s{self.number}")
        member = Member(OwnerId("own-1"), ZoneName("zone"), site, self.pop)
        state = PopState(self.pop, 1, number + 1, url="https://pop", models=(said,))
        return Known(member, state, Instant(int(now * SECOND)))


class Gateway:
    """Where requests arrive. It knows records, and what it has sent itself."""

    def __init__(self, number: int, pops: Sequence[PopId]) -> None:
        source = random.Random(number)
        self.links = {pop: source.choice((0.001, 0.02, 0.06)) for pop in pops}
        here = PopId(f"pop-{1_000 + number:016x}")
        self.table = Table(
            MODEL, Member(OwnerId("own-1"), ZoneName("zone"), SiteName("here"), here)
        )
        self.sends = Sends()
        self.turn = itertools.count(number)
        self.source = source
        self._ends: list[tuple[float, int, bool, Send]] = []
        self._count = itertools.count()

    def hear(self, fleet: Fleet) -> None:
        """New records of all."""
        self.table.update(fleet, self.links)
        for pop, known in fleet.pops.items():
            self.sends.heard(pop, known.heard_at, self.links[pop])

    def pass_time(self, now: float) -> None:
        """Take note of answers that began or ended."""
        while self._ends and self._ends[0][0] <= now:
            _, _, over, send = heapq.heappop(self._ends)
            (self.sends.ended if over else self.sends.began)(send)

    def sent(self, pop: PopId, tokens: int, now: float, first: float, end: float) -> None:
        """A request was sent, and this will become of it."""
        send = self.sends.sent(pop, tokens, Instant(int(now * SECOND)))
        for at, over in ((first, False), (end, True)):
            heapq.heappush(self._ends, (at, next(self._count), over, send))

    def load(self, pop: PopId) -> int:
        """Requests at a PoP, as far as is known here."""
        said = self.table.candidates[pop].model
        own = self.sends.own.get(pop)
        return said.in_flight + said.waiting + (own.requests if own else 0)


Policy = Callable[[Gateway, Arrival, float], PopId]


def round_robin(gateway: Gateway, _one: Arrival, _now: float) -> PopId:
    """Each in turn."""
    pops = list(gateway.links)
    return pops[next(gateway.turn) % len(pops)]


def least_loaded(gateway: Gateway, _one: Arrival, _now: float) -> PopId:
    """The fewest requests, those just sent from here among them."""
    return min(gateway.links, key=lambda pop: (gateway.load(pop), gateway.source.random()))


def most_kept(gateway: Gateway, one: Arrival, _now: float) -> PopId:
    """The one that keeps most of the prompt; the least loaded if none does."""
    kept = gateway.table.holders.each(one.prefixes, gateway.links)
    if not kept:
        return least_loaded(gateway, one, _now)
    return max(kept, key=lambda pop: (kept[pop], -gateway.load(pop)))


def soonest(gateway: Gateway, one: Arrival, now: float) -> PopId:
    """Ours."""
    wanted = Wanted(NEEDS, one.tokens, one.prefixes)
    spin = gateway.source.getrandbits(64)
    return choose(gateway.table, wanted, gateway.sends, Instant(int(now * SECOND)), spin)[0]


POLICIES: Final[dict[str, Policy]] = {
    "round robin": round_robin,
    "least loaded": least_loaded,
    "most of the prompt kept": most_kept,
    "predicted time": soonest,
}


def replay(trace: Sequence[Arrival], policy: Policy) -> Iterator[float]:
    """Seconds to the first token of each request."""
    engines = {each.pop: each for each in (Engine(n, *rates) for n, rates in enumerate(ENGINES))}
    gateways = [Gateway(number, list(engines)) for number in range(GATEWAYS)]
    records = itertools.count()
    told_at = -PERIOD_S
    for number, one in enumerate(trace):
        while told_at + PERIOD_S <= one.at_s:
            told_at += PERIOD_S
            count = next(records)
            known = {pop: each.record(told_at, count) for pop, each in engines.items()}
            for gateway in gateways:
                gateway.pass_time(told_at)
                gateway.hear(Fleet(known))
        gateway = gateways[number % GATEWAYS]
        gateway.pass_time(one.at_s)
        pop = policy(gateway, one, one.at_s)
        half = gateway.links[pop] / 2
        first, end = engines[pop].take(one, one.at_s + half)
        kept = gateway.table.holders.each(one.prefixes, [pop]).get(pop, 0)
        gateway.sent(pop, max(0, one.tokens - kept), one.at_s, first + half, end + half)
        yield first + half - one.at_s
