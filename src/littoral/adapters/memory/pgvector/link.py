"""Connections to Postgres: few, bounded in time, and the vectors that go through them.

Rules
- A server that has stopped answering costs `SERVED_ANSWER_S`, not a thread for ever: each wait for
  it has a deadline here, beside the one that the server itself is given.
- A connection that is in the middle of something when its user leaves is closed, not given back.
- What psycopg raises is translated, and neither the address's password nor a record's text is said.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, LifoQueue
from select import select
from threading import local
from typing import Any, TypeVar

import numpy as np
import psycopg
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.pq import Format, TransactionStatus
from psycopg.types import TypeInfo

from littoral.adapters.clock import SystemClock
from littoral.terms.errors import (
    BadRequestError,
    ConfigError,
    DiskShortError,
    LittoralError,
    NotFoundError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from littoral.terms.limits import SERVED_ANSWER_S, SERVED_CONNECT_S, SERVED_CONNECTIONS_MAX
from littoral.terms.values import SECOND

__all__ = ["Connection", "Link", "Packed", "translated"]

Connection = psycopg.Connection[tuple[Any, ...]]

Result = TypeVar("Result")


class Packed(bytes):
    """A packed vector, as a parameter of a statement."""

    __slots__ = ()


class _OverdueError(Exception):
    """The server does not answer."""


class _Bounded(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits for its server for so long and no longer."""

    answer_s: float = SERVED_ANSWER_S

    def wait(
        self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None
    ) -> Result:
        """As psycopg waits, which looks up each `interval`."""
        deadline = SystemClock.now() + int(self.answer_s * SECOND)
        try:
            return super().wait(_until(gen, deadline), interval, timeout)
        except _OverdueError:
            self.close()
            raise


def _until(gen: PQGen[Result], deadline: int) -> PQGen[Result]:
    try:
        waiting = next(gen)
        while True:
            ready = yield waiting
            if SystemClock.now() > deadline:
                raise _OverdueError
            waiting = gen.send(ready)
    except StopIteration as end:
        result: Result = end.value
        return result


class _VectorDumper(Dumper):
    """A vector as pgvector's binary form has it: its length, two empty bytes, big-endian floats."""

    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer:  # noqa: ANN401 - as psycopg has it
        numbers = np.frombuffer(obj, dtype="<f4").astype(">f4")
        return len(numbers).to_bytes(2, "big") + b"\0\0" + numbers.tobytes()


class _VectorLoader(Loader):
    """A vector, packed as `terms.memory` has it."""

    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        return np.frombuffer(bytes(data)[4:], dtype=">f4").astype("<f4").tobytes()


