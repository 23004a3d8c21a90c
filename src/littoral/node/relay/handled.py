"""A handler's answer as a flight: whoever asks the same meanwhile joins it.

The handler works as for a client of its own; what it writes goes to the flight. Its answer has a
receipt and headers already, so the first client's leg, the `Host`, adds none. Those who join have
legs of their own (leg.py).
"""

import asyncio
from collections.abc import Callable, Mapping

from littoral.adapters.upstreams.words import Begun
from littoral.node.relay.feed import Guest
from littoral.node.relay.flight import Flight
from littoral.node.relay.standing import Work
from littoral.serving.outcome import Outcome
from littoral.terms.errors import LittoralError
from littoral.terms.ids import ReceiptId
from littoral.terms.sources import Sources
from littoral.terms.values import EngineInfo, Finish, ModelEntry, Usage
from littoral.trust.receipts import FRAME_START
from littoral.web.handling import attended
from littoral.web.head import Head
from littoral.web.hot import Reply
from littoral.web.http import Handler, Request, StandIn
from littoral.web.response import written

__all__ = ["Handled", "Host", "request_of"]


class Host(Guest):
    """The first client's side of a flight whose handler speaks to it directly."""

    __slots__ = ("_notes", "anew", "handled")

    def __init__(
        self, reply: Reply, left: Callable[[Guest], None], handled: "Handled", notes: str
    ) -> None:
        """Wait for the flight.

        Args:
            reply: the way to the client.
            left: hears, once, that nothing more will be sent.
            handled: whose headers and receipt these are.
            notes: header fields that say what the cache had to do with it.
        """
        super().__init__(reply, left)
        self.handled = handled
        self._notes = notes
        self.anew: Callable[[LittoralError], bool] | None = None
        """May see to the request in another way, where there was no answer: says whether."""

    def begun(self, _: Begun) -> None:
        """The handler has begun."""
        self._reply.begin(self.handled.fields + self._notes)

    def data(self, data: bytes) -> None:
        """What the handler writes."""
        self._reply.push(data)

    def ended(self, _: Outcome) -> None:
        """The handler is done."""
        self._over()
        self._reply.close(self.handled.trailer)

    def whole(self, begun: Begun, body: bytes, _: Outcome) -> None:
        """An answer in one piece."""
        self._over()
        self._reply.give(begun.status, self.handled.fields + self._notes, body)

    def failed(self, error: LittoralError) -> None:
        """The handler has failed."""
        self._over()
        if self.handled.started or self.anew is None or not self.anew(error):
            self._reply.fail(error)


def request_of(
    head: Head,
    body: bytes,
    request_id: str,
    instead_of: StandIn | None,
    sources: Sources | None,
) -> Request:
    """The request as a handler takes it; see Request."""
    return Request(
        method=head.method,
        path=head.path,
        query=head.query,
        headers=head.headers,
        body=body,
        peer="",
        id=request_id,
        escaped=head.escaped,
        instead_of=instead_of,
        sources=sources,
    )


class Handled:
    """A handler at work on a flight: its Responder, and the flight's Feed."""

    def __init__(self, flight: Flight, entry: ModelEntry) -> None:
        """Work on nothing yet.

        Args:
            flight: where the answer goes.
            entry: the model that is asked.
        """
        self._flight = flight
        flight.spring = self
        self._entry = entry
        self._info = EngineInfo(
            entry.engine, "answered to another", "none", 0, entry.context_tokens
        )
        """The engine, as far as those who join can name it."""
        self._task: asyncio.Task[None] | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._outcome = Outcome(Finish.DONE, None)
        self._begun: Begun | None = None
        self._ended = False
        self.fields = ""
        """The handler's own header fields, as `response.written` gives them."""
        self.trailer = b""
        """The last bytes, for the first client alone: its receipt."""

    def start_on(self, handler: Handler, work: Work, request: Request) -> None:
        """Have the handler answer the request, in a task of an owner that outlives it."""
        waiting = attended(
            handler(request, self),
            ended=lambda: self._ended,
            left=lambda: False,  # who works for several is cancelled when the last has left
            tell=self._fail,
            on_defect=work.on_defect,
        )
        self._task = work.spawn(waiting)

    def _fail(self, error: LittoralError) -> None:
        if not self._ended:
            self._ended = True
            self._flight.failed(error)

    # --- feed.Feed ---

    def pause(self) -> None:
        """The handler's next write waits."""
        self._flowing.clear()

    def resume(self) -> None:
        """It goes on."""
        self._flowing.set()

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()

    # --- http.Responder ---

    @property
    def started(self) -> bool:
        """Whether anything of the answer has left."""
        return self._begun is not None

    def outcome(self, usage: Usage, finish: Finish) -> None:
        """What the answer has used, and how it ended."""
        self._outcome = Outcome(finish, usage)

    def hold_on(self) -> None:
        """Do nothing: those who wait here know that they may wait long."""

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Give the whole answer."""
        begun = self._begin(status, headers)
        self._ended = True
        self._flight.whole(begun, body, self._outcome)

    async def start(
        self, status: int, headers: Mapping[str, str], _body_bytes: int | None = None
    ) -> None:
        """Begin a stream, in chunks for each of its clients."""
        self._flight.begun(self._begin(status, headers))

    async def write(self, data: bytes) -> None:
        """Send one piece; the receipt is the first client's alone."""
        if data.startswith(FRAME_START):
            self.trailer = data
        elif data:
            self._flight.data(data)
        await self._flowing.wait()

    async def end(self) -> None:
        """Say that the stream is complete."""
        self._ended = True
        self._flight.ended(self._outcome)

    def _begin(self, status: int, headers: Mapping[str, str]) -> Begun:
        self.fields = written(headers)
        receipt = headers.get("littoral-receipt")
        self._flight.named(ReceiptId(receipt) if receipt else None)
        kind = headers.get("content-type", "application/json")
        self._begun = Begun(status, kind, self._entry, self._info)
        return self._begun
