"""A server in front of another that passes everything on, and does wrong on demand.

It keeps count of connections and requests, so that a test can say how many there were.
"""

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Trouble:
    """What is done to one answer."""

    status: int | None = None
    headers: dict[str, str | None] = field(default_factory=dict)
    """Put in the place of those that came; None takes one away."""
    cut_after: int | None = None
    """Bytes of the body after which the connection is closed."""
    stall_after: int | None = None
    """Bytes of the body after which nothing comes any more."""
    silent: bool = False
    """Not even a head comes."""
    ignore_range: bool = False
    chunked: bool = False
    """The answer does not say how long it is."""
    shorter: int = 0
    """Bytes that the body lacks, its stated length included."""


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]


class Troubled:
    """Listens; `troubles` are taken one for each request, in their order."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.troubles: list[Trouble] = []
        self.seen: list[Seen] = []
        self.connections = 0
        self.over = threading.Event()
        self.allowed: Callable[[Seen], bool] = lambda _: True
        owner = self

        class Handler(_Handler):
            troubled = owner

        self.server = _Server(("127.0.0.1", 0), Handler)

    def hang_up(self) -> None:
        """Close every connection that waits for a request, as servers do after a while."""
        with self.server.changed:
            for one in self.server.open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            assert self.server.changed.wait_for(lambda: not self.server.open, 5)

    def is_left_alone(self, within_s: float) -> bool:
        """Whether its clients close every connection in time."""
        with self.server.changed:
            return self.server.changed.wait_for(lambda: not self.server.open, within_s)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.open: set[socket.socket] = set()
        self.changed = threading.Condition()

    def process_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        with self.changed:
            self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: object) -> None:
        assert isinstance(request, socket.socket)
        super().shutdown_request(request)
        with self.changed:
            self.open.discard(request)
            self.changed.notify_all()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves in the middle is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    troubled: Troubled

    def setup(self) -> None:
        super().setup()
        self.troubled.connections += 1

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, self.path, headers)
        self.troubled.seen.append(seen)
        troubles = self.troubled.troubles
        trouble = troubles.pop(0) if troubles else Trouble()
        if trouble.silent:
            self._hang()
        elif not self.troubled.allowed(seen):
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._pass_on(headers, trouble)

    def _pass_on(self, headers: dict[str, str], trouble: Trouble) -> None:
        if trouble.ignore_range:
            headers = {name: value for name, value in headers.items() if "range" not in name}
        there = http.client.HTTPConnection("127.0.0.1", self.troubled.target, timeout=10)
        there.request(self.command, self.path, headers={**headers, "connection": "close"})
        answer = there.getresponse()
        body = answer.read()
        there.close()
        body = body[: len(body) - trouble.shorter]
        named = {name.lower(): value for name, value in answer.headers.items()}
        for name in ("connection", "transfer-encoding"):
            named.pop(name, None)
        if trouble.chunked:
            named.pop("content-length", None)
            named["transfer-encoding"] = "chunked"
        elif self.command != "HEAD":
            named["content-length"] = str(len(body))
        self.send_response_only(trouble.status or answer.status)
        for name, value in {**named, **trouble.headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if trouble.chunked:
            halves = (body[: len(body) // 2], body[len(body) // 2 :], b"")
            body = b"".join(b"%x\r\n%b\r\n" % (len(half), half) for half in halves)
        if trouble.cut_after is not None:
            self.close_connection = True
            body = body[: trouble.cut_after]
        if trouble.stall_after is not None:
            self.wfile.write(body[: trouble.stall_after])
            self._hang()
        elif self.command != "HEAD":
            self.wfile.write(body)

    def _hang(self) -> None:
        self.close_connection = True
        self.troubled.over.wait(20)


@contextmanager
def troubled(port: int) -> Iterator[Troubled]:
    """One in front of a port of this machine, listening until the context ends."""
    made = Troubled(port)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        made.server.shutdown()
        made.server.server_close()
        thread.join(5)
