"""HTTP to origins: blocking, from many threads, over connections that are kept for the next read.

Rules
- What a server is trusted with is sent to that server (scheme, host, port) alone, and to nobody
  that it redirects to. A redirect from https to http, or to no web address, is refused.
- Every wait has a bound. What another try may mend is an `OriginBrokeError`; errors hold neither
  secrets nor addresses' queries.
- Where a file was redirected to is remembered until that place refuses: signed addresses expire,
  and then the first address is asked anew.
- A connection is kept only when its answer was read to the end. One that the server has closed
  meanwhile is replaced once.

Proxies and certificates are the machine's own, as urllib finds them. Not here: cookies,
compression, HTTP/2.
"""

import http.client
import re
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self
from urllib.parse import SplitResult, urljoin, urlsplit

from littoral import __version__
from littoral.adapters.origins.lines import PORTS, Line, Lines, place_of
from littoral.terms.errors import OriginBrokeError, OriginRefusedError
from littoral.terms.limits import (
    ORIGIN_CONNECT_WAIT_S,
    ORIGIN_HEAD_WAIT_S,
    ORIGIN_PIECE_BYTES,
    ORIGIN_PIECE_BYTES_MIN,
    ORIGIN_REDIRECTS_KNOWN_MAX,
    ORIGIN_REDIRECTS_MAX,
    ORIGIN_RETRY_AFTER_S_MAX,
    ORIGIN_STALL_S,
)

