"""The description of a simulated network: sites, machines, links and what is asked of them.

It is a TOML file (docs/simulate.md has every key with its unit). Reading it checks all of it, and
a wrong one is told with the place that is wrong.

Rules
- A site or machine with `count` stands for so many alike: `edge` becomes `edge-1`, `edge-2`, …
- A link joins two names, of sites or of zones; the most exact one counts. Two sites that no link
  joins have none, and nothing of one is served in the other.
- A machine may name no model: placed.py gives it one, before anything is simulated.
- It describes and computes nothing: workload.py makes requests, machine.py times them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from littoral.terms.errors import ConfigError

__all__ = [
    "Link",
    "Machine",
    "Model",
    "Network",
    "Path",
    "Site",
    "Workload",
    "read_network",
    "unserved",
    "with_rates",
]

Positive = Annotated[float, Meta(gt=0, le=1e15)]
NotNegative = Annotated[float, Meta(ge=0, le=1e15)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9.-]{0,31}$")]

_HERE: Final = 2
"""How exactly a link names a site: by its own name, against 1 by its zone."""


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One PoP, or `count` alike, each with one model."""

    model: Name = ""
    """None named: it gets one of those that are asked for."""
    prefill_tps: Positive
    """Prompt tokens that it reads in a second, one prompt at a time."""
    decode_tps: Positive
    """Tokens a second of an answer that is alone."""
    memory_gb: NotNegative = 0.0
    """For a model that it does not name; 0 is enough for any."""
    slots: Count = 1
    decode_slowdown: NotNegative = 0.0
    """Each further answer slows every one: rate = decode_tps / (1 + slowdown x others)."""
    kv_tokens: Annotated[int, Meta(ge=0)] = 0
    """Tokens of prompts that its prefix cache holds."""
    load_s: NotNegative = 0.0
    keep_s: NotNegative = 0.0
    """Unload the model when idle for so long; 0 keeps it, and it is loaded from the start."""
    queue: Annotated[int, Meta(ge=0)] = 64
    count: Count = 1


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PoPs in one place, and the clients nearest to it."""

    name: Name
    zone: Name = "world"
    utc_offset_h: Annotated[float, Meta(ge=-14, le=14)] = 0.0
    rate_per_s: NotNegative = 0.0
    """Requests that its clients send, mean over a day."""
    machine: tuple[Machine, ...] = ()
    count: Count = 1


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one model needs of machines that name none."""

    name: Name
    memory_gb: NotNegative = 0.0
    work: Positive = 1.0
    """A token takes so many times as long as the machine's rates say."""


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Between two sites, or the sites of two zones (or of one zone, named twice)."""

    between: tuple[Name, Name]
    rtt_ms: NotNegative
    bytes_per_s: Positive


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What clients ask. Lengths are log-normal: a median, and a spread that is sigma of the log."""

    tenants: Count = 1
    models: dict[Name, Positive] = {}
    """How often each is asked for, in proportion; all that machines name alike if empty."""
    night: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Rate at the quietest hour, as a part of the busiest: the day is a cosine between them."""
    peak_hour: Annotated[float, Meta(ge=0, lt=24)] = 15.0
    system_tokens: Annotated[int, Meta(ge=0)] = 0
    """Every prompt of a tenant begins with the same ones."""
    prompt_tokens: Positive = 200.0
    prompt_spread: NotNegative = 1.0
    answer_tokens: Positive = 200.0
    answer_spread: NotNegative = 0.8
    turns: Annotated[float, Meta(ge=1, le=1000)] = 1.0
    """Requests of a conversation, mean; each repeats all that was said before."""
    think_s: NotNegative = 60.0
    """From one turn to the next, mean."""
    context_tokens: Count = 32_768
    """A conversation that would outgrow it ends."""
    block_tokens: Count = 64
    """Prefixes are kept and compared in blocks of so many."""
    trace: str = ""
    """File of requests to take arrivals, lengths and shared prefixes from, beside this one."""
    window_minutes: NotNegative = 0.0
    """Simulate so much of every `window_every_h` only; 0 simulates all."""
    window_every_h: Positive = 1.0
    warm_up_s: NotNegative = 0.0
    """Not counted at the beginning, and at the beginning of each window."""


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it."""

    site: tuple[Site, ...]
    link: tuple[Link, ...] = ()
    workload: Workload = Workload()
    model: tuple[Model, ...] = ()
    hours: Positive = 24.0
    publish_every_s: Positive = 1.0
    """A PoP tells its state when it has changed, and not more often than this."""
    publish_at_least_s: Positive = 5.0
    """It tells it so often though nothing has changed."""
    late_s: Positive = 10.0
    """A first token after more than this is late."""
    attempts: Count = 3
    """Machines that are tried when one after another is full."""
    site_rtt_ms: NotNegative = 0.5
    """Between machines of one site; so `site_bytes_per_s`."""
    site_bytes_per_s: Positive = 1e9
    bytes_per_token: Positive = 4.0
    """Of a prompt on a link; of a streamed answer `answer_bytes_per_token`."""
    answer_bytes_per_token: Positive = 200.0

    def path(self, here: Site, there: Site) -> Link | None:
        """How two sites are joined; None if they are not."""
        if here.name == there.name:
            return Link((here.name, here.name), self.site_rtt_ms, self.site_bytes_per_s)
        found: Link | None = None
        best = 0
        for link in self.link:
            for one, other in (link.between, link.between[::-1]):
                exact = _exactness(one, here) * _exactness(other, there)
                if exact > best:
                    best, found = exact, link
        return found

    def models(self) -> tuple[str, ...]:
        """Every model that some machine has or may get, in order of name."""
        named = {each.model for site in self.site for each in site.machine if each.model}
        return tuple(sorted(named | set(self.workload.models)))

    def open(self) -> bool:
        """Whether a machine names no model."""
        return any(not each.model for site in self.site for each in site.machine)


