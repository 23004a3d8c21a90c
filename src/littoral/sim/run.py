"""The event loop of a simulated network: one policy, a virtual clock, one core.

A request comes to the gateway of its client's site, which chooses a machine by what it knows and
sends it there: half a round trip, and the prompt's bytes at the link's rate. There it waits, is
read and answered (machine.py); each token is seen at the gateway half a round trip later. A full
machine says so, and another one is chosen, `attempts` in all.

What is left out: links carry any number of prompts side by side, nothing fails, clients wait for
ever and ask nothing again, choosing takes no time, and the client is where its gateway is.

Rules
- The same network, hours, policy and seed give the same report, to the last digit.
- Every request ends exactly once, answered or refused: `Run.check` asserts it.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count

from littoral.routing.sends import Send
from littoral.sim.chance import source
from littoral.sim.gateway import Cuts, Pop, View, instant
from littoral.sim.machine import Engine, Job
from littoral.sim.network import Network
from littoral.sim.policies import POLICIES
from littoral.sim.report import Report, SiteReport, Tally
from littoral.sim.workload import Request, block_tokens, requests, windows
from littoral.terms.ids import OwnerId, PopId, SiteName, ZoneName
from littoral.trust.members import Member

__all__ = ["Progress", "Run", "simulate"]

Progress = Callable[[float], None]
"""Takes the part of the simulated time that is over, from 0 to 1."""

_OWNER = OwnerId("own-0000000000000000")
_TOLD = 1000
"""Requests from one word of progress to the next."""


def simulate(
    network: Network, policy: str, seed: int, hours: float, progress: Progress = lambda _: None
) -> Report:
    """Run a network through so many hours with one policy.

    Args:
        network: as `read_network` gives it; each machine has its model (`placed`).
        policy: one of POLICIES.
        seed: of all chance.
        hours: of the virtual clock.
        progress: told now and then.
    """
    assert not network.open()
    run = Run(network, policy, seed, hours)
    for request in requests(network, seed, hours):
        if request.number % _TOLD == 0:
            progress(min(request.at / 3600 / hours, 1.0))
        run.until(request.at)
        run.arrive(request)
    run.until(math.inf)
    run.check()
    return run.report()


class _Way:
    """A request that was sent, until its answer is over at the gateway."""

    __slots__ = ("job", "one_way_s", "prefixes", "send", "view")

    def __init__(self, job: Job, view: View, prefixes: Sequence[int], send: Send) -> None:
        self.job = job
        self.view = view
        self.prefixes = prefixes
        self.send = send
        self.one_way_s = 0.0


_Act = Callable[[float, "_Way | int"], None]


class Run:
    """All that happens, in order of time."""

    def __init__(self, network: Network, policy: str, seed: int, hours: float) -> None:
        self._network = network
        self._hours = hours
        self._seed = seed
        self._name = policy
        self._policy = POLICIES[policy](source(seed, policy))
        self._cuts = Cuts(block_tokens(network))
        self._bytes_per_s: list[dict[int, float]] = []
        self._views: dict[tuple[int, int], View] = {}
        self._pops = self._made()
        self._heard_by_all_s = self._joined()
        self._tallies = [Tally() for _ in network.site]
        self._due: list[tuple[float, int, _Act, _Way | int]] = []
        self._order = count()
        self._wakes = [math.inf] * len(self._pops)
        self._ways: dict[int, _Way] = {}
        """By request number: those that a machine has."""
        self._arrived = self._ended = 0
        self.now = 0.0

    def _made(self) -> list[Pop]:
        size = block_tokens(self._network)
        return [
            Pop(Engine(spec, size), _member(self._network, place, f"{place}/{n}"), place)
            for place, site in enumerate(self._network.site)
            for n, spec in enumerate(site.machine)
        ]

    def _joined(self) -> float:
        """Make what each gateway knows of each model; the longest time that news takes."""
        models = self._network.models()
        longest = 0.0
        for place, here in enumerate(self._network.site):
            ways = {}
            for other, there in enumerate(self._network.site):
                link = self._network.path(here, there)
                if link is not None:
                    ways[other] = link
                    longest = max(longest, link.rtt_ms / 2000)
            self._bytes_per_s.append({site: link.bytes_per_s for site, link in ways.items()})
            member = _member(self._network, place, f"{place}/gateway")
            for number, model in enumerate(models):
                pops = [
                    (n, pop)
                    for n, pop in enumerate(self._pops)
                    if pop.site in ways and pop.engine.spec.model == model
                ]
                if pops:
                    delays = [ways[pop.site].rtt_ms / 2000 for _, pop in pops]
                    again_s = self._network.publish_at_least_s
                    view = View(len(self._views), member, pops, delays, again_s)
                    self._views[place, number] = view
        return longest

    def until(self, end: float) -> None:
        """Let everything happen that is due before a moment."""
        due = self._due
        while due and due[0][0] < end:
            self.now, _, act, what = heappop(due)
            act(self.now, what)

    def arrive(self, request: Request) -> None:
        """A client sends a request now."""
        self._arrived += 1
        self.now = request.at
        job = Job(request, -1)
        view = self._views[request.site, request.model]
        prefixes = self._cuts.of(request) if self._policy.wants_prefixes else ()
        self._send(request.at, job, view, prefixes)

    def check(self) -> None:
        """Assert what always holds once nothing is due any more."""
        assert not self._due
        assert self._arrived == self._ended
        assert not self._ways
        for view in self._views.values():
            view.sends.check()
            assert not view.sends.own
        for pop in self._pops:
            pop.engine.check()
            assert not pop.engine.in_flight
            assert not pop.engine.waiting

    def _at(self, when: float, act: _Act, what: "_Way | int") -> None:
        heappush(self._due, (when, next(self._order), act, what))

    def _send(self, now: float, job: Job, view: View, prefixes: Sequence[int]) -> None:
        request = job.request
        view.look(now)
        place = None
        if len(job.tried) < self._network.attempts:
            place = self._policy.choose(view, request, prefixes, job.tried, now)
        if place is None:
            self._ended += 1
            if request.counted:
                self._tallies[request.site].refused += 1
            return
        job.tried = (*job.tried, place)
        job.machine, pop = view.pops[place]
        unread = max(request.prompt_tokens - view.known[place].kept_tokens(prefixes), 0)
        send = view.sends.sent(pop.member.pop, unread, instant(now))
        way = _Way(job, view, prefixes, send)
        way.one_way_s = view.one_way_s[place]
        size = request.prompt_tokens * self._network.bytes_per_token
        if pop.site != request.site and request.counted:
            self._tallies[request.site].between += size
        takes = way.one_way_s + size / self._bytes_per_s[request.site][pop.site]
        self._at(now + takes, self._reach, way)

    def _reach(self, now: float, way: "_Way | int") -> None:
        assert isinstance(way, _Way)
        job = way.job
        engine = self._pops[job.machine].engine
        if not engine.take(job, now):
            self._at(now + way.one_way_s, self._back, way)
            return
        self._ways[job.request.number] = way
        self._changed(now, job.machine)

    def _back(self, now: float, way: "_Way | int") -> None:
        assert isinstance(way, _Way)
        way.view.sends.ended(way.send)
        self._send(now, way.job, way.view, way.prefixes)

    def _wake(self, now: float, number: "_Way | int") -> None:
        assert isinstance(number, int)
        if self._wakes[number] != now:
            return  # it was put off, or forward
        self._wakes[number] = math.inf
        pop = self._pops[number]
        began, ended = pop.engine.step(now)
        for job in began:
            way = self._ways[job.request.number]
            if way.prefixes:
                pop.read(way.prefixes)
            self._at(now + way.one_way_s, self._begin, way)
        for job in ended:
            pop.answered(job.request.answer_tokens)
            way = self._ways.pop(job.request.number)
            self._at(now + way.one_way_s, self._end, way)
        self._changed(now, number)

    def _begin(self, now: float, way: "_Way | int") -> None:
        assert isinstance(way, _Way)
        del now
        way.view.sends.began(way.send)

    def _end(self, now: float, way: "_Way | int") -> None:
        assert isinstance(way, _Way)
        way.view.sends.ended(way.send)
        self._ended += 1
        job, request = way.job, way.job.request
        if not request.counted:
            return
        tally = self._tallies[request.site]
        first_s = job.began_at + way.one_way_s - request.at
        tally.answer(request, first_s, now - request.at, job.cached_tokens)
        tally.late += first_s > self._network.late_s
        if self._pops[job.machine].site != request.site:
            tally.elsewhere += 1
            tally.between += request.answer_tokens * self._network.answer_bytes_per_token

    def _changed(self, now: float, number: int) -> None:
        """A machine has something new to do, and something new to tell."""
        pop = self._pops[number]
        when = pop.engine.deadline()
        if when != self._wakes[number]:
            self._wakes[number] = when
            if when < math.inf:
                self._at(max(when, now), self._wake, number)
        if not pop.due:
            pop.due = True
            when = max(now, pop.newest.at + self._network.publish_every_s)
            self._at(when, self._publish, number)

    def _publish(self, now: float, number: "_Way | int") -> None:
        assert isinstance(number, int)
        pop = self._pops[number]
        pop.due = False
        if not pop.engine.warm:
            pop.restarted()
        pop.publish(now, self._heard_by_all_s)

    def report(self) -> Report:
        """What came of it."""
        simulated_s = sum(end - start for start, end in windows(self._network, self._hours))
        loads, load = self._parts(
            simulated_s, lambda engine: (engine.slot_s, float(engine.spec.slots))
        )
        readings, reading = self._parts(
            simulated_s, lambda engine: (engine.read_tokens, engine.spec.prefill_tps)
        )
        total = Tally()
        sites: list[SiteReport] = []
        for place, tally in enumerate(self._tallies):
            total.add(tally)
            name = self._network.site[place].name
            sites.append(tally.report(name, loads[place], readings[place]))
        return Report(
            policy=self._name,
            seed=self._seed,
            simulated_hours=round(simulated_s / 3600, 3),
            total=total.report("all", load, reading),
            load_max_over_mean=round(max(loads) / load, 6) if load else 0.0,
            reading_max_over_mean=round(max(readings) / reading, 6) if reading else 0.0,
            sites=tuple(sites),
        )

    def _parts(
        self, simulated_s: float, of: Callable[[Engine], tuple[float, float]]
    ) -> tuple[list[float], float]:
        """How much of what its machines can do each site has done, and all sites together.

        Args:
            simulated_s: seconds.
            of: what a machine has done, and the most that it can do in a second.
        """
        done = [0.0] * len(self._network.site)
        most = [0.0] * len(self._network.site)
        for pop in self._pops:
            did, could = of(pop.engine)
            done[pop.site] += did
            most[pop.site] += could * simulated_s
        parts = [round(did / can, 6) if can else 0.0 for did, can in zip(done, most, strict=True)]
        return parts, round(sum(done) / sum(most), 6)


def _member(network: Network, place: int, purpose: str) -> Member:
    site = network.site[place]
    name = hashlib.sha256(purpose.encode()).hexdigest()[:16]
    return Member(_OWNER, ZoneName(site.zone), SiteName(site.name), PopId(f"pop-{name}"))
