"""The answer of an origin's server: its head, and its body piece by piece.

Rules
- What has come is handed on before it is said that no more comes, and soon: a piece waits only
  while more of it is there at once.
- A connection is kept only when its answer was read to the end.
- What an error's status means is said here, and when to ask again. Errors hold no addresses.
"""

import http.client
import re
import select
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self

from littoral.adapters.origins.lines import Line
from littoral.terms.errors import OriginBrokeError, OriginRefusedError
from littoral.terms.limits import (
    ORIGIN_PIECE_BYTES,
    ORIGIN_PIECE_BYTES_MIN,
    ORIGIN_RETRY_AFTER_S_MAX,
)

__all__ = ["Reply", "broke", "refusal"]

GATHER_WAIT_MS: Final = 20
"""How long a small piece waits for more to go on with it."""

_MENDABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_USED_UP: Final = re.compile(r";\s*r=0\s*;\s*t=(\d{1,9})\b")


class Reply:
    """The last answer of a chain of redirects; a context that gives its connection back."""

    def __init__(
        self,
        line: Line,
        keep: Callable[[Line], None],
        response: http.client.HTTPResponse,
        sock: socket.socket,
        stall_s: float,
    ) -> None:
        """Take over a connection whose answer has begun; `keep` takes it back."""
        self.status: Final = response.status
        self.last: Mapping[str, str] = {
            name.lower(): value for name, value in response.headers.items()
        }
        """Headers in lowercase, of this answer alone."""
        self.headers = self.last
        """Of the whole chain; of a name met twice the first: the hub's word goes before that of
        the storage it redirects to."""
        self.redirected = False
        self._line, self._keep = line, keep
        self._response = response
        sock.settimeout(stall_s)
        self._socket = sock
        self._ready = select.poll()
        self._ready.register(sock, select.POLLIN)
        self._buffered = True
        self._left = 0 if response.length is None else response.length

    @property
    def size_bytes(self) -> int | None:
        """Bytes of the body, where its head says how many."""
        return self._response.length

    def pieces(self, skip: int, count: int) -> Iterator[bytes]:
        """Exactly `count` bytes of the body, after dropping `skip` of them.

        What has come when it breaks off is given first.

        Raises:
            OriginBrokeError: the body ended early, or fell silent.
        """
        buffer = memoryview(bytearray(ORIGIN_PIECE_BYTES))
        while skip + count:
            wanted = min(len(buffer), skip or count)
            filled, error = self._fill(buffer[:wanted])
            if skip:
                skip -= filled
            elif filled:
                count -= filled
                yield bytes(buffer[:filled])
            if error is not None:
                raise error

    def read(self, limit: int, what: str) -> bytes:
        """The whole body.

        Raises:
            OriginBrokeError: it ended early, or fell silent.
            OriginRefusedError: it has more than `limit` bytes.
        """
        size = self.size_bytes
        if size is None:
            try:
                body = self._response.read(limit + 1)
            except (OSError, http.client.HTTPException) as error:
                raise broke(error) from error
        elif size <= limit:
            body = b"".join(self.pieces(0, size))
        if (size is not None and size > limit) or (size is None and len(body) > limit):
            raise OriginRefusedError(
                f"the answer for {what} is over {limit:,} bytes",
                advice="check that the address is that of what was meant",
            )
        return body

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Keep the connection if the answer was read to its end, else close it."""
        response, connection = self._response, self._line.connection
        whole = response.isclosed() or (response.length is not None and self._left == 0)
        keep = whole and not response.will_close
        response.close()
        if keep:
            self._keep(self._line)
        else:
            connection.close()

    def _fill(self, view: memoryview) -> tuple[int, OriginBrokeError | None]:
        """Fill a view so far that it is worth handing on; how much, and what ended it."""
        filled, enough = 0, min(len(view), ORIGIN_PIECE_BYTES_MIN)
        try:
            while not filled or (filled < enough and self._more_is_here()):
                got = self._some(view[filled:])
                if not got:
                    return filled, broke(None)
                filled += got
        except (OSError, http.client.HTTPException) as error:
            return filled, broke(error)
        return filled, None

    def _more_is_here(self) -> bool:
        """Whether another read comes back almost at once: on a slow link what is here goes on."""
        sock = self._socket
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return True
        return bool(self._ready.poll(GATHER_WAIT_MS))

    def _some(self, view: memoryview) -> int:
        response = self._response
        if response.length is None:  # chunked, or as long as the connection lasts
            data = response.read1(len(view))
            view[: len(data)] = data
            return len(data)
        view = view[: min(len(view), self._left)]
        if self._buffered:
            # What came with the head. `readinto1` would go on to wait for more.
            data = response.fp.read1(len(view))
            view[: len(data)] = data
            count, self._buffered = len(data), len(data) == len(view)
        else:
            count = response.fp.raw.readinto(view) or 0
        self._left -= count
        return count


def refusal(reply: Reply, what: str, advice: str = "") -> OriginBrokeError | OriginRefusedError:
    """What an answer with an error's status means."""
    if reply.status in _MENDABLE:
        return OriginBrokeError(
            f"the server of {what} is busy or broken (HTTP {reply.status})",
            retry_after_s=_retry_after_s(reply.last),
        )
    if reply.status in {401, 403, 404, 410}:
        return OriginRefusedError(
            f"there is no {what}, or it is private (HTTP {reply.status})", advice=advice
        )
    return OriginRefusedError(
        f"HTTP {reply.status} came for {what}", advice=advice or "check the address"
    )


def broke(error: Exception | None) -> OriginBrokeError:
    """A connection that failed, in words without addresses."""
    if isinstance(error, TimeoutError):
        return OriginBrokeError("the origin fell silent", retry_after_s=0.0)
    reason = "it was closed" if error is None else str(error)[:200] or type(error).__name__
    return OriginBrokeError(f"the connection to the origin broke: {reason}", retry_after_s=0.0)


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds to wait, as `Retry-After` or `RateLimit` say; a date counts from the answer's own."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", value):
        return min(float(value), ORIGIN_RETRY_AFTER_S_MAX)
    if not value and (left := _USED_UP.search(headers.get("ratelimit", ""))):
        return min(float(left[1]), ORIGIN_RETRY_AFTER_S_MAX)
    try:
        then, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
        return min(max((then - now).total_seconds(), 0.0), ORIGIN_RETRY_AFTER_S_MAX)
    except (ValueError, TypeError):
        return 0.0