def _exactness(name: str, site: Site) -> int:
    if name == site.name:
        return _HERE
    return int(name == site.zone)


def read_network(path: Path) -> Network:
    """The network that a file describes, with its counts written out.

    Raises:
        ConfigError: it can't be read, or what it says can't be.
    """
    try:
        told = msgspec.toml.decode(path.read_bytes(), type=Network)
    except OSError as error:
        raise ConfigError(
            f"{path} can't be read ({error.strerror})", advice="name a file of a network"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _wrong(path, str(error)) from None
    trace = told.workload.trace and str(path.parent / told.workload.trace)
    network = msgspec.structs.replace(
        told,
        site=tuple(_written_out(told.site)),
        workload=msgspec.structs.replace(told.workload, trace=trace),
    )
    fault = _fault(network)
    if fault:
        raise _wrong(path, fault)
    return network


def with_rates(network: Network, factor: float) -> Network:
    """The same network, asked so many times as much."""
    sites = (
        msgspec.structs.replace(site, rate_per_s=site.rate_per_s * factor) for site in network.site
    )
    return msgspec.structs.replace(network, site=tuple(sites))


def _wrong(path: Path, what: str) -> ConfigError:
    return ConfigError(f"{path}: {what}", advice="docs/simulate.md has every key with its unit")


def _written_out(sites: tuple[Site, ...]) -> Iterator[Site]:
    for site in sites:
        machines = tuple(
            msgspec.structs.replace(each, count=1)
            for each in site.machine
            for _ in range(each.count)
        )
        names = [f"{site.name}-{n}" for n in range(1, site.count + 1)]
        for name in names if site.count > 1 else [site.name]:
            yield msgspec.structs.replace(site, name=name, machine=machines, count=1)


def _fault(network: Network) -> str:
    names = [site.name for site in network.site]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        return f"two sites are called {twice[0]}"
    if not any(site.machine for site in network.site):
        return "no site has a machine"
    if not network.models():
        return "no machine names a model, and workload.models names none that they could get"
    if not any(site.rate_per_s for site in network.site):
        return "no site has a rate_per_s, so nothing is asked"
    known = {*names, *(site.zone for site in network.site)}
    for link in network.link:
        for end in link.between:
            if end not in known:
                return f"a link leads to {end}, which is neither a site nor a zone"
    return _fault_of_models(network) or _fault_of_workload(network) or unserved(network)


def _fault_of_models(network: Network) -> str:
    names = [model.name for model in network.model]
    for name in names:
        if name not in network.models():
            return f"model {name} is neither asked for nor named by a machine"
        if names.count(name) > 1:
            return f"model {name} is told of twice"
    named = {machine.model for site in network.site for machine in site.machine}
    for name in network.workload.models:
        if not network.open() and name not in named:
            return f"the workload asks for {name}, which no machine has"
    return ""


def _fault_of_workload(network: Network) -> str:
    load = network.workload
    if load.window_minutes > load.window_every_h * 60:
        return "window_minutes is longer than window_every_h"
    if load.trace and not Path(load.trace).exists():
        return f"the trace {load.trace} is not there"
    return ""


def unserved(network: Network) -> str:
    """Whose clients ask for a model that nobody has whom they reach; empty is nobody's."""
    for site in network.site:
        reached = {
            machine.model
            for other in network.site
            if network.path(site, other) is not None
            for machine in other.machine
        }
        lacking = sorted({*(network.workload.models or network.models())} - reached)
        if site.rate_per_s and lacking and "" not in reached:
            return f"nobody that {site.name} is linked with has {lacking[0]}"
    return ""
