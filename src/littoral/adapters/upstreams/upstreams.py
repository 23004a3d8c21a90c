"""All upstreams of a PoP: their connections, their health, and the route of each model.

A route is made once for a model as its entry is now; when the entry changes, a new one is made, and
what is under way on the old one goes on. A target's row on the board follows from its name, so that
all processes of a PoP count on the same one.
"""

import asyncio
import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from operator import is_
from typing import Final

from littoral.adapters.http.line import Line, Spawn
from littoral.adapters.http.watch import Watch
from littoral.adapters.http.words import Origin, Peering
from littoral.adapters.upstreams.fetch import Fetch
from littoral.adapters.upstreams.target import Gathering, ReadSecret, Target
from littoral.adapters.upstreams.words import Errand, Follow, Followed, Listener, Rank
from littoral.routing.board import TargetBoard, Words
from littoral.routing.choose import Candidates, explain
from littoral.routing.words import Stage, stage_of
from littoral.terms.errors import ConfigError
from littoral.terms.ids import OwnerId, PopId
from littoral.terms.limits import FABRIC_HOPS_MAX, UPSTREAM_TARGETS_MAX
from littoral.terms.ports import Clock, Observe
from littoral.terms.values import EngineKind, ModelEntry, RelayPolicy, UpstreamTarget
from littoral.trust.members import Member

__all__ = ["Neighbourhood", "Route", "TargetRows", "Upstreams"]

_NAME_BITS: Final = 62


@dataclass(frozen=True, slots=True)
class TargetRows:
    """Where all processes of a PoP keep the health of targets, and which row is whose."""

    names: Words
    """For each row a number that follows from its target's name; 0 while it is free."""
    targets: TargetBoard
    lock: AbstractContextManager[object]
    """Held while a row is given away."""
    known: dict[str, int] = field(default_factory=dict)
    """Rows that this process has asked for: a row stays its target's."""

    def row_of(self, name: str) -> int:
        """The row of a target of this name.

        Raises:
            ConfigError: there are too many.
        """
        known = self.known.get(name)
        if known is not None:
            return known
        digest = blake2b(name.encode(), digest_size=8).digest()
        number = (int.from_bytes(digest, "little") >> (64 - _NAME_BITS)) | 1
        with self.lock:
            for row in range(UPSTREAM_TARGETS_MAX):
                if self.names[row] in {number, 0}:
                    self.names[row] = number
                    self.known[name] = row
                    return row
        raise ConfigError(
            f"there are more than {UPSTREAM_TARGETS_MAX} upstreams",
            advice="remove some, or start again after removing them",
        )


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """How other PoPs are asked."""

    tls: Callable[[OwnerId], ssl.SSLContext]
    """How to ask PoPs of this owner, believing nobody but that owner, and which certificate to show
    them: another context once it is renewed."""
    rank: Rank | None = None
    """Which of them is best for a request; without it, what the board knows decides."""
    follow: Follow | None = None
    """Hears of each request that is sent to one of them."""
    held: Callable[[PopId], Line] | None = None
    """The way to one that can't be dialled, and holds connections to this one."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where the requests of one model may go: its own upstreams, then those of its fallbacks."""

    models: tuple[ModelEntry, ...]
    stages: tuple[Stage, ...]
    targets: tuple[Mapping[int, Target], ...]
    """For each stage, the target of each row."""
    ticks: bool
    """Some stage hedges, so that its journeys need the time."""
    others: tuple[Mapping[PopId, int], ...]
    """For each stage, the rows of those of them that are other PoPs."""
    passes_on: bool
    """There are some."""

    @property
    def entry(self) -> ModelEntry:
        """The model that is asked for."""
        return self.models[0]

    def speaks(self, api: str) -> bool:
        """Whether every target speaks this API itself."""
        return all(
            api in target.settings.apis for targets in self.targets for target in targets.values()
        )


