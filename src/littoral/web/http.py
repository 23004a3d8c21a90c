"""HTTP as the handlers of this room see it: one whole request in, one answer out.

The server itself is in `listener.py` and `connection.py`; nothing here knows sockets. What a
handler may rely on:

- it is called once for each complete, well-framed request, never before all of the body is there;
- when the client leaves, its task is cancelled at once, whether it streams or still computes;
- one call of `write` is one chunk on the wire, sent at once; nothing gathers small chunks.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from littoral.terms import limits
from littoral.terms.ids import ModelName
from littoral.terms.sources import Sources
from littoral.terms.values import Finish, Usage

__all__ = ["Handler", "HttpBounds", "Request", "Responder", "StandIn"]


class StandIn(msgspec.Struct, frozen=True):
    """What a request was before another model was put in for the one that it names."""

    model: ModelName
    body: bytes


# A Struct, as every request makes one: a frozen dataclass of this size takes ten times as long.
class Request(msgspec.Struct, frozen=True):
    """One complete request."""

    method: str
    path: str
    """Percent-decoded once, always beginning with `/`; never holds a control character."""
    query: str
    """What followed the first `?`, as it came; empty when there was none."""
    headers: Mapping[str, str]
    """Lowercase names; fields sent more than once are joined with `, `."""
    body: bytes
    peer: str
    """The client's address, for logs: `127.0.0.1:50312`, or `unix`."""
    id: str = ""
    """`req_` and 24 hexadecimal digits; the answer says it in `x-request-id`."""
    escaped: str = ""
    """The path as it came, where it holds an escape (`Head.escaped`); else empty."""
    secure: bool = False
    """It came over TLS."""
    instead_of: StandIn | None = None
    """Its body names a model that stands in for the one that was asked for."""
    sources: Sources | None = None
    """What memory gave for its answer already."""


class Responder(Protocol):
    """The one answer to one request: either `send`, or `start`, any number of `write`, `end`."""

    @property
    def started(self) -> bool:
        """Whether the status line has left: from then on no other answer can be given."""

    def outcome(self, usage: Usage, finish: Finish) -> None:
        """Note what the answer has used and how it ended, before its end, for who keeps it."""

    def hold_on(self) -> None:
        """Tell the client that its answer will come; it may be told any number of times."""

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Give the whole answer, with its length."""

    async def start(
        self, status: int, headers: Mapping[str, str], body_bytes: int | None = None
    ) -> None:
        """Begin an answer: of so many bytes, or of unknown length. HEAD gets none of them."""

    async def write(self, data: bytes) -> None:
        """Send one piece now. Waits while the client is slow to take what was sent before."""

    async def end(self) -> None:
        """Say that the answer is complete. An answer never ended is seen to be cut off."""


Handler = Callable[[Request, Responder], Awaitable[None]]
"""Answers one request. Errors it raises are answered by whoever wraps it (see `app.py`)."""


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """Everything that one server limits. Each default has its reason in `terms/limits.py`."""

    head_bytes_max: int = limits.HEAD_BYTES_MAX
    headers_max: int = limits.HEADERS_MAX
    body_bytes_max: int = limits.BODY_BYTES_MAX
    bodies_bytes_max: int = limits.BODIES_BYTES_MAX
    pipeline_bytes_max: int = limits.PIPELINE_BYTES_MAX
    connections_max: int = limits.CONNECTIONS_MAX
    head_wait_s: float = limits.HEAD_WAIT_S
    body_wait_s: float = limits.BODY_WAIT_S
    idle_wait_s: float = limits.IDLE_WAIT_S
    write_wait_s: float = limits.WRITE_WAIT_S
    linger_wait_s: float = limits.LINGER_WAIT_S
