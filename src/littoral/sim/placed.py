"""Models for the machines of a description that name none: placement/spread.py's plan.

What the plan is made of is what is known before anything is asked: machines, rates of clients in
the mean of a day, how often each model is asked for, and how long prompts and answers are in the
mean. Sites that no chain of links joins are planned apart.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from littoral.placement.spread import Asked, Machine, spread
from littoral.sim import network as described
from littoral.sim.network import Network, Site, unserved
from littoral.sim.workload import mean_tokens
from littoral.terms.errors import ConfigError
from littoral.terms.limits import WISH_SITES_MAX

__all__ = ["Placed", "SitePlaced", "placed"]


class SitePlaced(msgspec.Struct, frozen=True):
    """What the machines of a site have."""

    site: str
    models: dict[str, int]
    """Machines with each, those that the description names among them."""
    load: float
    """Part of its slots that is expected to be at work, mean over a day, were nothing kept."""


class Placed(msgspec.Struct, frozen=True):
    """Which machines have which model."""

    planned: int
    """Machines that named none."""
    copies: dict[str, int]
    """Machines with each model."""
    load_max_over_mean: float
    """Of the expected loads: the site with the most, against all slots together."""
    sites: tuple[SitePlaced, ...]
    commands: tuple[str, ...]
    """What would have copies of the models where the plan has them."""


def placed(network: Network) -> tuple[Network, Placed]:
    """The network with a model for each machine, and what came of it.

    Raises:
        ConfigError: there is no room for a model, or clients don't reach it.
    """
    models: dict[str, str] = {}
    loads: dict[str, float] = {}
    for sites in _joined(network):
        plan = spread(_machines(sites), _asked(network, sites))
        models |= plan.models
        loads |= plan.loads
    full = msgspec.structs.replace(
        network, site=tuple(_filled(site, network, models) for site in network.site)
    )
    fault = unserved(full)
    if fault:
        raise ConfigError(fault, advice="add a link, or name that model at a machine they reach")
    return full, _told(network, full, loads)


def _joined(network: Network) -> Iterator[list[Site]]:
    """Sites that links join, one to the next, and of which one has a machine."""
    left = list(network.site)
    while left:
        found, reach = [], [left.pop(0)]
        while reach:
            here = reach.pop()
            found.append(here)
            reach += [there for there in left if network.path(here, there) is not None]
            left = [there for there in left if there not in reach]
        if any(site.machine for site in found):
            yield found


def _machines(sites: list[Site]) -> Iterator[Machine]:
    for site in sites:
        for number, each in enumerate(site.machine):
            yield Machine(
                _name(site, number),
                site.name,
                site.zone,
                each.prefill_tps,
                each.decode_tps,
                each.slots,
                each.decode_slowdown,
                each.memory_gb * 1e9 or math.inf,
                each.model,
            )


def _name(site: Site, number: int) -> str:
    return f"{site.name}/{number:06}"


def _asked(network: Network, sites: list[Site]) -> Iterator[Asked]:
    prompt, answer = mean_tokens(network)
    shares: Mapping[str, float] = network.workload.models or dict.fromkeys(network.models(), 1.0)
    needs = {model.name: model for model in network.model}
    clients = dict.fromkeys((site.zone for site in sites), 0.0)
    for site in sites:
        clients[site.zone] += site.rate_per_s
    if not any(clients.values()):  # nobody asks there: as if they did
        clients = dict.fromkeys(clients, 1.0)
    for name, share in shares.items():
        part = share / sum(shares.values())
        need = needs.get(name, described.Model(name))
        per_s = {zone: rate * part for zone, rate in clients.items()}
        yield Asked(name, per_s, prompt, answer, need.memory_gb * 1e9, need.work)


def _filled(site: Site, network: Network, models: Mapping[str, str]) -> Site:
    works = {model.name: model.work for model in network.model}
    machines = []
    for number, each in enumerate(site.machine):
        model = models[_name(site, number)]
        work = 1.0 if each.model else works.get(model, 1.0)
        machines.append(
            msgspec.structs.replace(
                each,
                model=model,
                prefill_tps=each.prefill_tps / work,
                decode_tps=each.decode_tps / work,
            )
        )
    return msgspec.structs.replace(site, machine=tuple(machines))


def _told(network: Network, full: Network, loads: Mapping[str, float]) -> Placed:
    slots = {site.name: sum(each.slots for each in site.machine) for site in full.site}
    mean = sum(load * slots[name] for name, load in loads.items()) / sum(slots.values())
    has = {site.name: Counter(each.model for each in site.machine) for site in full.site}
    return Placed(
        planned=sum(not each.model for site in network.site for each in site.machine),
        copies=dict(sorted(sum(has.values(), Counter()).items())),
        load_max_over_mean=round(max(loads.values()) / mean, 6) if mean else 0.0,
        sites=tuple(
            SitePlaced(name, dict(sorted(models.items())), round(loads.get(name, 0.0), 6))
            for name, models in has.items()
        ),
        commands=tuple(_commands(has)),
    )


def _commands(has: Mapping[str, Counter[str]]) -> Iterator[str]:
    for model in sorted({model for models in has.values() for model in models}):
        sites = sorted(name for name, models in has.items() if model in models)
        copies = sum(models[model] for models in has.values())
        where = f" --sites {','.join(sites)}" if len(sites) <= WISH_SITES_MAX else ""
        many = f" --replicas {copies}" if copies > len(sites) or not where else ""
        yield f"littoral place {model}{where}{many}"
