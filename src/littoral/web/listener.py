"""Listening: addresses, connections and requests, and how all of it ends.

`listening` owns every socket and task of the server. While its context is open, requests are
answered; when it is left, no socket, connection or task remains. `Server.drain`, called before,
lets answers under way come to their end.

What may be reached from beyond this machine without TLS is refused before anything is bound,
unless the danger was named.

Several processes may listen on one address: one of them holds it with `reserved`, and each listens
with `shared`; the system shares new connections out among those that listen. Between themselves
they talk over socket files, which only the user who runs them can open.
"""

import asyncio
import errno
import ipaddress
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from littoral.terms.errors import ConfigError, OperatorError, PortInUseError, UnsafeBindError
from littoral.terms.limits import ACCEPTS_WAITING_MAX, RESOLVE_WAIT_S
from littoral.terms.ports import Clock
from littoral.web.adopted import Adopted
from littoral.web.connection import Connection
from littoral.web.http import HttpBounds
from littoral.web.service import Answers, AnswersTo, Served, Service

__all__ = ["Bind", "Server", "listening", "reserved"]

_LAST_WORDS_S: Final = 0.25
"""After the deadline of a drain: for the cancelled handlers' clients to hear of it."""

_Address = tuple[socket.AddressFamily, str, int]


@dataclass(frozen=True, slots=True)
class Bind:
    """Where to listen. Port 0 is any free one."""

    host: str = "127.0.0.1"
    port: int = 0
    expose_without_tls: bool = False
    """Allow others to read and change what passes by, prompts and keys included."""
    shared: bool = False
    """Other processes of this user listen there too."""


