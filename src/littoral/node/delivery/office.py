"""The PoP's side of its mover: starts it, passes on what is asked of it, and tells both of both.

    none --first asked, or it is a member and has a store--> starting --> running
    running --dies--> starting; gives up --> none, and the next that asks starts it again
    any --the PoP ends--> none

Rules
- Nothing is started before it is needed: a PoP that delivers nothing pays nothing.
- What the mover says to have and want, the PoP says to the others; what they say is told to it.
- Where the mover is gone the PoP says that it delivers nothing.
"""

import asyncio
import logging
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar, assert_never

import msgspec

from littoral.adapters.arriving import unmounted
from littoral.adapters.engines.worker import Worker, WorkerPlan
from littoral.node.arrivals import Arrivals
from littoral.node.asking import PopClient
from littoral.node.config import Config, hub_endpoint, secret_from_environment
from littoral.node.delivery.questions import MoverDesk
from littoral.node.delivery.telling import told_of
from littoral.node.delivery.words import (
    AT_WORK,
    FLEET,
    SAID,
    AtWork,
    Dealing,
    FleetTold,
    ListenTold,
    MoverSaid,
    ReadersTold,
)
from littoral.node.home import Home
from littoral.routing.fleet import Fleet
from littoral.terms.delivery import (
    Nothing,
    PullsShown,
)
from littoral.terms.errors import DrainingError, LittoralError
from littoral.terms.facts import PullEnded
from littoral.terms.ids import ArtifactId, ModelName, PopId, SiteName
from littoral.terms.ports import Clock, Observe
from littoral.terms.values import Down, Starting
from littoral.trust.members import Member
from littoral.web.delivery import DELIVERY

__all__ = ["Office"]

log = logging.getLogger("littoral")