class Upstreams:
    """The upstreams of all models."""

    def __init__(
        self,
        rows: TargetRows,
        *,
        spawn: Spawn,
        secret: ReadSecret,
        clock: Clock,
        observe: Observe,
        neighbourhood: Neighbourhood | None = None,
    ) -> None:
        """Connect to nothing yet. Made on the loop that it is used on."""
        self.loop = asyncio.get_running_loop()
        self.board = rows.targets
        self.clock = clock
        self.observe = observe
        self._rows = rows
        self._spawn = spawn
        self._secret = secret
        self._neighbourhood = neighbourhood
        self._lines: dict[tuple[str, str], Line] = {}
        """To other PoPs: one line each, whatever models it has."""
        self._watch = Watch(self.loop)
        self._gathering = Gathering()
        self._targets: dict[tuple[str, UpstreamTarget], Target] = {}
        self._routes: dict[tuple[str, ...], Route] = {}
        self._names: dict[int, str] = {}

    def route(self, entry: ModelEntry, *fallbacks: ModelEntry) -> Route:
        """Where requests of this model go.

        Args:
            entry: the model, with at least one upstream.
            fallbacks: the models to fall back to, in order; only those on upstreams count.

        Raises:
            ConfigError: an address or a key is not as it should be.
        """
        models = (entry, *(each for each in fallbacks if each.engine is EngineKind.UPSTREAM))
        name = tuple(each.name for each in models)
        known = self._routes.get(name)
        if known is not None and all(map(is_, known.models, models)):
            return known
        targets = tuple(self._targets_of(each) for each in models)
        stages = tuple(
            stage_of(_candidates(rows), each.relay)
            for each, rows in zip(models, targets, strict=True)
        )
        ticks = any(stage.hedge_after for stage in stages)
        others = tuple(
            {target.pop: row for row, target in rows.items() if target.pop is not None}
            for rows in targets
        )
        route = Route(models, stages, targets, ticks, others, any(others))
        self._routes[name] = route
        return route

    def stages(self, route: Route, errand: Errand, spin: int) -> Sequence[Stage]:
        """The stages of a route for a request that has come from another PoP, or may go to one.

        Args:
            route: of the request.
            errand: what is asked.
            spin: a random number of 64 bits.
        """
        passage = errand.passage
        until, via = (None, ()) if passage is None else (passage.until, passage.via)
        within = None if until is None else max(0, until - self.clock.now())
        rank = None if self._neighbourhood is None else self._neighbourhood.rank
        stages: list[Stage] = []
        for number, (stage, others) in enumerate(zip(route.stages, route.others, strict=True)):
            order = _open_to(others, route.targets[number], via)
            if rank is not None and order:
                ranked = rank(errand, route.models[number].name, spin)
                order = [others[pop] for pop in ranked if pop in others and others[pop] in order]
            barred = () if len(order) == len(others) else set(others.values()).difference(order)
            ranks = () if rank is None else order
            stages.append(stage.for_one(without=barred, order=ranks, within=within))
        return stages

    def followed(self, errand: Errand, target: Target) -> Followed | None:
        """Who hears what becomes of a request that is sent now; None for most."""
        there = self._neighbourhood
        if target.pop is None or there is None or there.follow is None:
            return None
        return there.follow(errand, target.entry.name, target.pop)

    def warm(self, settings: UpstreamTarget) -> None:
        """Open one connection ahead to another PoP, if none is kept.

        Raises:
            ConfigError: its address is none, or this PoP is in no fabric.
        """
        self._line_to(settings).warm(RelayPolicy().connect_s)

    def lose(self, pop: PopId, why: str, silent_s: float = 0) -> None:
        """A PoP is gone: end what it was asked, so that others are asked or the clients are told.

        Args:
            pop: which.
            why: told where nobody else can be asked any more.
            silent_s: an answer of which something came within so many seconds goes on.
        """
        for line in self._lines_of(pop):
            line.lose(why, silent_s)

    def regain(self, pop: PopId) -> None:
        """It is back, and may be asked again."""
        for line in self._lines_of(pop):
            line.regain()

    def fetch(self, route: Route, errand: Errand, listener: Listener) -> Fetch:
        """Ask for one answer; `start` it once the listener is ready to hear."""
        return Fetch(self, route, errand, listener)

    def name_of(self, row: int) -> str:
        """The target of this row, as people write it."""
        return self._names.get(row, f"row {row}")

    def explain(self, route: Route) -> list[str]:
        """How each target of a route stands, one line each."""
        now = self.clock.now()
        return [
            standing.words(self.name_of(standing.row))
            for stage in route.stages
            for standing in explain(self.board, stage.candidates, now)
        ]

    def connections_made(self) -> int:
        """How many were opened so far, to all targets."""
        lines = {id(target.line): target.line for target in self._targets.values()}
        return sum(line.connections_made for line in lines.values())

    def close(self) -> None:
        """Close every idle connection; those in use close with their answers."""
        for target in self._targets.values():
            target.close()
        for line in self._lines.values():
            line.close()
        self._watch.close()

    def _targets_of(self, entry: ModelEntry) -> Mapping[int, Target]:
        targets: dict[int, Target] = {}
        for settings in entry.upstreams:
            name = f"{entry.name}|{settings.peer or settings.base_url}|{settings.model}"
            row = self._rows.row_of(name)
            known = self._targets.get((entry.name, settings))
            if known is None or known.entry != entry:
                line = None if known is None else known.line
                if settings.peer:
                    line = self._line_to(settings)
                known = Target(
                    entry,
                    settings,
                    watch=self._watch,
                    spawn=self._spawn,
                    secret=self._secret,
                    gathering=self._gathering,
                    line=line,
                )
                self._targets[entry.name, settings] = known
            targets[row] = known
            self._names[row] = known.name
        for name, settings in list(self._targets):
            if name == entry.name and settings.peer and settings not in entry.upstreams:
                del self._targets[name, settings]  # PoPs come and go; their lines stay
        return targets

    def _lines_of(self, pop: PopId) -> list[Line]:
        return [line for (name, _), line in self._lines.items() if Member.of_name(name).pop == pop]

    def _line_to(self, settings: UpstreamTarget) -> Line:
        """The connections to another PoP, which all models that it has share."""
        if self._neighbourhood is None:
            raise ConfigError(f"{settings.peer} is another PoP, and this one is in no fabric")
        if settings.through == settings.peer:
            if self._neighbourhood.held is None:
                raise ConfigError(f"{settings.peer} can't be dialled, and holds nothing here")
            return self._neighbourhood.held(Member.of_name(settings.peer).pop)
        origin, _ = Origin.of_url(settings.base_url)
        name = settings.through or settings.peer
        line = self._lines.get((name, origin.name))
        if line is None:
            if not origin.tls:
                raise ConfigError("another PoP is asked over TLS", advice="give an https URL")
            owner = Member.of_name(name).owner
            peering = Peering(name, partial(self._neighbourhood.tls, owner))
            line = Line(origin, self._watch, self._spawn, peering=peering)
            self._lines[name, origin.name] = line
        return line


def _open_to(
    others: Mapping[PopId, int], targets: Mapping[int, Target], via: Sequence[PopId]
) -> Collection[int]:
    """The rows of those PoPs that a request which has come this way may still go to."""
    if len(via) == 1:  # through this PoP alone
        return others.values()
    if not 0 < len(via) <= FABRIC_HOPS_MAX:
        return ()
    return [row for row in others.values() if not _came_through(targets[row], via)]


def _came_through(target: Target, via: Sequence[PopId]) -> bool:
    """Whether a request can't go to a PoP for where it was: there, or at who passes it on."""
    relay = target.relay
    return target.pop in via or (
        relay is not None and (relay in via or len(via) >= FABRIC_HOPS_MAX)
    )


def _candidates(targets: Mapping[int, Target]) -> Candidates:
    rows = tuple(targets)
    return Candidates(rows, tuple(targets[row].settings.weight for row in rows))
