"""What it costs to choose among PoPs by predicted time, and what it gains.

Fleets are drawn with a seed: links of 0.5 to 150 ms, rates within a factor of ten, queues, full
sketches, a beginning that all of them keep, and conversations that one of them keeps. In the even
fleet all PoPs are alike, so that no bound excludes any. Each round chooses for many requests of
different lengths, some of them the next turns of conversations; its value is the mean of the round.

What it gains is told by a public trace with the beginnings that its prompts share, replayed on
eight engines on paper (stand/fleet.py), beside other ways to choose that see the same records.
"""

import random
import time
from collections.abc import Sequence
from typing import Final

from bench.stand.fleet import POLICIES, arrivals, replay
from bench.stand.report import Promise, at_most, note, print_report, print_table
from bench.stand.running import ROOT
from littoral.routing.candidates import Needs
from littoral.routing.fleet import Fleet, Known, ModelState, PopState
from littoral.routing.predict import Wanted, choose
from littoral.routing.prefix import Sketch, prefixes_of, tokens_of
from littoral.routing.sends import Sends
from littoral.routing.table import Table
from littoral.terms.ids import ModelName, OwnerId, PopId, SiteName, ZoneName
from littoral.terms.values import SECOND, Instant, Kind
from littoral.trust.members import Member

MODEL: Final = ModelName("model")
NEEDS: Final = Needs(Kind.CHAT, "chat.completions", stream=True)
NOW: Final = Instant(1_000 * SECOND)
ROUNDS, REQUESTS = 15, 400
COMMON: Final = b"You are a helpful assistant. " * 40
"""What all conversations begin with: 1,160 bytes."""
TALKS: Final = 60
"""Conversations that each PoP keeps."""
TRACE: Final = ROOT.parent / "shared/data/traces/mooncake_conversation.jsonl"
SPEEDS: Final = (0.7, 1.0, 1.3)
"""Of the trace: at 1.3 the engines would read 70 % of the time if they kept nothing."""
CHOSEN, RIVAL = "predicted time", "least loaded"


def name(number: int) -> PopId:
    """Of one PoP."""
    return PopId(f"pop-{number:016x}")


def talk(number: int, kilobytes: int) -> bytes:
    """The prompt of a conversation."""
    return COMMON + (b"%d: tell me more. " % number * 256)[: kilobytes * 1024]


def pop(number: int, source: random.Random, *, even: bool) -> Known:
    """One PoP with what it says of itself."""
    member = Member(OwnerId("own-1"), ZoneName("zone"), SiteName(f"s{number % 7}"), name(number))
    sketch = Sketch(10_000_000)
    for each in range(TALKS):
        sketch.read(prefixes_of("", MODEL, talk(number * TALKS + each, 2)))
    model = ModelState(
        MODEL,
        (Kind.CHAT,),
        slots=8,
        in_flight=0 if even else source.randrange(12),
        queued_tokens=0 if even else source.randrange(8_000),
        prefill_tps=2_000.0 if even else source.uniform(500, 5_000),
        decode_tps=50.0 if even else source.uniform(15, 150),
        answer_tokens=200.0,
        prefixes=sketch.told(),
    )
    state = PopState(member.pop, 1, 1, url="https://pop", models=(model,))
    return Known(member, state, Instant(NOW - source.randrange(5 * SECOND)))