class Link:
    """A bounded number of connections to one database; any thread may take one."""

    def __init__(self, address: str, password: str, *, answer_s: float = SERVED_ANSWER_S) -> None:
        """Nothing is connected yet.

        Args:
            address: a URL or a list of `key=value`, without a password.
            password: of the user, or empty.
            answer_s: how long one answer may take.

        Raises:
            ConfigError: the address is none, or has a password in it.
        """
        self._answer_s = answer_s
        self._parameters = _parameters(address, password)
        self._within = local()
        self._idle: LifoQueue[Connection | None] = LifoQueue()
        for _ in range(SERVED_CONNECTIONS_MAX):
            self._idle.put(None)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """One to ask by. Within a transaction of this thread, the transaction's."""
        held: Connection | None = getattr(self._within, "held", None)
        if held is not None:
            yield held
            return
        with self._borrowed() as connection, translated(self._answer_s):
            yield connection

    @contextmanager
    def transaction(self, *, answer_s: float | None = None) -> Iterator[Connection]:
        """All that this thread asks within is done, or nothing of it.

        Args:
            answer_s: how long one answer may take, if other than usual.
        """
        with self._borrowed() as connection, translated(answer_s or self._answer_s):
            assert isinstance(connection, _Bounded)
            self._within.held = connection
            try:
                with connection.transaction():
                    if answer_s is not None:
                        connection.answer_s = answer_s + 1
                        connection.execute(
                            sql.SQL("SET LOCAL statement_timeout = {}").format(_ms(answer_s))
                        )
                    yield connection
            finally:
                connection.answer_s = self._answer_s + 1
                self._within.held = None

    def close(self) -> None:
        """Close those that are idle; those in use are closed by whoever uses them."""
        with suppress(Empty):
            while True:
                connection = self._idle.get_nowait()
                if connection is not None:
                    connection.close()

    @contextmanager
    def _borrowed(self) -> Iterator[Connection]:
        try:
            connection = self._idle.get(timeout=self._answer_s)
        except Empty:
            raise UpstreamTimeoutError("all connections to Postgres are in use") from None
        try:
            if connection is not None and _has_ended(connection):
                connection.close()
            if connection is None or connection.closed:
                connection = self._connected()
            yield connection
        finally:
            if connection is not None and (
                connection.closed or connection.info.transaction_status != TransactionStatus.IDLE
            ):
                connection.close()
                connection = None
            self._idle.put(connection)

    def _connected(self) -> Connection:
        with translated(SERVED_CONNECT_S):
            connection = _Bounded.connect(
                **self._parameters, autocommit=True, prepare_threshold=None
            )
        try:
            with translated(self._answer_s):
                connection.answer_s = self._answer_s + 1
                connection.execute(
                    sql.SQL("SET statement_timeout = {}").format(_ms(self._answer_s))
                )
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
                _teach(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _has_ended(connection: Connection) -> bool:
    """Whether an idle connection has something to read: it was cut, and that is the farewell."""
    return connection.closed or bool(select([connection.fileno()], [], [], 0)[0])


def _teach(connection: Connection) -> None:
    """Have the connection know pgvector's type."""
    info = TypeInfo.fetch(connection, "vector")
    if info is None:
        raise ConfigError(
            "pgvector is not on the search path of this user",
            advice="install the extension into the schema `public`",
        )
    info.register(connection)
    dumper = type("VectorDumper", (_VectorDumper,), {"oid": info.oid})
    connection.adapters.register_dumper(Packed, dumper)
    connection.adapters.register_loader(info.oid, _VectorLoader)


def _ms(seconds: float) -> sql.Literal:
    return sql.Literal(int(seconds * 1000))


def _parameters(address: str, password: str) -> dict[str, Any]:
    try:
        given = psycopg.conninfo.conninfo_to_dict(address)
    except psycopg.ProgrammingError:
        raise ConfigError(
            "the address of Postgres can't be read",
            advice="write it as in postgresql://USER@HOST:5432/DATABASE",
        ) from None
    if given.get("password"):
        raise ConfigError(
            "the address of Postgres has a password in it, which would be shown with the settings",
            advice="put the password alone into a file, and name that in memory_secrets",
        )
    parameters: dict[str, Any] = {
        **given,
        "connect_timeout": int(SERVED_CONNECT_S),
        "application_name": "littoral",
        "client_encoding": "utf8",
        "tcp_user_timeout": int(SERVED_ANSWER_S * 1000),
    }
    return {**parameters, "password": password} if password else parameters


_NOT_LET_IN = "authentication failed", "pg_hba.conf", "no password supplied", "does not exist"


@contextmanager
def translated(within_s: float) -> Generator[None]:
    """Say in our errors what Postgres and psycopg say in theirs.

    Args:
        within_s: the time that the answer was given.

    Raises:
        UpstreamFailedError, UpstreamTimeoutError, ConfigError, DiskShortError, NotFoundError,
        BadRequestError: what happened.
    """
    try:
        yield
    except (_OverdueError, psycopg.errors.QueryCanceled, psycopg.errors.ConnectionTimeout) as error:
        raise UpstreamTimeoutError(f"Postgres did not answer in {within_s:g} s") from error
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFile) as error:
        raise ConfigError(
            "this user of Postgres may not do what Littoral needs, or pgvector is not installed",
            advice="have an administrator run CREATE EXTENSION vector, and grant CREATE on the "
            "database",
        ) from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise NotFoundError("the collection is no longer there") from error
    except (psycopg.errors.DiskFull, psycopg.errors.OutOfMemory) as error:
        raise DiskShortError("Postgres has no room left") from error
    except (psycopg.DataError, psycopg.NotSupportedError) as error:
        raise BadRequestError(
            f"Postgres can't take a value ({type(error).__name__})",
            advice="docs/memory-drivers.md says what it can't keep",
        ) from error
    except psycopg.OperationalError as error:
        raise _unreached(error) from error
    except psycopg.Error as error:
        raise UpstreamFailedError(
            f"Postgres failed ({type(error).__name__} {error.sqlstate or ''})".strip()
        ) from error


def _unreached(error: psycopg.OperationalError) -> LittoralError:
    said = str(error)
    if error.sqlstate is None and any(each in said for each in _NOT_LET_IN):
        return ConfigError(
            "Postgres does not let Littoral in, or has no such user or database",
            advice="check memory_servers, and the password where memory_secrets says",
        )
    if "timeout expired" in said:
        return UpstreamTimeoutError(f"Postgres was not reached in {SERVED_CONNECT_S:g} s")
    return UpstreamFailedError("Postgres can't be reached, or has broken off")
