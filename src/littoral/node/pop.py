"""The composition root: one PoP put together, and taken apart again in the right order.

With several workers this process is their conductor (conductor.py): it listens on a socket file for
what they pass on, and they at the PoP's address (worker.py).

Start: home held, identity, database, listener, models: what is in use shows before any download.

Stop: new work is refused; answers under way may end for `drain_s`; then engines are ended, which
ends what is left with an honest error; then the listener. No task, socket or temporary file remains
(invariant I5).
"""

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from littoral.adapters.clock import SystemClock
from littoral.adapters.engines import make_engine
from littoral.adapters.models import Catalogue
from littoral.adapters.shelves import models_shelved
from littoral.adapters.upstreams.upstreams import Upstreams
from littoral.node.answering import answer_from_memory
from littoral.node.conductor import Workers, conducted
from littoral.node.config import Config
from littoral.node.delivery.front import PullThrough
from littoral.node.delivery.office import Office
from littoral.node.delivery.on_request import OnRequest
from littoral.node.delivery.wishing import Pulls, Wishing
from littoral.node.drive import owned_tasks
from littoral.node.entries import watch
from littoral.node.exchanges import Exchanges
from littoral.node.fabric.ahead import Ahead
from littoral.node.fabric.desk import Desk as FabricDesk
from littoral.node.fabric.elsewhere import Others
from littoral.node.fabric.learning import Learnt
from littoral.node.fabric.membership import Membership
from littoral.node.fabric.surroundings import Surroundings
from littoral.node.front import Front, at_work, wind_down
from littoral.node.home import Home, RunningPop
from littoral.node.host import ModelHost
from littoral.node.keyring import Keyring, authenticated
from littoral.node.memory.furnished import Furnished
from littoral.node.neighbours import Fabric, Neighbours
from littoral.node.onward import Onward
from littoral.node.opened import Opened, opened_home
from littoral.node.parts import Parts
from littoral.node.relay.build import hand_over_counts, keeping_on, reusing_on, upstreams_on
from littoral.node.relay.desk import Desk
from littoral.node.relay.keeping import Keeping
from littoral.node.relay.relay import Relay
from littoral.node.relay.reusing import Wishes
from littoral.node.relay.standing import Work
from littoral.node.relay.ways import Ways
from littoral.node.scribe import Scribe
from littoral.node.status import PopStatus
from littoral.node.surface import (
    LAST_WORDS_S,
    bind_of,
    bounds_of,
    engine_place,
    host_settings,
    log_defect,
    tls_of,
)
from littoral.node.worker import Charge, conductor_socket
from littoral.terms.facts import Fact
from littoral.terms.ids import PopId
from littoral.terms.ports import Engine
from littoral.terms.values import SECOND, EngineKind, ModelEntry
from littoral.trust.issuing import Issuer
from littoral.web.app import App, Desks
from littoral.web.files import FileDesk
from littoral.web.listener import Bind, Server, listening, reserved
from littoral.web.service import Answers

__all__ = ["Pop", "running_pop"]

log = logging.getLogger("littoral")


@dataclass(frozen=True, slots=True)
class Pop:
    """A PoP that runs."""

    pop_id: PopId
    url: str
    home: Home
    catalogue: Catalogue
    host: ModelHost
    status: PopStatus
    keyring: Keyring
    announced: RunningPop
    """What commands on this machine are told, with an operator key of this run only."""
    workers: Workers | None
    """Those that answer clients, unless this process does."""
    neighbours: Server | None
    """Where other PoPs ask, unless it is alone."""
    upstreams: Upstreams
    """The way to them, and to all other servers."""


@asynccontextmanager
async def running_pop(config: Config, fabric: Fabric | None = None) -> AsyncIterator[Pop]:
    """Run a PoP while the context is open. Loading its models is left to the caller.

    Args:
        config: what its operator wants.
        fabric: how it is one of several; None is a PoP that is alone.

    Raises:
        HomeUnwritableError, HomeHeldError, PortInUseError, UnsafeBindError, ConfigError: each with
            its remedy, before anything was started.
    """
    clock, home = SystemClock(), Home(config.home)
    home.make()
    with home.held(), opened_home(config, home, clock) as opened:
        async with owned_tasks() as tasks:
            membership = Membership(config, opened, tasks)
            parts = _Parts(config, home, opened, tasks, membership, fabric)
            try:
                async with parts.listening() as pop:
                    watching = tasks.create_task(watch(pop.host.entries.rescan), name="catalogue")
                    counting = tasks.create_task(hand_over_counts(opened.hot), name="counts")
                    try:
                        yield pop
                    finally:
                        watching.cancel()
                        counting.cancel()
            finally:
                parts.scribe.close()


