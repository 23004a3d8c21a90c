"""All upstreams of a PoP: their connections, their health, and the route of each model.

A route is made once for a model as its entry is now; when the entry changes, a new one is made, and
what is under way on the old one goes on. A target's row on the board follows from its name, so that
all processes of a PoP count on the same one.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import blake2b
from operator import is_
from typing import Final

from littoral.adapters.http.hop import Watch
from littoral.adapters.http.line import Spawn
from littoral.adapters.upstreams.fetch import Fetch
from littoral.adapters.upstreams.target import Gathering, ReadSecret, Target
from littoral.adapters.upstreams.words import Errand, Listener
from littoral.routing.board import TargetBoard, Words
from littoral.routing.choose import Candidates, explain
from littoral.routing.words import Stage, stage_of
from littoral.terms.errors import ConfigError
from littoral.terms.limits import UPSTREAM_TARGETS_MAX
from littoral.terms.ports import Clock, Observe
from littoral.terms.values import EngineKind, ModelEntry, UpstreamTarget

__all__ = ["Route", "TargetRows", "Upstreams"]

_NAME_BITS: Final = 62


@dataclass(frozen=True, slots=True)
class TargetRows:
    """Where all processes of a PoP keep the health of targets, and which row is whose."""

    names: Words
    """For each row a number that follows from its target's name; 0 while it is free."""
    targets: TargetBoard
    lock: AbstractContextManager[object]
    """Held while a row is given away."""

    def row_of(self, name: str) -> int:
        """The row of a target of this name.

        Raises:
            ConfigError: there are too many.
        """
        digest = blake2b(name.encode(), digest_size=8).digest()
        number = (int.from_bytes(digest, "little") >> (64 - _NAME_BITS)) | 1
        with self.lock:
            for row in range(UPSTREAM_TARGETS_MAX):
                if self.names[row] in {number, 0}:
                    self.names[row] = number
                    return row
        raise ConfigError(
            f"there are more than {UPSTREAM_TARGETS_MAX} upstreams",
            advice="remove some, or start again after removing them",
        )


@dataclass(frozen=True, slots=True)
class Route:
    """Where the requests of one model may go: its own upstreams, then those of its fallbacks."""

    models: tuple[ModelEntry, ...]
    stages: tuple[Stage, ...]
    targets: tuple[Mapping[int, Target], ...]
    """For each stage, the target of each row."""
    ticks: bool
    """Some stage hedges, so that its journeys need the time."""

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
    ) -> None:
        """Connect to nothing yet. Made on the loop that it is used on."""
        self.loop = asyncio.get_running_loop()
        self.board = rows.targets
        self.clock = clock
        self.observe = observe
        self._rows = rows
        self._spawn = spawn
        self._secret = secret
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
        route = Route(models, stages, targets, any(stage.hedge_after for stage in stages))
        self._routes[name] = route
        return route

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
        return sum(target.line.connections_made for target in self._targets.values())

    def close(self) -> None:
        """Close every idle connection; those in use close with their answers."""
        for target in self._targets.values():
            target.close()
        self._watch.close()

    def _targets_of(self, entry: ModelEntry) -> Mapping[int, Target]:
        targets: dict[int, Target] = {}
        for settings in entry.upstreams:
            name = f"{entry.name}|{settings.base_url}|{settings.model}"
            row = self._rows.row_of(name)
            known = self._targets.get((entry.name, settings))
            if known is None or known.entry != entry:
                line = None if known is None else known.line
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
        return targets


def _candidates(targets: Mapping[int, Target]) -> Candidates:
    rows = tuple(targets)
    return Candidates(rows, tuple(targets[row].settings.weight for row in rows))
