"""Which machine of a network is to have which model, so that each is where it is asked for.

Given are machines, in sites and zones, and what is asked for each model. What comes of it is a plan
for people who build or change a network, made before anything runs: `littoral simulate` shows what
it would be like, and `littoral place` carries it out. What a PoP loads when somebody asks is
decided by pool.py, of what it has.

Three questions are answered one after the other: how many machines of each kind are to have each
model (copies.py), in which zones, and at which sites (evenly.py).

Rules
- Every machine gets one model. One that has a model already keeps it, and it counts.
- The same machines and models give the same plan, in whatever order they are said.
- Machines whose rates differ by little count as alike: there are never more than KINDS_MAX kinds of
  those that can have the same models.
- It knows means alone, of a day and of all clients. It asks for no more than a planner knows.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import mul
from typing import Final

from littoral.placement.copies import Counts, Kind, handed_out, improved
from littoral.placement.crowd import Alike, at_work, least_s
from littoral.placement.evenly import Spot, deal_to_sites, dealt_to_zones, fitted
from littoral.terms.errors import ConfigError

__all__ = ["HOURS", "KINDS_MAX", "Asked", "Machine", "Spread", "spread"]

KINDS_MAX: Final = 8
HOURS: Final = (0.5, 1.0, 1.5)
"""What is asked at quiet, usual and busy hours, as a part of the mean of a day."""
_USUAL: Final = HOURS.index(1.0)
_ALIKE: Final = 1.1
"""Kinds are made coarser by such steps of their rates until there are few enough."""
_SOME: Final = 1e-6
"""A zone's clients ask for so much of what others ask for, at least."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One that is to have one model."""

    name: str
    """Nobody else's."""
    site: str
    zone: str
    prefill_tps: float
    """Prompt tokens that it reads in a second."""
    decode_tps: float
    """Tokens in a second of an answer that is alone."""
    slots: int = 1
    decode_slowdown: float = 0.0
    """Each further answer slows all: rate = decode_tps / (1 + slowdown x others)."""
    memory_bytes: float = math.inf
    model: str = ""
    """That it has already."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One model, and what is asked of it."""

    model: str
    per_s: Mapping[str, float]
    """Requests a second by the clients of each zone."""
    prompt_tokens: float
    """Mean; so the answer's."""
    answer_tokens: float
    memory_bytes: float = 0.0
    """What a machine must have to have it."""
    work: float = 1.0
    """A token takes so many times as long as the rates of machines without a model say."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A plan."""

    models: Mapping[str, str]
    """By machine."""
    loads: Mapping[str, float]
    """By site: part of its slots that is at work, in the mean."""

    @property
    def copies(self) -> dict[str, int]:
        """Machines with each model."""
        return dict(sorted(Counter(self.models.values()).items()))


def spread(machines: Iterable[Machine], asked: Iterable[Asked]) -> Spread:
    """Which machine is to have which model.

    Raises:
        ConfigError: a model can be nowhere, or a machine have none.
    """
    ordered = sorted(machines, key=lambda one: (one.zone, one.site, one.name))
    wanted = {each.model: each for each in asked}
    if not any(rate for each in wanted.values() for rate in each.per_s.values()):
        raise ConfigError("no model is asked for", advice="say how often each one is")
    for machine in ordered:
        if machine.model and machine.model not in wanted:
            wanted[machine.model] = Asked(machine.model, {}, 1.0, 1.0)
    return _Plan(ordered, [wanted[model] for model in sorted(wanted)]).made()


class _Plan:
    """What is known while it is made. Kinds, models and zones are numbers."""

    def __init__(self, machines: Sequence[Machine], asked: Sequence[Asked]) -> None:
        self._machines = machines
        self._asked = asked
        self._zones = sorted({machine.zone for machine in machines})
        self._kinds, self._kind_of = _kinds(machines, asked)
        self._rates = [sum(each.per_s.values()) for each in asked]
        begun = handed_out(self._kinds, self._rates)
        _check(asked, self._rates, begun)
        self._counts = improved(self._kinds, self._rates, begun)
        self._brings = _brings(self._kinds, self._rates, self._counts)

    def made(self) -> Spread:
        """The plan."""
        by_zone = self._by_zone()
        mean = self._mean()
        models: dict[str, str] = {}
        loads: dict[str, float] = {}
        for number, zone in enumerate(self._zones):
            here = [machine for machine in self._machines if machine.zone == zone]
            sites = [list(each) for _, each in groupby(here, lambda one: one.site)]
            spots = [self._spot(each, mean) for each in sites]
            deal_to_sites(spots, [kind[number] for kind in by_zone], self._brings)
            for spot, each in zip(spots, sites, strict=True):
                named = self._named(spot, each)
                models |= {name: self._asked[model].model for name, model in named.items()}
                loads[each[0].site] = self._load(each, named)
        return Spread(dict(sorted(models.items())), dict(sorted(loads.items())))

    def _by_zone(self) -> list[list[list[int]]]:
        """Machines of each kind in each zone with each model."""
        room = [[0] * len(self._zones) for _ in self._kinds]
        for machine in self._machines:
            room[self._kind_of[machine.name]][self._zones.index(machine.zone)] += 1
        brings = [[each.capacity for each in kind.does] for kind in self._kinds]
        has = [list(map(mul, *both)) for both in zip(self._counts, brings, strict=True)]
        means = [sum(row) / kind.count for row, kind in zip(has, self._kinds, strict=True)]
        rows = [sum(map(mul, means, places)) for places in zip(*room, strict=True)]
        columns = [sum(each) for each in zip(*has, strict=True)]
        return dealt_to_zones(self._counts, room, brings, fitted(self._seed(), rows, columns))

    def _seed(self) -> list[list[float]]:
        """What each zone asks of each model; where there are no clients, as everywhere."""
        seed = [[each.per_s.get(zone, 0.0) for each in self._asked] for zone in self._zones]
        return [
            [own + _SOME * rate for own, rate in zip(row, self._rates, strict=True)] for row in seed
        ]

    def _mean(self) -> list[float]:
        """Slots at work for each slot there is, at each hour."""
        slots = sum(machine.slots for machine in self._machines)
        whole = [0.0] * len(HOURS)
        for row, brings in zip(self._counts, self._brings, strict=True):
            for count, each in zip(row, brings, strict=True):
                whole = [so_far + count * more for so_far, more in zip(whole, each, strict=True)]
        return [each / slots for each in whole]

    def _spot(self, here: Sequence[Machine], mean: Sequence[float]) -> Spot:
        slots = sum(machine.slots for machine in here)
        room = Counter(self._kind_of[machine.name] for machine in here)
        return Spot(dict(room), [each * slots for each in mean])

    def _named(self, spot: Spot, here: Sequence[Machine]) -> dict[str, int]:
        """Which of a site's machines has which model."""
        left: dict[int, list[int]] = {}
        for kind, model in sorted(spot.has, reverse=True):
            left.setdefault(kind, []).append(model)
        return {machine.name: left[self._kind_of[machine.name]].pop() for machine in here}

    def _load(self, here: Sequence[Machine], named: Mapping[str, int]) -> float:
        """Part of a site's slots that is at work."""
        at_work = 0.0
        for machine in here:
            kind = self._kind_of[machine.name]
            # Of a kind with many slots in the mean it may be one with few.
            at_work += min(self._brings[kind][named[machine.name]][_USUAL], machine.slots)
        return at_work / sum(machine.slots for machine in here)


