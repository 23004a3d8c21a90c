"""The composition root: one PoP put together, and taken apart again in the right order.

Start: home held, identity, database, listener, models. A port in use or a home held by another PoP
therefore shows before anything is downloaded or loaded.

Stop: new work is refused; answers under way may end for `drain_s`; then engines are ended, which
ends what is left with an honest error; then the listener. No task, socket or temporary file remains
(invariant I5).
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from littoral.adapters.clock import SystemClock
from littoral.adapters.cores import free_memory_bytes
from littoral.adapters.engines import EnginePlace, make_engine
from littoral.adapters.identity import load_or_make_identity
from littoral.adapters.models import Catalogue
from littoral.adapters.store import Store
from littoral.node.config import Config, secret_from_environment
from littoral.node.exchanges import Exchanges
from littoral.node.home import Home, RunningPop
from littoral.node.host import ModelHost
from littoral.node.keyring import Keyring
from littoral.node.telemetry import Telemetry
from littoral.placement.words import PoolBounds
from littoral.terms.errors import ConfigError
from littoral.terms.ids import PopId
from littoral.terms.ports import Engine
from littoral.terms.values import SECOND, Down, ModelEntry, Ready
from littoral.trust.names import pop_id
from littoral.trust.receipts import Issuer
from littoral.web.app import make_handler
from littoral.web.http import HttpBounds
from littoral.web.listener import Bind, listening

__all__ = ["Pop", "PopStatus", "running_pop"]

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
        states = {
            status.entry.name: _word(status.state)
            for status in self._host.statuses()
            if status.entry.name in self._kept
        }
        missing = [name for name in self._kept if states.get(name) != "ready"]
        reasons = {"draining": self.draining, "models": states, "not_ready": missing}
        return not self.draining and not missing, reasons

    def metrics(self) -> bytes:
        """Prometheus text exposition."""
        loads = {
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
    door: Exchanges
    status: PopStatus
    first_key: str | None
    """The API key made on the very first start; shown once, kept nowhere in clear."""
    local_key: str
    """An operator key for commands on this machine, worth nothing after this run."""


@asynccontextmanager
async def running_pop(config: Config) -> AsyncIterator[Pop]:
    """Run a PoP while the context is open; its models are loaded in the background.

    Raises:
        HomeUnwritableError, HomeHeldError, PortInUseError, UnsafeBindError, ConfigError: each with
            its remedy, before anything was started.
    """
    clock, telemetry = SystemClock(), Telemetry()
    home = Home(config.home)
    home.make()
    with home.held():
        signer = load_or_make_identity(home.identity)
        with Store.open(home.database) as store:
            keyring = Keyring(store, clock)
            catalogue = Catalogue(home.models)
            place = EnginePlace(
                run_dir=home.run,
                log_dir=home.logs,
                slots=config.slots,
                kv_tokens=config.kv_tokens,
                threads=config.threads,
            )

            def engine_of(entry: ModelEntry) -> Engine:
                return make_engine(
                    entry,
                    place,
                    clock=clock,
                    observe=telemetry.observe,
                    secret=secret_from_environment,
                )

            async with asyncio.TaskGroup() as tasks:
                host = ModelHost(
                    catalogue,
                    engine_of,
                    PoolBounds(
                        memory_bytes=config.memory_bytes or free_memory_bytes(),
                        queue=config.queue,
                        keep_alive=int(config.keep_alive_s * SECOND),
                    ),
                    pinned=config.models,
                    kv_tokens=config.kv_tokens,
                    free_memory_bytes=free_memory_bytes,
                    clock=clock,
                    observe=telemetry.observe,
                    tasks=tasks,
                )
                name = pop_id(signer.public_key)
                door = Exchanges(
                    pop=name,
                    host=host,
                    keyring=keyring,
                    store=store,
                    issuer=Issuer(signer),
                    clock=clock,
                    observe=telemetry.observe,
                    load_wait_s=config.load_wait_s,
                )
                status = PopStatus(host, telemetry, config.models)
                bind = Bind(config.host, config.port, config.expose_without_tls)
                bounds = HttpBounds(
                    body_bytes_max=config.body_bytes_max,
                    connections_max=config.connections_max,
                    head_wait_s=config.head_wait_s,
                    body_wait_s=config.body_wait_s,
                )
                async with listening(
                    make_handler(door, status), bind, bounds, tls=_tls(config)
                ) as server:
                    pop = Pop(
                        pop_id=name,
                        url=server.url,
                        home=home,
                        catalogue=catalogue,
                        host=host,
                        door=door,
                        status=status,
                        first_key=keyring.first_key(),
                        local_key=keyring.local_key(),
                    )
                    home.announce(RunningPop(_pid(), pop.url, pop.local_key))
                    try:
                        yield pop
                    finally:
                        status.draining = True
                        await _wind_down(host, config.drain_s)
                        await server.drain(LAST_WORDS_S)


async def _wind_down(host: ModelHost, drain_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(drain_s):
            await host.drain()
    host.close()


def _tls(config: Config) -> ssl.SSLContext | None:
    if not config.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(
            Path(config.tls_cert).expanduser(), Path(config.tls_key).expanduser()
        )
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the TLS certificate or key can't be used: {error}",
            advice="give PEM files that belong together with --tls-cert and --tls-key",
        ) from error
    return context