__all__ = ["Asker", "Patience", "Question", "Reply", "refusal"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MENDABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_FORBIDDEN: Final = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each wait may take, in seconds."""

    connect_s: float = ORIGIN_CONNECT_WAIT_S
    head_s: float = ORIGIN_HEAD_WAIT_S
    stall_s: float = ORIGIN_STALL_S


@dataclass(frozen=True, slots=True)
class Question:
    """One request."""

    url: str = field(repr=False)
    what: str
    """What is asked for, as error messages name it."""
    headers: Mapping[str, str] = field(default_factory=dict)
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers for the server of `url` and no other."""
    method: str = "GET"
    listing: bool = False
    """Its answer may take as long to begin as a connection."""
    challenged: Callable[[str], Mapping[str, str]] | None = None
    """Makes another `secret` of a `WWW-Authenticate`, once, when 401 is the answer."""


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
        filled = 0
        try:
            while filled < min(len(view), ORIGIN_PIECE_BYTES_MIN):
                got = self._some(view[filled:])
                if not got:
                    return filled, broke(None)
                filled += got
        except (OSError, http.client.HTTPException) as error:
            return filled, broke(error)
        return filled, None

    def _some(self, view: memoryview) -> int:
        response = self._response
        if response.length is None:  # chunked, or as long as the connection lasts
            data = response.read1(len(view))
            view[: len(data)] = data
            return len(data)
        count = response.fp.readinto1(view[: min(len(view), self._left)])
        self._left -= count
        return count


class Asker:
    """Asks servers, following redirects; keeps connections. `close` it at the end."""

    def __init__(self, patience: Patience | None = None) -> None:
        """Begin without any connection."""
        self.patience: Final = patience or Patience()
        self._lines = Lines(self.patience.connect_s)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[str, Mapping[str, str]]] = OrderedDict()

    def ask(self, question: Question) -> Reply:
        """Ask, following redirects. Answers with an error's status are given too.

        Raises:
            OriginBrokeError: nobody answers.
            OriginRefusedError: it redirects to where it is not safe to follow.
        """
        if (reply := self._where_it_was(question)) is not None:
            return reply
        reply = self._followed(question)
        if reply.status in _FORBIDDEN and reply.redirected:
            reply.close()
            reply = self._followed(question)
        challenge = reply.last.get("www-authenticate")
        if reply.status == 401 and not reply.redirected and challenge and question.challenged:
            reply.close()
            secret = question.challenged(challenge)
            reply = self._followed(replace(question, secret=secret))
        return reply

    def _where_it_was(self, question: Question) -> Reply | None:
        """The answer of the place that this was redirected to before, if it still gives one."""
        with self._lock:
            known = self._known.get(question.url)
        if known is None:
            return None
        url, met = known
        try:
            reply = self._one(url, question)
        except OriginBrokeError:
            self.forget(question.url)
            raise
        if reply.status in {200, 206, 416}:
            reply.headers, reply.redirected = {**reply.last, **met}, True
            return reply
        reply.close()
        self.forget(question.url)
        return None

    def forget(self, url: str) -> None:
        """Ask this address itself the next time, and not where it redirected to."""
        with self._lock:
            self._known.pop(url, None)

    def close(self) -> None:
        """Close every kept connection; those at work are closed as they end."""
        self._lines.close()

    def _followed(self, question: Question) -> Reply:
        met: dict[str, str] = {}
        url = question.url
        for _ in range(ORIGIN_REDIRECTS_MAX + 1):
            reply = self._one(url, question)
            met = {**reply.last, **met}
            reply.headers, reply.redirected = met, place_of(url) != place_of(question.url)
            if reply.status not in _REDIRECTS:
                if reply.redirected and reply.status in {200, 206}:
                    self._remember(question.url, url, met)
                return reply
            reply.close()
            url = _next(url, reply.last.get("location", ""))
        raise OriginRefusedError(
            f"{question.what} is redirected in circles", advice="check the endpoint"
        )

    def _one(self, url: str, question: Question) -> Reply:
        """One request and the head of its answer."""
        parts = urlsplit(url)
        place = place_of(url)
        headers = {"User-Agent": f"littoral/{__version__}", **question.headers}
        # Bytes as they are stored: a digest is of those, and ranges count those.
        headers["Accept-Encoding"] = "identity"
        if place == place_of(question.url):
            headers |= question.secret
        waits = self.patience
        head_s = waits.connect_s if question.listing else waits.head_s
        while True:
            line = self._lines.take(place)
            try:
                return self._sent(line, parts, question.method, headers, head_s)
            except ssl.SSLCertVerificationError as error:
                line.connection.close()
                raise OriginRefusedError(
                    f"the server of {question.what} has no certificate that this machine trusts",
                    advice="check the address, or trust its certificate on this machine",
                ) from error
            except ValueError:
                line.connection.close()
                # Not with its cause, which may show a header that holds a secret.
                raise OriginRefusedError(
                    f"{question.what} can't be asked for: its address or credential is malformed"
                ) from None
            except (OSError, http.client.HTTPException) as error:
                line.connection.close()
                stale = isinstance(error, ConnectionError | ssl.SSLError)  # http.client's own too
                if not (line.used and stale):
                    raise broke(error) from error

    def _sent(
        self,
        line: Line,
        parts: SplitResult,
        method: str,
        headers: Mapping[str, str],
        head_s: float,
    ) -> Reply:
        connection = line.connection
        if connection.sock is None:
            connection.connect()
        sock = connection.sock
        assert isinstance(sock, socket.socket)
        sock.settimeout(head_s)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if line.through_proxy is not None:
            target = f"{parts.scheme}://{parts.netloc}{target}"
            headers = {**headers, **line.through_proxy}
        connection.request(method, target, headers=dict(headers))
        return Reply(line, self._lines.keep, connection.getresponse(), sock, self.patience.stall_s)

    def _remember(self, url: str, target: str, met: Mapping[str, str]) -> None:
        with self._lock:
            self._known[url] = (target, met)
            self._known.move_to_end(url)
            if len(self._known) > ORIGIN_REDIRECTS_KNOWN_MAX:
                self._known.popitem(last=False)


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
    """Seconds to wait, from either form of `Retry-After`; a date counts from the answer's own."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", value):
        return min(float(value), ORIGIN_RETRY_AFTER_S_MAX)
    try:
        then, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
        return min(max((then - now).total_seconds(), 0.0), ORIGIN_RETRY_AFTER_S_MAX)
    except (ValueError, TypeError):
        return 0.0


def _next(url: str, location: str) -> str:
    """Where a redirect leads, if it may."""
    try:
        target = urljoin(url, location)
        before, after = urlsplit(url).scheme, urlsplit(target).scheme
    except ValueError:
        before = after = ""
    if not location or after not in PORTS or (before == "https" and after == "http"):
        raise OriginRefusedError(
            f"{urlsplit(url).hostname} redirects to where it is not safe to follow",
            advice="check the endpoint",
        )
    return target
