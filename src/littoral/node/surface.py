"""How a process of a PoP meets its clients, as the configuration says it: bounds, TLS, defects."""

import logging
import ssl

from littoral.adapters.cores import granted_memory_bytes
from littoral.adapters.engines import EnginePlace
from littoral.node.config import Config
from littoral.node.home import Home
from littoral.node.host import HostSettings
from littoral.placement.words import PoolBounds
from littoral.terms.values import SECOND
from littoral.web.http import HttpBounds
from littoral.web.listener import Bind
from littoral.web.tls import server_tls

__all__ = [
    "LAST_WORDS_S",
    "bind_of",
    "bounds_of",
    "engine_place",
    "host_settings",
    "log_defect",
    "processes_of",
    "tls_of",
]

log = logging.getLogger("littoral")

LAST_WORDS_S = 1.0
"""For handlers to write their error events after the engines have been ended."""


def bind_of(config: Config) -> Bind:
    """Where the PoP listens."""
    return Bind(config.host, config.port, config.expose_without_tls)


def processes_of(config: Config) -> int:
    """How many processes share what lies in HOME/run: the one of `littoral up`, and its workers."""
    return 1 if config.workers == 1 else 1 + config.workers


def bounds_of(config: Config) -> HttpBounds:
    """What one process of it lets clients take."""
    return HttpBounds(
        body_bytes_max=config.body_bytes_max,
        connections_max=config.connections_max,
        head_wait_s=config.head_wait_s,
        body_wait_s=config.body_wait_s,
    )


def host_settings(config: Config) -> HostSettings:
    """What its models may take."""
    return HostSettings(
        bounds=PoolBounds(
            memory_bytes=config.memory_bytes or granted_memory_bytes(),
            queue=config.queue,
            keep_alive=int(config.keep_alive_s * SECOND),
        ),
        pinned=frozenset(config.models),
        kv_tokens=config.kv_tokens,
        slots=config.slots,
        free_memory_bytes=granted_memory_bytes,
    )


def engine_place(config: Config, home: Home) -> EnginePlace:
    """Where its engines run."""
    return EnginePlace(
        run_dir=home.run,
        log_dir=home.logs,
        slots=config.slots,
        kv_tokens=config.kv_tokens,
        threads=config.threads,
    )


def tls_of(config: Config) -> ssl.SSLContext | None:
    """Its certificate and key, if it speaks TLS.

    Raises:
        ConfigError: they can't be used.
    """
    return server_tls(config.tls_cert, config.tls_key) if config.tls_cert else None


def log_defect(error: BaseException) -> None:
    """Note an exception that nobody meant to raise."""
    log.error("a defect: please report it", exc_info=error)
