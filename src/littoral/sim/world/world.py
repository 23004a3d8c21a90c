"""A world from a seed: PoPs in sites, clients, faults; then rest, and what must hold in the end.

    0 s          PoPs start
    2 - 40 s     faults, and clients all along
    40 s         faults end, everything is mended
    58 s         clients ask every PoP for every model, one after another: all are answered
    then         nobody says anything new, and all is looked at

See docs/worlds.md. All chance is drawn from the seed, so the same seed tells the same story.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from littoral.placement.words import PoolBounds
from littoral.sim.clock import VirtualClock
from littoral.sim.names import Air
from littoral.sim.world import checks
from littoral.sim.world.broken import BrokenError
from littoral.sim.world.chance import Chance
from littoral.sim.world.client import Client, Outcome
from littoral.sim.world.engine import Speed
from littoral.sim.world.faults import Faults
from littoral.sim.world.hearing import Notary
from littoral.sim.world.house import Housed
from littoral.sim.world.identity import Keys, Owner
from littoral.sim.world.links import Links
from littoral.sim.world.pop import Pop, Surroundings
from littoral.sim.world.says import Request
from littoral.sim.world.story import Story
from littoral.terms.ids import KeyId, ModelName, PopId
from littoral.terms.values import SECOND, Caller, KeyLimits, RelayPolicy

__all__ = ["Ended", "World"]

_FAULTS_S: Final = (2.0, 39.0)
_CLIENTS_S: Final = (0.5, 40.0)
_REST_S: Final = 40.0
_PROBES_S: Final = 58.0
_LIMITS_S: Final = 62.0
"""Until nothing that was spent before counts against a limit by the minute."""
_PROBE_EVERY_S: Final = 0.2
_BOUND_S: Final = 12.0
"""In which a request is answered when nothing is wrong, a load of its model included."""
_LOOK_S: Final = 3.0
"""How often all that must hold at any time is looked at."""
_DRAINS_S: Final = 40.0
"""After the last client: longer than any request may take."""
_SETTLES_S: Final = 3.0
_PATIENCE_S: Final = 31.0
_HOUR: Final = 3_600 * SECOND
_MODELS: Final = tuple(map(ModelName, ("m1", "m2", "m3")))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a world went."""

    seed: int
    digest: str
    """Of its story: the same for the same seed."""
    happened: int
    """Events, of all kinds."""
    outcomes: Counter[Outcome]
    """Of clients' requests."""