def _check(asked: Sequence[Asked], rates: Sequence[float], counts: Counts) -> None:
    """See that every model that is asked for is somewhere."""
    for number, (each, rate) in enumerate(zip(asked, rates, strict=True)):
        if rate and not any(row[number] for row in counts):
            fit = " that has the memory" if each.memory_bytes else ""
            raise ConfigError(
                f"no machine{fit} is left for {each.model}: each has one model",
                advice="add machines, or ask for fewer models",
            )


def _brings(
    kinds: Sequence[Kind], rates: Sequence[float], counts: Counts
) -> list[list[tuple[float, ...]]]:
    """By kind and model: slots at work of one machine, at each hour."""
    by_model = []
    for model, rate in enumerate(rates):
        have = [(kind.does[model], row[model]) for kind, row in zip(kinds, counts, strict=True)]
        hours = [at_work(rate * part, have) for part in HOURS]
        by_model.append(list(zip(*hours, strict=True)))
    return [list(each) for each in zip(*by_model, strict=True)]


def _kinds(
    machines: Sequence[Machine], asked: Sequence[Asked]
) -> tuple[list[Kind], dict[str, int]]:
    """The kinds of machines, quick ones first, and which machine is of which."""
    able: dict[frozenset[int], list[Machine]] = {}
    for machine in machines:
        models = frozenset(n for n, each in enumerate(asked) if _able(machine, each))
        if not models:
            raise ConfigError(
                f"a machine at {machine.site} has the memory for no model",
                advice="leave it out, or ask for a smaller model",
            )
        able.setdefault(models, []).append(machine)
    works = {each.model: each.work for each in asked}
    found = [
        (Kind(len(group), _does(group, asked, works), models), group)
        for models, each in able.items()
        for group in _alike(each)
    ]
    found.sort(key=lambda one: (sum(map(least_s, one[0].does)), one[1][0].name))
    kinds = [kind for kind, _ in found]
    return kinds, {machine.name: n for n, (_, group) in enumerate(found) for machine in group}


def _able(machine: Machine, asked: Asked) -> bool:
    """A machine can have a model, or has it."""
    if machine.model:
        return machine.model == asked.model
    return asked.memory_bytes <= machine.memory_bytes


def _alike(machines: Sequence[Machine]) -> list[list[Machine]]:
    """Machines in groups of about the same rates, KINDS_MAX at most."""
    step = 1.0
    while True:
        groups: dict[tuple[float, ...], list[Machine]] = {}
        for machine in machines:
            rates = (machine.prefill_tps, machine.decode_tps, machine.slots)
            key: tuple[float, ...] = (*rates, machine.decode_slowdown)
            if step > 1:
                key = tuple(round(math.log(rate, step)) for rate in rates)
            groups.setdefault(key, []).append(machine)
        if len(groups) <= KINDS_MAX:
            return list(groups.values())
        step = _ALIKE * step**2


def _does(
    group: Sequence[Machine], asked: Sequence[Asked], works: Mapping[str, float]
) -> tuple[Alike, ...]:
    """What machines of a kind are with each model, in the mean."""
    count = len(group)
    # The rates of who has a model already are those with it.
    read_s = sum(1 / (one.prefill_tps * works.get(one.model, 1.0)) for one in group) / count
    write_s = sum(1 / (one.decode_tps * works.get(one.model, 1.0)) for one in group) / count
    slots = max(round(sum(one.slots for one in group) / count), 1)
    slowdown = sum(one.decode_slowdown for one in group) / count
    return tuple(
        Alike(
            read_s * each.work * each.prompt_tokens,
            write_s * each.work * each.answer_tokens,
            slots,
            slowdown,
        )
        for each in asked
    )
