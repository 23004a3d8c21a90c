"""The composition root: one PoP put together, and taken apart again in the right order.

Start: home held, identity, database, listener, models. A port in use or a home held by another PoP
therefore shows before anything is downloaded or loaded.

Stop: new work is refused; answers under way may end for `drain_s`; then engines are ended, which
ends what is left with an honest error; then the listener. No task, socket or temporary file remains
(invariant I5).
"""

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from littoral.adapters.clock import SystemClock
from littoral.adapters.cores import granted_memory_bytes
from littoral.adapters.engines import EnginePlace, make_engine
from littoral.adapters.identity import Identity, open_identity
from littoral.adapters.models import Catalogue
from littoral.adapters.store import ReceiptBook, Store, open_store
from littoral.node.config import Config
from littoral.node.drive import owned_tasks
from littoral.node.exchanges import Exchanges
from littoral.node.home import Home, RunningPop
from littoral.node.host import HostSettings, ModelHost
from littoral.node.keyring import Keyring, budget_board
from littoral.node.relay.build import HotState, hot_state, upstreams_on
from littoral.node.relay.desk import Desk, Told
from littoral.node.relay.handled import Handling
from littoral.node.relay.keeping import Keeping
from littoral.node.relay.relay import Relay
from littoral.node.run import Parts
from littoral.node.telemetry import Telemetry, own_meters
from littoral.placement.words import PoolBounds
from littoral.terms.errors import LittoralError
from littoral.terms.ids import ModelName, PopId
from littoral.terms.ports import Clock, Engine
from littoral.terms.values import SECOND, Down, ModelEntry, Ready
from littoral.trust.receipts import Draft, Issuer
from littoral.web.app import make_gate, make_handler
from littoral.web.http import HttpBounds
from littoral.web.listener import Bind, listening
from littoral.web.service import Answers
from littoral.web.tls import server_tls

__all__ = ["Pop", "PopStatus", "running_pop"]

log = logging.getLogger("littoral")

LAST_WORDS_S: Final = 1.0
"""For handlers to write their error events after the engines have been ended."""


class PopStatus:
    """What monitoring asks for."""

    def __init__(self, host: ModelHost, telemetry: Telemetry, kept: tuple[str, ...]) -> None:
        self._host = host
        self._telemetry = telemetry
        self._kept = kept
        self.draining = False

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        """Ready once every model that is kept loaded is."""
        states: dict[str, str] = {
            status.entry.name: _word(status.state)
            for status in self._host.statuses()
            if status.entry.name in self._kept
        }
        missing = [name for name in self._kept if states.get(name) != "ready"]
        reasons = {"draining": self.draining, "models": states, "not_ready": missing}
        return not self.draining and not missing, reasons

    def metrics(self) -> bytes:
        """Prometheus text exposition."""
        loads: dict[ModelName, tuple[int, int]] = {
            status.entry.name: (status.in_flight, status.waiting)
            for status in self._host.statuses()
        }
        return self._telemetry.exposition(loads)


def _word(state: object) -> str:
    match state:
        case Ready():
            return "ready"
        case Down():
            return "down"
        case None:
            return "not loaded"
        case _:
            return "loading"


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