class Server:
    """A server that is listening. Made by `listening` alone."""

    def __init__(self, service: Service, listeners: Sequence[asyncio.Server], scheme: str) -> None:
        """Take over listeners that accept already."""
        self._scheme = scheme
        self._service = service
        self._listeners = listeners
        self.addresses: tuple[tuple[str, int], ...] = tuple(
            bound.getsockname()[:2]
            for listener in listeners
            for bound in listener.sockets
            if bound.family is not socket.AF_UNIX
        )
        """Host and port of each socket, as bound; a socket file has none."""

    @property
    def url(self) -> str:
        """Where a client on this machine finds the server."""
        return _url(self._scheme, *self.addresses[0])

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._service.connections)

    def adopt(
        self, transport: asyncio.Transport, asked: bytes, changed: Callable[[], None]
    ) -> Adopted:
        """Answer on a connection that was dialled from here, as on one that was accepted.

        Args:
            transport: the connection.
            asked: what came on it already.
            changed: hears when it is used, and when it ends.
        """
        adopted = Adopted(self._service, changed)
        transport.set_protocol(adopted)
        adopted.connection_made(transport)
        if asked:
            adopted.data_received(asked)
        return adopted

    async def drain(self, deadline_s: float) -> None:
        """Stop accepting, close idle connections, let answers end, then cut what remains."""
        self._service.draining = True
        self._close_listeners()
        for connection in list(self._service.connections):
            connection.drain()
        await self._all_gone(deadline_s)
        for connection in list(self._service.connections):
            connection.cut()
        await self._all_gone(_LAST_WORDS_S)
        self._abort()

    def look_again(self) -> None:
        """Who may be answered has changed: end at once what is open to anybody who may not."""
        for connection in list(self._service.connections):
            if not connection.answers.stays():
                connection.abort()

    async def watch(self) -> None:
        """Act on the deadlines of all connections until cancelled."""
        bounds = self._service.bounds
        shortest_s = min(
            bounds.head_wait_s,
            bounds.body_wait_s,
            bounds.idle_wait_s,
            bounds.write_wait_s,
            bounds.linger_wait_s,
        )
        while True:
            await asyncio.sleep(min(1.0, max(0.005, shortest_s / 4)))
            self._service.read_clock()
            now = self._service.loop.time()
            for connection in list(self._service.connections):
                self._tick(connection, now)

    def _tick(self, connection: Served, now: float) -> None:
        try:
            connection.tick(now)
        except Exception as error:  # A defect of one connection must not end the others.
            self._service.on_defect(error)
            connection.abort()

    async def close(self) -> None:
        """End now whatever is left."""
        self._service.draining = True
        self._close_listeners()
        self._abort()
        await self._service.all_gone.wait()
        for listener in self._listeners:
            await listener.wait_closed()

    async def _all_gone(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._service.all_gone.wait()
        except TimeoutError:
            pass

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _abort(self) -> None:
        for connection in list(self._service.connections):
            connection.abort()


@asynccontextmanager
async def listening(
    answers: Answers | AnswersTo,
    bind: Bind | Path,
    bounds: HttpBounds,
    *,
    clock: Clock,
    on_defect: Callable[[BaseException], None],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Server]:
    """Serve at `bind` while the context is open.

    Args:
        answers: who answers what arrives; or, for each connection, says who does.
        bind: where to listen; a path is a socket file, made for this user alone.
        bounds: what is limited.
        clock: for the `date` and the id of each answer.
        on_defect: hears of every exception from the handler that is no LittoralError.
        tls: certificate and key; None speaks plain HTTP.

    Raises:
        UnsafeBindError: `bind` is reachable from beyond this machine, and there is no TLS.
        PortInUseError: something else listens there.
        ConfigError: the address can't be resolved or is not one of this machine.
    """
    if isinstance(bind, Path):
        sockets = [_listen_on_file(bind)]
    else:
        sockets = _bound(bind, await _safe_addresses(bind, tls is not None))
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as tasks:
        service = Service(
            answers=answers,
            bounds=bounds,
            clock=clock,
            on_defect=on_defect,
            loop=asyncio.get_running_loop(),
            tasks=tasks,
        )
        listeners = await _listeners(service, sockets, tls)
        server = Server(service, listeners, "http" if tls is None else "https")
        watching = tasks.create_task(server.watch())
        try:
            yield server
        except BaseException as error:
            failure = error  # Raised again below: inside, the group would wrap it.
        finally:
            await server.close()
            watching.cancel()
    if failure is not None:
        raise failure


@asynccontextmanager
async def reserved(bind: Bind, *, tls: bool) -> AsyncIterator[tuple[Bind, str]]:
    """Hold an address for the processes that will listen on it; nothing is accepted here.

    Gives what they bind, its port chosen, and the URL at which a client on this machine finds them.

    Raises:
        UnsafeBindError, PortInUseError, ConfigError: as `listening` does.
    """
    addresses = await _safe_addresses(bind, tls)
    # Bound alone first: an address that is shared may be shared by another PoP of this user.
    alone = _bound(bind, addresses)
    host, port = alone[0].getsockname()[:2]
    for each in alone:
        each.close()
    chosen = replace(bind, port=port, shared=True)
    held = _bound(chosen, addresses, accepting=False)
    try:
        yield chosen, _url("https" if tls else "http", host, port)
    finally:
        for each in held:
            each.close()


def _url(scheme: str, host: str, port: int) -> str:
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


async def _safe_addresses(bind: Bind, tls: bool) -> list[_Address]:
    addresses = await _resolve(bind)
    if not tls and not bind.expose_without_tls:
        _check_private(bind, addresses)
    return addresses


async def _resolve(bind: Bind) -> list[_Address]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_WAIT_S):
            found = await loop.getaddrinfo(
                bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
    except (OSError, TimeoutError, UnicodeError):
        raise ConfigError(
            f"the address {bind.host!r} can't be resolved", advice="give an IP address with --host"
        ) from None
    return list(dict.fromkeys((family, str(at[0]), int(at[1])) for family, _, _, _, at in found))


def _check_private(bind: Bind, addresses: Sequence[_Address]) -> None:
    for _, host, _ in addresses:
        if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
            raise UnsafeBindError(
                f"{bind.host} can be reached from beyond this machine, and there is no TLS"
            )


def _bound(
    bind: Bind, addresses: Sequence[_Address], *, accepting: bool = True
) -> list[socket.socket]:
    """Sockets that listen, or are only bound, on every address that this machine has."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    port = bind.port
    try:
        for family, host, _ in addresses:
            try:
                sockets.append(_listen(family, host, port, shared=bind.shared, accepting=accepting))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error  # `localhost` names ::1 also where there is no IPv6.
                continue
            port = sockets[0].getsockname()[1]
        if missing is not None and not sockets:
            raise missing
    except OSError as error:
        for each in sockets:
            each.close()
        raise _bind_error(bind, error) from None
    return sockets


def _listen(
    family: socket.AddressFamily, host: str, port: int, *, shared: bool, accepting: bool
) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family is socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        if accepting:
            listener.listen(ACCEPTS_WAITING_MAX)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _listen_on_file(path: Path) -> socket.socket:
    """A socket file that nobody else may open; one that a dead process left is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Before it listens nobody can connect, so that it is never open to others.
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(ACCEPTS_WAITING_MAX)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"no socket can be made at {path} ({error.strerror or error})",
            advice="give the state directory a shorter path with --home",
        ) from error
    return listener


def _bind_error(bind: Bind, error: OSError) -> OperatorError:
    where = f"{bind.host}:{bind.port}"
    match error.errno:
        case errno.EADDRINUSE:
            return PortInUseError(f"something else listens on {where}")
        case errno.EACCES:
            return ConfigError(
                f"this user may not listen on {where}", advice="choose a port above 1023"
            )
        case _:
            return ConfigError(
                f"{where} is not an address of this machine", advice="see `ip addr` for those"
            )


async def _listeners(
    service: Service, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None
) -> list[asyncio.Server]:
    if sockets[0].family is socket.AF_UNIX:
        return [
            await service.loop.create_unix_server(
                lambda: Connection(service), sock=each, backlog=ACCEPTS_WAITING_MAX
            )
            for each in sockets
        ]
    return [
        await service.loop.create_server(
            lambda: Connection(service),
            sock=each,
            ssl=tls,
            backlog=ACCEPTS_WAITING_MAX,
            ssl_handshake_timeout=None if tls is None else service.bounds.head_wait_s,
            ssl_shutdown_timeout=None if tls is None else service.bounds.linger_wait_s,
        )
        for each in sockets
    ]