def prepared(pops: int, *, even: bool = False) -> tuple[Table, list[Wanted], Sends]:
    """A fleet, requests for it, and what was sent already."""
    source = random.Random(pops)
    fleet = Fleet({name(each): pop(each, source, even=even) for each in range(pops)})
    table = Table(MODEL, fleet.pops[name(0)].member)
    links = {each: 0.01 if even else source.uniform(0.0005, 0.15) for each in fleet.pops}
    table.update(fleet, links)
    sends = Sends()
    for _ in range(pops // 4):
        sends.sent(name(source.randrange(pops)), 1_000, NOW)
    wanted = []
    for each in range(REQUESTS):
        old = each % 2
        prompt = talk(source.randrange(pops * TALKS) if old else -each, source.choice((2, 3, 4)))
        wanted.append(Wanted(NEEDS, tokens_of(len(prompt)), prefixes_of("", MODEL, prompt)))
    return table, wanted, sends


def measured(pops: int, *, even: bool = False) -> list[float]:
    """Microseconds of one choice, in each round."""
    table, wanted, sends = prepared(pops, even=even)
    source = random.Random(1)
    spins = [source.getrandbits(64) for _ in wanted]
    rounds = []
    for _ in range(ROUNDS + 1):
        before = time.perf_counter()
        for each, spin in zip(wanted, spins, strict=True):
            choose(table, each, sends, NOW, spin)
        rounds.append((time.perf_counter() - before) / len(wanted) * 1e6)
    note(f"  {pops} PoPs{', all alike' if even else ''}: {sorted(rounds)[ROUNDS // 2]:.1f} µs")
    return rounds[1:]


def updated(pops: int) -> list[float]:
    """Microseconds of an update after one PoP of so many said something new."""
    source = random.Random(pops)
    fleet = Fleet({name(each): pop(each, source, even=False) for each in range(pops)})
    table = Table(MODEL, fleet.pops[name(0)].member)
    table.update(fleet, {})
    rounds = []
    for each in range(ROUNDS):
        changed = pop(each % pops, source, even=False)
        fleet = Fleet({**fleet.pops, changed.member.pop: changed})
        before = time.perf_counter()
        table.update(fleet, {})
        table.view(NEEDS)
        rounds.append((time.perf_counter() - before) * 1e6)
    return rounds


Gains = dict[float, dict[str, tuple[float, float]]]
"""By speed and policy, seconds to the first token: half and 99 of 100 requests have less."""


def gains() -> Gains:
    """All policies at all speeds; nothing if the trace is not here."""
    found: Gains = {}
    for speed in SPEEDS if TRACE.exists() else ():
        trace = arrivals(TRACE, speed)
        found[speed] = {}
        for policy, chooses in POLICIES.items():
            times = sorted(replay(trace, chooses))
            found[speed][policy] = times[len(times) // 2], times[len(times) * 99 // 100]
    rows = [
        (f"{policy}, speed {speed}", *times)
        for speed, policies in found.items()
        for policy, times in policies.items()
    ]
    print_table(("seconds to the first token", "p50", "p99"), rows)
    return found


def costs() -> Sequence[Promise]:
    """What was promised of the time that a choice takes."""
    return (
        at_most("choice among 10 PoPs", measured(10), 15, "µs"),
        at_most("choice among 1,000 PoPs", measured(1_000), 300, "µs"),
        at_most("choice among 1,000 PoPs, all alike", measured(1_000, even=True), 300, "µs"),
        at_most("a record of one of 10 PoPs", updated(10), 200, "µs"),
        at_most("a record of one of 1,000 PoPs", updated(1_000), 10_000, "µs"),
    )


def promised(found: Gains) -> Sequence[Promise]:
    """What was promised of the choice itself."""
    why = "" if found else f"{TRACE.name} is not here (../shared/data/traces)"
    half, most = (
        [policies[CHOSEN][each] / policies[RIVAL][each] for policies in found.values()]
        for each in (0, 1)
    )
    return (
        at_most("p50 to first token, of least loaded's", half, 0.75, "x", why),
        at_most("p99 to first token, of least loaded's", most, 0.85, "x", why),
    )


def main() -> None:
    """Measure, and report."""
    cost = costs()
    found = gains()
    peers: dict[str, object] = {
        f"{policy}, speed {speed}": {"p50_s": round(times[0], 3), "p99_s": round(times[1], 3)}
        for speed, policies in found.items()
        for policy, times in policies.items()
    }
    print_report("routing", (*cost, *promised(found)), peers, ROUNDS)


if __name__ == "__main__":
    main()
