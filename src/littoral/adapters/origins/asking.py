"""HTTP to origins: blocking, from many threads, over connections that are kept for the next read.

Rules
- What a server is trusted with is sent to that server (scheme, host, port) alone, and to nobody
  that it redirects to. A redirect from https to http, or to no web address, is refused.
- Every wait has a bound. What another try may mend is an `OriginBrokeError`; errors hold neither
  secrets nor addresses' queries.
- Where a file was redirected to is remembered until that place refuses: signed addresses expire,
  and then the first address is asked anew.
- A kept connection that the server has closed meanwhile is replaced.

Proxies and certificates are the machine's own, as urllib finds them. Not here: cookies,
compression, HTTP/2.
"""

import http.client
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

import littoral
from littoral.adapters.origins.lines import PORTS, Line, Lines, place_of
from littoral.adapters.origins.replies import Reply, broke
from littoral.terms.errors import OriginBrokeError, OriginRefusedError
from littoral.terms.limits import (
    ORIGIN_CONNECT_WAIT_S,
    ORIGIN_HEAD_WAIT_S,
    ORIGIN_REDIRECTS_KNOWN_MAX,
    ORIGIN_REDIRECTS_MAX,
    ORIGIN_STALL_S,
)

__all__ = ["Asker", "Patience", "Question"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
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
        headers = {"User-Agent": f"littoral/{littoral.__version__}", **question.headers}
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