_MODULE: Final = "littoral.node.delivery.mover"
_ROOM_STEP: Final = 10**9
_ATTEND_S: Final = 0.1
_AGAIN_S: Final = 0.5
"""After the mover could not be told or asked; and between two looks at what arrives."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Ready:
    """It runs."""

    pid: int


class Office(MoverDesk):
    """Of one PoP."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        observe: Observe,
        tasks: asyncio.TaskGroup,
        changed: Callable[[], None],
        at_work: Callable[[], int],
        arrivals: Arrivals,
    ) -> None:
        """Start nothing yet.

        Args:
            config: of the PoP.
            clock: for the worker's.
            observe: hears of its deaths.
            tasks: own what goes on meanwhile.
            changed: called when what the mover says is something else.
            at_work: how many requests the PoP answers now.
            arrivals: told which models are on their way, and how far.
        """
        self._config = config
        self._tasks = tasks
        self._changed = changed
        self._observe = observe
        self._at_work = at_work
        self._ends_told = 0
        self._arrivals = arrivals
        home = Home(config.home)
        self._has_store = (home.artifacts / "files").is_dir
        self._worker = Worker(
            WorkerPlan("mover", "the mover of this PoP", _MODULE, home.run, home.logs),
            arguments=self._arguments,
            describe=lambda _, pid: _Ready(pid),
            clock=clock,
            observe=observe,
        )
        super().__init__(PopClient(self._worker))
        self._running: list[asyncio.Task[None]] = []
        self._up = asyncio.Event()
        """It runs, and may be asked."""
        self._knows = asyncio.Event()
        """And it was told of the fleet, without which it would take itself to be alone."""
        self._watching = asyncio.Event()
        """Set while models are on their way."""
        self._failed: LittoralError | None = None
        self._over = False
        """The PoP ends: nothing is started any more."""
        self._fleet = FleetTold(SiteName(config.site), ())
        self._telling = asyncio.Event()
        self.said: MoverSaid | None = None
        """What it says; None while it does not run."""

    def room_bytes(self) -> int:
        """What more would fit here, in steps of a gigabyte."""
        if self.said is not None:
            room = self.said.room_bytes
        else:
            room = shutil.disk_usage(self._config.home).free
            if self._config.store_bytes_max:
                room = min(room, self._config.store_bytes_max)
        return room // _ROOM_STEP * _ROOM_STEP

    @property
    def runs(self) -> bool:
        """Whether the mover can be asked without being started for that."""
        return self._up.is_set()

    def offered(self, model: ModelName) -> ArtifactId | None:
        """See FleetTold."""
        return self._fleet.offered(model)

    def readers(self, readers: Mapping[ArtifactId, Collection[PopId]]) -> None:
        """To whom segments may go from now on: to nobody but these."""
        told = tuple(ReadersTold(each, tuple(sorted(pops))) for each, pops in readers.items())
        if told != self._fleet.readers:
            self._fleet = msgspec.structs.replace(self._fleet, readers=told)
            self._telling.set()

    # --- its life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """See that the mover runs.

        Raises:
            EngineStartError: it can't be started.
            DrainingError: the PoP ends.
        """
        if self._over:
            raise DrainingError("this PoP ends, and its mover with it")
        if not self._running:
            self._failed = None
            self._knows.clear()
            works = (self._serve(), self._listen(), self._tell(), self._follow(), self._attend())
            self._running = [self._tasks.create_task(work) for work in works]
        await self._knows.wait()
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """End it for good; whoever waits for it, or asks for it later, hears so."""
        self._over = True
        self._rest()

    def _rest(self) -> None:
        """End it; whoever waits for it hears so."""
        for task in self._running:
            task.cancel()
        self._running = []
        self._failed = self._failed or DrainingError("this PoP ends, and its mover with it")
        self._knows.set()

    def follower(
        self,
        member: Member,
        dealing: Callable[[Member], Dealing],
        listen: ListenTold | None,
        wished: Callable[[], tuple[bytes, ...]],
    ) -> Callable[[Fleet], None]:
        """What takes every change of the fleet that this PoP is a member of; see `told_of`.

        The mover is started where there is something to pass on, and somebody to pass it on to.
        """

        def follow(fleet: Fleet) -> None:
            told = told_of(fleet, member, dealing, listen, wished())
            told = msgspec.structs.replace(told, readers=self._fleet.readers)
            if told == self._fleet:
                return
            self._fleet = told
            self._telling.set()
            if not (self._running or self._over) and told.peers and self._has_store():
                self._tasks.create_task(self._begin())

        return follow

    async def _begin(self) -> None:
        try:
            await self.start()
        except LittoralError as error:
            log.warning("nothing is delivered: %s", error)

    def _arguments(self) -> Mapping[str, object]:
        """What `MoverArguments` has besides socket and key."""
        config = self._config
        return {
            "home": str(config.home),
            "arriving": str(Home(config.home).arriving),
            "store_bytes_max": config.store_bytes_max,
            "hub_endpoint": hub_endpoint(config),
            "hub_token": secret_from_environment("HF_TOKEN") or "",
        }

    async def _serve(self) -> None:
        """Keep it running; returns when it can't be."""
        try:
            await self._worker.serve(self._report)
        finally:
            unmounted(Home(self._config.home).arriving)
        log.error("%s", self._failed)
        self._rest()

    def _report(self, state: Starting | Down | _Ready) -> None:
        match state:
            case _Ready():
                self._up.set()
                self._telling.set()
            case Starting():
                self._gone()
            case Down():
                self._gone()
                if not state.retrying:
                    self._failed = state.error
                    self._knows.set()
            case _:
                assert_never(state)

    def _gone(self) -> None:
        self._up.clear()
        self._ends_told = 0
        self._knows.clear()
        if self.said is not None:
            self._hear(None)

    def _hear(self, said: MoverSaid | None) -> None:
        self.said = said
        self._arrivals.told(said)
        if said is not None and said.arriving:
            self._watching.set()
        else:
            self._watching.clear()
        self._changed()

    async def _tell(self) -> None:
        """Tell it of the fleet: whenever that is another, and each time it has started."""
        while True:
            await self._telling.wait()
            await self._up.wait()
            self._telling.clear()
            try:
                await self._client.post(FLEET, self._fleet, Nothing)
            except LittoralError as error:
                log.warning("the mover does not hear of the others: %s", error)
                self._telling.set()
                await asyncio.sleep(_AGAIN_S)
            if self._up.is_set():
                self._knows.set()

    async def _attend(self) -> None:
        """Tell it whether requests are answered now, as soon as that changes."""
        told = 0
        while True:
            await asyncio.sleep(_ATTEND_S)
            requests = self._at_work()
            if (requests > 0) != (told > 0) and self._up.is_set():
                with suppress(LittoralError):
                    await self._client.post(AT_WORK, AtWork(requests), Nothing)
                    told = requests

    async def _listen(self) -> None:
        """Hear what it says, as soon as that is something else."""
        while True:
            await self._up.wait()
            number = 0 if self.said is None else self.said.number
            try:
                said = await self._client.get(f"{SAID}/{number}", MoverSaid)
            except LittoralError:
                await asyncio.sleep(_AGAIN_S)
                continue
            if self._up.is_set() and said != self.said:
                self._hear(said)
                self._note(said)

    async def _follow(self) -> None:
        """See how far models are that are on their way."""
        while True:
            await self._watching.wait()
            with suppress(LittoralError):
                shown = await self._client.get(f"{DELIVERY}/pulls", PullsShown)
                self._arrivals.moved({pull.id: pull for pull in shown.pulls})
            await asyncio.sleep(_AGAIN_S)

    def _note(self, said: MoverSaid) -> None:
        """Tell of the pulls that have ended since."""
        for end in said.ended:
            if end.number > self._ends_told:
                self._ends_told = end.number
                self._observe(
                    PullEnded(
                        outcome=end.outcome,
                        origin_bytes=end.origin_bytes,
                        neighbour_bytes=end.neighbour_bytes,
                        reused_bytes=end.reused_bytes,
                        wrong_chunks=end.wrong_chunks,
                    )
                )