class _Parts:
    """What a PoP is made of, wired."""

    def __init__(
        self,
        config: Config,
        home: Home,
        opened: Opened,
        tasks: asyncio.TaskGroup,
        membership: Membership,
        fabric: Fabric | None,
    ) -> None:
        self._config = config
        self._home, self._fabric = home, fabric
        self._membership = membership
        self._identity = identity = opened.identity
        self._onward = Onward(identity.pop_id, identity)
        self._clock = clock = opened.clock
        self._telemetry, self._keyring = opened.telemetry, opened.keyring
        self._hot = opened.hot
        self._tasks = tasks
        self._catalogue = Catalogue(home.models)
        self._place = engine_place(config, home)
        self._upstreams = upstreams_on(
            opened.hot,
            spawn=tasks.create_task,
            clock=clock,
            observe=self._telemetry.observe,
            neighbourhood=(fabric or membership).neighbourhood,
        )
        self._host = ModelHost(
            self._catalogue,
            self._engine,
            host_settings(config),
            clock=clock,
            observe=self._seen,
            tasks=tasks,
        )
        self.scribe = Scribe(
            opened.store.receipts,
            Issuer(identity),
            asyncio.get_running_loop(),
            self._telemetry.observe,
            log_defect,
        )
        self._status = PopStatus(self._host, self._telemetry, config.models)
        self._keeping = self._kept(opened)
        self._elsewhere = Others(membership, self._host.entries.guest, config.zone)
        parts = Parts(
            pop=identity.pop_id,
            host=self._host,
            keyring=self._keyring,
            receipts=opened.store.receipts,
            scribe=self.scribe,
            clock=clock,
            observe=self._seen,
            wait=int(config.load_wait_s * SECOND),
            onward=self._onward,
            vectors=None if self._keeping is None else self._keeping.vectors,
        )
        self._door = Exchanges(parts, self._elsewhere)
        self._office = office = self._deliveries(tasks)
        furnished = (config, home.path, self._door, parts, office, identity, tasks)
        memory = self._memory = Furnished(*furnished)
        desk = FabricDesk(membership, opened, self._host.entries, self._onward)
        self._wishing = self._wishes()
        work, files = self._office, self._files()
        desks = Desks(desk, work, self._wishing, files, work, *memory.desks)
        self._app = App(self._door, self._status, desks)
        self._relay = self._hot_path()
        house, find = self._memory.house, work.pipeline
        answer_from_memory(house, self._door, self._relay, self._upstreams, find)

    def _deliveries(self, tasks: asyncio.TaskGroup) -> Office:
        config, clock, host = self._config, self._clock, self._host
        told = (self._telemetry.observe, tasks, self._membership.changed)
        parts = (lambda: at_work(host, self._relay, self._hot), host.arrivals)
        office = Office(config, clock, *told, *parts)
        self._door.bring = OnRequest(office, host, clock, config).bring
        return office

    def _wishes(self) -> Wishing:
        office = self._office
        pulls = Pulls(office.pull, office.plan, office.room_bytes, self._telemetry.asked)
        return Wishing(self._home.path, pulls, self._identity, self._clock)

    def _files(self) -> FileDesk:
        entries = self._host.entries
        shelf = PullThrough(
            self._home.artifacts,
            lambda: models_shelved(entries.by_name.values()),
            self._office,
            self._clock,
        )
        return FileDesk(shelf, self._telemetry.observe, self._keyring.count)

    def _kept(self, opened: Opened) -> Keeping | None:
        reusing = reusing_on(
            self._config,
            opened.hot,
            opened.book,
            self._host,
            spawn=self._tasks.create_task,
            clock=self._clock,
            observe=self._telemetry.observe,
        )
        wishes = None if reusing is None else Wishes(self._config.reuse_error_max)
        return keeping_on(self._config, opened.hot, self._clock, wishes=wishes, reusing=reusing)

    def _hot_path(self) -> Relay:
        ways = Ways(
            host=self._host.entries,
            upstreams=self._upstreams,
            keeping=self._keeping,
            peers=None,
            onward=self._onward,
            elsewhere=self._elsewhere,
        )
        return Relay(
            authenticate=partial(authenticated, self._keyring, self._telemetry.observe),
            host=self._host.entries,
            desk=Desk(
                pop=self._identity.pop_id,
                keyring=self._keyring,
                scribe=self.scribe,
                clock=self._clock,
                observe=self._telemetry.observe,
            ),
            ways=ways,
            keeping=self._keeping,
            handler=lambda caller: self._app.handler(lambda _: caller),
            work=Work(self._tasks.create_task, log_defect),
        )

    def _seen(self, fact: Fact) -> None:
        """What happens to models here: counted, and learned from."""
        self._telemetry.observe(fact)
        self._membership.observe(fact)

    def _engine(self, entry: ModelEntry) -> Engine:
        engine = make_engine(
            entry,
            self._place,
            clock=self._clock,
            observe=self._telemetry.observe,
            upstreams=self._upstreams,
            current=partial(self._host.entries.entry, entry.name),
        )
        if entry.engine is EngineKind.UPSTREAM:
            return engine
        return Learnt(engine, self._membership.learning)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Pop]:
        """Take requests while the context is open; then wind down in the right order."""
        memory = self._memory.working()
        async with memory, self._front() as front, self._neighbours() as neighbours:
            announced = RunningPop(
                os.getpid(), front.url, self._keyring.local_key, _certificate(self._config)
            )
            pop = Pop(
                pop_id=self._identity.pop_id,
                url=front.url,
                home=self._home,
                catalogue=self._catalogue,
                host=self._host,
                status=self._status,
                keyring=self._keyring,
                announced=announced,
                workers=front.workers,
                neighbours=neighbours,
                upstreams=self._upstreams,
            )
            self._home.announce(announced)
            try:
                yield pop
            finally:
                self._status.draining = self._relay.closing = True
                self._membership.draws_near()
                self._memory.draws_near()
                parts = self._host, self._relay, self._membership
                await wind_down(*parts, front, self._config.drain_s)
                async with asyncio.TaskGroup() as draining:
                    for server in filter(None, (front.server, neighbours)):
                        draining.create_task(server.drain(LAST_WORDS_S))
                self._office.close()
                self._upstreams.close()

    @asynccontextmanager
    async def _front(self) -> AsyncIterator[Front]:
        """Clients are answered: by this process, or by workers that pass on to it."""
        config, tls = self._config, tls_of(self._config)
        if config.workers == 1:
            async with self._server(bind_of(config), tls) as server:
                yield Front(server.url, server, None)
            return
        secret = self._clock.random_bytes(32).hex()
        async with (
            reserved(bind_of(config), tls=tls is not None) as (bind, url),
            self._server(conductor_socket(self._home), None) as server,
        ):
            record, key = self._keyring.local
            settings = {**config.as_flags(), "port": bind.port}
            level = logging.getLogger().level

            def charge(number: int) -> Charge:
                return Charge(number, config.workers, settings, record, key, secret, level)

            async with conducted(
                self._home,
                range(1, config.workers + 1),
                charge,
                forget=self._forget,
                clock=self._clock,
                tasks=self._tasks,
            ) as workers:
                yield Front(url, server, workers)

    @asynccontextmanager
    async def _neighbours(self) -> AsyncIterator[Server | None]:
        """Other PoPs are answered, as soon as there are any."""
        if self._fabric is not None:
            async with self._answering(self._fabric) as server:
                yield server
            return
        ahead = Ahead(self._upstreams.warm)
        delivery = (self._office, self._wishing)
        copies = self._memory.replication
        parts = (self._host, self._upstreams, ahead, *delivery, copies, self._answering)
        self._membership.attach(Surroundings(*parts))
        try:
            await self._membership.begin()
            yield None
        finally:
            await self._membership.end()

    def _answering(self, fabric: Fabric) -> AbstractAsyncContextManager[Server]:
        neighbours = Neighbours(
            self._identity.pop_id, fabric, app=self._app, relay=self._relay, clock=self._clock
        )
        return neighbours.listening(bounds_of(self._config))

    def _server(
        self, bind: Bind | Path, tls: ssl.SSLContext | None
    ) -> AbstractAsyncContextManager[Server]:
        return listening(
            Answers(self._app.handler(), self._app.gate(), self._relay),
            bind,
            clock=self._clock,
            on_defect=log_defect,
            bounds=bounds_of(self._config),
            tls=tls,
        )

    def _forget(self, worker: int) -> None:
        """What a dead worker held is free again."""
        self._keyring.forget_worker(worker)
        self._hot.forget_worker(worker)


def _certificate(config: Config) -> str:
    return str(Path(config.tls_cert).absolute()) if config.tls_cert else ""