class World:
    """See the module docstring."""

    def __init__(self, seed: int, keys: Keys | None = None) -> None:
        """Make it; nothing has happened yet.

        Args:
            seed: of everything.
            keys: what signs; keyed hashes if none are given.
        """
        self.seed = seed
        self._chance = chance = Chance(seed, "world")
        self._clock = VirtualClock(self._draws("clock"))
        self.story = Story(self._clock)
        links = Links(self._clock, chance.of("links"))
        keys = keys or Keys()
        models = _MODELS[: 1 + chance.below(len(_MODELS))]
        self._around = Surroundings(
            self._clock,
            self.story,
            links,
            Air(self._clock, self._draws("air"), reach=self._reach),
            Notary(keys, Owner(keys, self._clock.unix_ns() // SECOND)),
            models,
            _policy(chance),
            {models[0]: models[1:]} if chance.happens(0.3) else {},
            KeyLimits(tokens_per_minute=4_000 if chance.happens(0.2) else None),
        )
        links.watch(self._around.air.relink)
        self._pops = self._build(2 + chance.below(2), 3 + chance.below(5))
        self._faults = Faults(self._around, self._pops, chance.of("faults"))
        self._clients: list[Client] = []
        self._probes: list[Client] = []
        self._callers = [_caller(number, chance) for number in range(4)]

    def run(self) -> Ended:
        """Let it all happen.

        Raises:
            BrokenError: something did not hold. So does any AssertionError.
        """
        chance = self._chance
        for pop in self._pops:
            self._clock.after(chance.between(0.0, 2.0), pop.start)
        for _ in range(20 + chance.below(60)):
            self._client(chance.between(*_CLIENTS_S))
        self._faults.plan(8 + chance.below(33), *_FAULTS_S)
        self._clock.after(_REST_S, self._faults.rest)
        self._look()
        self._run_on(_PROBES_S)
        if self._around.peers.any:
            self._run_on(_LIMITS_S)
        self._probe_all()
        self._run_on(_DRAINS_S)
        for pop in self._pops:
            if pop.process is not None:
                pop.process.hearing.quiet = True
        liar = chance.one_of(self._pops)
        if liar.process is not None:
            liar.process.hearing.say_two_things([pop.pop for pop in self._pops], chance)
        self._run_on(_SETTLES_S)
        self._look_at_the_end()
        outcomes = Counter(c.outcome for c in self._clients if c.outcome is not None)
        return Ended(self.seed, self.story.digest, self._clock.happened, outcomes)

    def _draws(self, purpose: str) -> Callable[[], float]:
        chance = self._chance.of(purpose)
        return lambda: chance.between(0.0, 1.0)

    def _reach(self, one: PopId, other: PopId) -> bool:
        """Whether messages pass both ways between two PoPs."""
        hosts, passes = self._around.hosts, self._around.links.passes
        return passes(hosts[one], hosts[other]) and passes(hosts[other], hosts[one])

    # --- how it is made ------------------------------------------------------------------------

    def _build(self, sites: int, pops: int) -> list[Pop]:
        chance, links = self._chance, self._around.links
        names = [f"site{number}" for number in range(sites)]
        for place, name in enumerate(names):
            links.join(name, name, chance.between(0.000_2, 0.001))
            for other in names[:place]:
                links.join(name, other, chance.between(0.005, 0.12))
        return [self._pop(chr(ord("a") + number), names) for number in range(pops)]

    def _pop(self, host: str, sites: list[str]) -> Pop:
        chance, around = self._chance.of(f"pop {host}"), self._around
        identity = around.notary.owner.admit(f"{self.seed}/{host}".encode(), chance.one_of(sites))
        around.links.place(host, identity.member.site)
        mine = chance.some_of(around.models, 0 if host != "a" else 1, len(around.models))
        speeds = {model: _speed(chance) for model in sorted(mine)}
        bounds = PoolBounds(
            memory_bytes=1 + chance.below(3),
            queue=1 + chance.below(6),
            keep_alive=(4 + chance.below(30)) * SECOND,
        )
        pinned = frozenset(model for model in speeds if chance.happens(0.3))
        wrong = chance.one_of([-_HOUR, 0, 0, 0, _HOUR]) + int(chance.between(-2, 2) * SECOND)
        off = ((1 + chance.below(900)) * SECOND, wrong)
        housed = Housed(speeds, bounds, pinned=pinned)
        return Pop(around, host, identity, housed, chance.of("lives"), off)

    def _client(self, after_s: float, gateway: Pop | None = None) -> Client:
        """One client, which asks after so many seconds."""
        chance = self._chance.of(f"client {len(self._clients)}")
        number = len(self._clients)
        gateway = gateway or chance.one_of(self._pops)
        request = Request(
            number=number,
            model=chance.one_of(self._around.models),
            prompt_tokens=4 + chance.below(400),
            answer_tokens=1 + chance.below(12),
            caller=chance.one_of(self._callers),
        )
        leaves_s = chance.between(0.0, 3.0) if chance.happens(0.2) else None
        return self._ask(gateway, request, after_s, leaves_s=leaves_s)

    def _ask(
        self,
        gateway: Pop,
        request: Request,
        after_s: float,
        *,
        leaves_s: float | None = None,
        patience_s: float = _PATIENCE_S,
    ) -> Client:
        links = self._around.links
        client = Client(f"client{request.number}", gateway.host, request, leaves_s, patience_s)
        links.place(client.host, gateway.identity.member.site)
        self._clients.append(client)
        self._clock.after(after_s, lambda: client.begin(self._clock, links, self.story))
        return client

    def _probe_all(self) -> None:
        """Ask every member for every model that some member has, one after another."""
        members = [pop for pop in self._pops if pop not in self._faults.revoked]
        had = [m for m in self._around.models if any(m in pop.housed.speeds for pop in members)]
        untried = [(pop, model) for pop in members for model in had]
        self._chance.of("probes").shuffle(untried)

        def probe() -> None:
            if untried:
                pop, model = untried.pop()
                request = Request(len(self._clients), model, 20, 3, self._callers[0])
                self._probes.append(self._ask(pop, request, _PROBE_EVERY_S, patience_s=_BOUND_S))
                self._probes[-1].then = probe

        probe()
        while untried or (self._probes and self._probes[-1].outcome is None):
            self._run_on(_PROBE_EVERY_S)

    # --- what is looked at ---------------------------------------------------------------------

    def _look(self) -> None:
        """At any time."""
        for pop in self._pops:
            if pop.process is not None:
                pop.process.check()
        self._clock.after(_LOOK_S, self._look)

    def _look_at_the_end(self) -> None:
        revoked = self._faults.revoked
        checks.all_ended(self._clients)
        checks.all_answered(self._probes)
        checks.all_idle(self._pops)
        checks.all_know_the_same(self._pops, revoked)
        checks.all_obey(self._pops, revoked)
        for host, ends in self._around.links.ends.items():
            if ends:
                raise BrokenError(f"{host} has {len(ends)} lines left")

    def _run_on(self, seconds: float) -> None:
        self._clock.run(seconds)


def _policy(chance: Chance) -> RelayPolicy:
    return RelayPolicy(
        connect_s=2.0,
        first_byte_s=8.0,
        between_bytes_s=5.0,
        total_s=30.0,
        attempts=2 + chance.below(3),
        hedge_after_s=chance.between(0.2, 3.0) if chance.happens(0.4) else None,
    )


def _speed(chance: Chance) -> Speed:
    return Speed(
        slots=1 + chance.below(4),
        kv_tokens=chance.one_of([0, 1_000, 4_000]),
        prefill_tps=chance.between(200, 4_000),
        decode_tps=chance.between(15, 80),
        load_s=chance.between(0.2, 3.0),
    )


def _caller(number: int, chance: Chance) -> Caller:
    """The first has no limits; the others may have."""
    if number == 0 or chance.happens(0.5):
        return Caller(KeyId(f"k{number}"), f"caller {number}")
    per_minute = 200 + chance.below(3_000)
    some = KeyLimits(requests_per_minute=5 + chance.below(20), tokens_per_minute=per_minute)
    return Caller(KeyId(f"k{number}"), f"caller {number}", limits=some)