@asynccontextmanager
async def running_pop(config: Config) -> AsyncIterator[Pop]:
    """Run a PoP while the context is open. Loading its models is left to the caller.

    Raises:
        HomeUnwritableError, HomeHeldError, PortInUseError, UnsafeBindError, ConfigError: each with
            its remedy, before anything was started.
    """
    clock, home = SystemClock(), Home(config.home)
    home.make()
    with home.held(), _opened(config, home, clock) as opened:
        async with owned_tasks() as tasks:
            parts = _Parts(config, home, opened, clock, tasks)
            async with parts.listening() as pop:
                watching = tasks.create_task(pop.host.watch(), name="catalogue")
                try:
                    yield pop
                finally:
                    watching.cancel()


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is open in its home while a PoP runs."""

    identity: Identity
    store: Store
    keyring: Keyring
    telemetry: Telemetry
    hot: HotState


@contextmanager
def _opened(config: Config, home: Home, clock: Clock) -> Iterator[_Opened]:
    identity = open_identity(home.path, clock)
    with open_store(home.path) as store, budget_board(home.run) as board:
        keyring = Keyring(store, clock, board)
        keyring.restore_day()
        with own_meters(home.run) as meters:
            telemetry = Telemetry(meters, clock)
            with hot_state(
                config, home.run, worker=0, clock=clock, observe=telemetry.observe
            ) as hot:
                yield _Opened(identity, store, keyring, telemetry, hot)


class _Inline:
    """Signs and keeps each receipt at once."""

    def __init__(self, book: ReceiptBook, issuer: Issuer) -> None:
        self._book, self._issuer = book, issuer

    def write(self, draft: Draft, told: Told) -> None:
        """See Desk."""
        try:
            sealed = self._book.append(partial(self._issuer.issue, draft))
        except LittoralError as error:
            told(error)
        else:
            told(sealed.document)


class _Parts:
    """What a PoP is made of, wired."""

    def __init__(
        self,
        config: Config,
        home: Home,
        opened: _Opened,
        clock: Clock,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._config = config
        self._home = home
        self._identity = identity = opened.identity
        self._clock = clock
        self._telemetry = opened.telemetry
        self._keyring = opened.keyring
        self._catalogue = Catalogue(home.models)
        self._place = EnginePlace(
            run_dir=home.run,
            log_dir=home.logs,
            slots=config.slots,
            kv_tokens=config.kv_tokens,
            threads=config.threads,
        )
        self._upstreams = upstreams_on(
            opened.hot, spawn=tasks.create_task, clock=clock, observe=self._telemetry.observe
        )
        self._host = ModelHost(
            self._catalogue,
            self._engine,
            HostSettings(
                bounds=PoolBounds(
                    memory_bytes=config.memory_bytes or granted_memory_bytes(),
                    queue=config.queue,
                    keep_alive=int(config.keep_alive_s * SECOND),
                ),
                pinned=frozenset(config.models),
                kv_tokens=config.kv_tokens,
                slots=config.slots,
                free_memory_bytes=granted_memory_bytes,
            ),
            clock=clock,
            observe=self._telemetry.observe,
            tasks=tasks,
        )
        self._status = PopStatus(self._host, self._telemetry, config.models)
        self._door = Exchanges(
            Parts(
                pop=identity.pop_id,
                host=self._host,
                keyring=self._keyring,
                receipts=opened.store.receipts,
                issuer=Issuer(identity),
                clock=clock,
                observe=self._telemetry.observe,
                wait=int(config.load_wait_s * SECOND),
            )
        )
        self._relay = Relay(
            authenticate=self._door.authenticate,
            host=self._host,
            desk=Desk(
                pop=identity.pop_id,
                keyring=self._keyring,
                scribe=_Inline(opened.store.receipts, Issuer(identity)),
                clock=clock,
                observe=self._telemetry.observe,
            ),
            upstreams=self._upstreams,
            keeping=_keeping(config, opened.hot, clock),
            handling=Handling(
                make_handler(self._door, self._status), tasks.create_task, _log_defect
            ),
        )

    def _engine(self, entry: ModelEntry) -> Engine:
        return make_engine(
            entry,
            self._place,
            clock=self._clock,
            observe=self._telemetry.observe,
            upstreams=self._upstreams,
            current=partial(self._host.entry, entry.name),
        )

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Pop]:
        """Take requests while the context is open; then wind down in the right order."""
        config = self._config
        bounds = HttpBounds(
            body_bytes_max=config.body_bytes_max,
            connections_max=config.connections_max,
            head_wait_s=config.head_wait_s,
            body_wait_s=config.body_wait_s,
        )
        async with listening(
            Answers(
                make_handler(self._door, self._status),
                make_gate(self._door, self._status),
                self._relay,
            ),
            Bind(config.host, config.port, config.expose_without_tls),
            clock=self._clock,
            on_defect=_log_defect,
            bounds=bounds,
            tls=_tls(config),
        ) as server:
            key, certificate = self._keyring.local_key, _certificate(config)
            announced = RunningPop(os.getpid(), server.url, key, certificate)
            pop = Pop(
                pop_id=self._identity.pop_id,
                url=server.url,
                home=self._home,
                catalogue=self._catalogue,
                host=self._host,
                status=self._status,
                keyring=self._keyring,
                announced=announced,
            )
            self._home.announce(announced)
            try:
                yield pop
            finally:
                self._status.draining = True
                await _wind_down(self._host, config.drain_s)
                await server.drain(LAST_WORDS_S)


def _log_defect(error: BaseException) -> None:
    log.error("a defect: please report it", exc_info=error)


async def _wind_down(host: ModelHost, drain_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(drain_s):
            await host.drain()
    host.close()


def _keeping(config: Config, hot: HotState, clock: Clock) -> Keeping | None:
    if hot.answers is None:
        return None
    return Keeping(
        hot.answers, policy_epoch=config.cache_epoch, ttl_s=config.cache_ttl_s, clock=clock
    )


def _certificate(config: Config) -> str:
    return str(Path(config.tls_cert).absolute()) if config.tls_cert else ""


def _tls(config: Config) -> ssl.SSLContext | None:
    return server_tls(config.tls_cert, config.tls_key) if config.tls_cert else None
