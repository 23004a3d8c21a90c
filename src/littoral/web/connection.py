"""One client connection: bytes in, requests one at a time to the handler, answers out in order.

Rules it keeps
- A request reaches the handler when all of it has arrived. What follows it waits, unread beyond
  `pipeline_bytes_max` and one read, until the answer is complete.
- The client's end of the stream, however it comes, cancels the handler at once; it is seen
  because the connection is read on while the handler works. (A client that has pipelined more
  than the bound is no longer read, and is noticed by the next write.)
- Every phase has its deadline, looked at in `tick`, which the listener calls a few times a
  second: no timer is made for a request.
- A request that can't be understood is answered, and the connection closed after the client has
  had `linger_wait_s` to read why: closing on unread bytes would take the answer back.

It does not know routes, keys or models. The state is `_phase`; each method says which it leaves.
"""

import asyncio
from typing import cast

from littoral.terms.errors import LittoralError, QueueFullError, RequestTimeoutError
from littoral.web.arrival import Arrival
from littoral.web.errors import draining
from littoral.web.handling import handled
from littoral.web.head import Head
from littoral.web.hot import Reply, Underway, offered
from littoral.web.http import Request
from littoral.web.phases import Phase, Taking
from littoral.web.refusals import refusal
from littoral.web.response import Response
from littoral.web.service import Service

__all__ = ["Connection"]


class Connection(asyncio.Protocol):
    """The protocol object of one accepted connection."""

    __slots__ = (
        "_arrival",
        "_body_bytes",
        "_bounds",
        "_deadline",
        "_kept",
        "_live",
        "_peer",
        "_phase",
        "_reading",
        "_reading_paused",
        "_service",
        "_taking",
        "_task",
        "_transport",
        "_writing_paused",
        "answers",
    )

    def __init__(self, service: Service) -> None:
        """Wait for `connection_made`."""
        self._service = service
        self._bounds = service.bounds
        self._transport: asyncio.Transport
        self._peer = ""
        self._phase = Phase.IDLE
        self._deadline = 0.0
        """On the loop's clock; without meaning in ANSWER and GONE."""
        self._kept = bytearray()
        """What follows the present request."""
        self._arrival = Arrival(service.bounds)
        self._body_bytes = 0
        """This connection's share of `Service.bodies_bytes`."""
        self._task: asyncio.Task[None] | None = None
        """The handler's, in ANSWER, unless the hot path has the request."""
        self._live: Underway | None = None
        """The hot path's answer, in ANSWER."""
        self._reading = False
        """Requests are being read in a loop further up the stack."""
        self._reading_paused = False
        self._writing_paused: asyncio.Future[None] | None = None
        self._taking = Taking()

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections already, or all has ended meanwhile."""
        # uvloop's transports have the whole interface and not the base class.
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "unix"
        if self._service.draining:  # it was accepted before, and TLS took until now
            self._phase = Phase.GONE
            self._transport.abort()
            return
        self.answers = self._service.answers_on(transport)
        self._service.connections.add(self)
        self._service.all_gone.clear()
        self._wait(Phase.IDLE, self._bounds.idle_wait_s)
        if len(self._service.connections) > self._bounds.connections_max:
            said = f"this machine has {self._bounds.connections_max} open connections already"
            self._refuse(QueueFullError(said, retry_after_s=1))
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take bytes according to the phase."""
        match self._phase:
            case Phase.IDLE | Phase.HEAD | Phase.BODY:
                self._read(data)
            case Phase.ANSWER:
                self._keep(data)
            case Phase.LAST | Phase.GONE:
                pass

    def eof_received(self) -> None:
        """Take the client's end of stream for its leaving, whatever it still waits for."""
        if self._task is not None or self._live is not None:
            self._leave()
            self._transport.abort()
        elif self._phase is not Phase.GONE:
            self._wait(Phase.LAST, self._bounds.linger_wait_s)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Let go of everything."""
        self._phase = Phase.GONE
        self._kept.clear()
        self._hold_body(0)
        self._leave()
        self.resume_writing()
        self._service.connections.discard(self)
        if not self._service.connections:
            self._service.all_gone.set()

    def pause_writing(self) -> None:
        """Hear that the client is slow: whoever writes next waits."""
        if self._writing_paused is None:
            self._writing_paused = self._service.loop.create_future()
        if self._live is not None:
            self._live.pause()

    def resume_writing(self) -> None:
        """Hear that the client has caught up."""
        if self._live is not None:
            self._live.resume()
        if self._writing_paused is not None and not self._writing_paused.done():
            self._writing_paused.set_result(None)
        self._writing_paused = None

    # What the listener calls

    def tick(self, now: float) -> None:
        """Act on deadlines that have passed."""
        if self._is_stuck(now):
            self._transport.abort()
            return
        if now < self._deadline:
            return
        match self._phase:
            case Phase.IDLE:
                self._transport.close()
                self._wait(Phase.LAST, self._bounds.linger_wait_s)
            case Phase.HEAD:
                wait_s = self._bounds.head_wait_s
                self._refuse(RequestTimeoutError(f"the head did not arrive within {wait_s:g} s"))
            case Phase.BODY:
                wait_s = self._bounds.body_wait_s
                self._refuse(RequestTimeoutError(f"the body did not arrive within {wait_s:g} s"))
            case Phase.LAST:
                self._transport.abort()
            case Phase.ANSWER | Phase.GONE:
                pass

    def drain(self) -> None:
        """Take no further request; an answer under way goes on."""
        match self._phase:
            case Phase.IDLE:
                self._transport.close()
                self._wait(Phase.LAST, self._bounds.linger_wait_s)
            case Phase.HEAD | Phase.BODY:
                self._refuse(draining())
            case Phase.ANSWER | Phase.LAST | Phase.GONE:
                pass

    def cut(self) -> None:
        """End now: a handler is cancelled, anything else is aborted."""
        if self._task is not None:
            self._task.cancel()
        else:
            self._leave()
            self._transport.abort()

    def abort(self) -> None:
        """End without another byte."""
        self._transport.abort()

    # What an answer calls (response.Wire)

    def put(self, data: bytes) -> None:
        """Send at once. Raises ConnectionResetError when the client has left."""
        if self._transport.is_closing():
            raise ConnectionResetError("the client has left")
        self._transport.write(data)

    async def settled(self) -> None:
        """Return when the client has taken most of what was put."""
        if self._writing_paused is not None:
            await self._writing_paused

    def last_answer(self) -> bool:
        """Whether the connection closes after this answer."""
        head = self._arrival.head
        refused = self._phase is not Phase.ANSWER
        return refused or head is None or not head.keep_alive or self._service.draining

    def date(self) -> str:
        """The time, as HTTP writes it."""
        return self._service.date

    def let_go(self) -> asyncio.Transport:
        """Leave the connection to another protocol: no client is answered on it any more."""
        self.connection_lost(None)
        return self._transport

    # HEAD and BODY

    def _read(self, data: bytes) -> None:
        """Take bytes of requests. Those that the hot path answers at once follow in a loop."""
        self._reading = True
        self._read_one(data)
        while self._kept and self._phase is Phase.IDLE:
            data = bytes(self._kept)
            self._kept.clear()
            self._read_one(data)
        self._reading = False

    def _read_one(self, data: bytes) -> None:
        """Take bytes of a request; leave IDLE, HEAD or BODY for what more of it is waited for."""
        arrival = self._arrival
        try:
            rest = arrival.feed(data)
            if arrival.head is not None:
                self.answers.admit()
            if rest is None:
                self._await_more(arrival.head)
        except LittoralError as error:
            self._refuse(error)
            return
        self._hold_body(arrival.body_bytes)
        if self._service.bodies_bytes > self._bounds.bodies_bytes_max:
            self._refuse(
                QueueFullError("this machine holds too many large requests", retry_after_s=1)
            )
        elif rest is not None:
            assert arrival.head is not None
            self._answer(arrival.head, arrival.body, rest)

    def _await_more(self, head: Head | None) -> None:
        """Leave IDLE when there are bytes of a request, and HEAD when all of its head is there."""
        if head is None and self._phase is Phase.IDLE:
            self._wait(Phase.HEAD, self._bounds.head_wait_s)
        if head is None or self._phase is Phase.BODY:
            return
        self.answers.gate(head.method, head.path, head.headers)
        self._wait(Phase.BODY, self._bounds.body_wait_s)
        if head.expects_continue and not self._arrival.body_bytes:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _hold_body(self, body_bytes: int) -> None:
        self._service.bodies_bytes += body_bytes - self._body_bytes
        self._body_bytes = body_bytes

    # ANSWER

    def _answer(self, head: Head, body: bytes, rest: bytes) -> None:
        """All of it is here: the hot path or the handler gets the request."""
        self._phase = Phase.ANSWER
        if rest:
            self._keep(rest)
        request_id = self._service.request_id()
        hot = self.answers.hot
        if hot is not None and head.method == "POST":
            reply = Reply(self, request_id, head)
            live = offered(hot.take, head, body, reply, self._service.on_defect)
            if live is not None:
                self._follow(live, reply)
                return
        wanted, chunks = head.method != "HEAD", head.chunks_understood
        response = Response(self, request_id, body_wanted=wanted, chunks_understood=chunks)
        request = Request(
            *(head.method, head.path, head.query, head.headers, body, self._peer),
            id=request_id,
            escaped=head.escaped,
            secure=self._transport.get_extra_info("sslcontext") is not None,
        )
        self._task = self._service.tasks.create_task(self._handle(request, response))

    def _follow(self, live: Underway, reply: Reply) -> None:
        if reply.over:
            return
        self._live = live
        if self._writing_paused is not None:
            live.pause()

    def replied(self, *, complete: bool) -> None:
        """Leave ANSWER: the hot path's answer is over (hot.Carrier)."""
        self._live = None
        self._hold_body(0)
        self._answered(complete=complete)

    def _leave(self) -> None:
        """Whatever works on an answer learns that nobody waits for it."""
        if self._task is not None:
            self._task.cancel()
        live, self._live = self._live, None
        if live is not None:
            live.gone()

    def _keep(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > self._bounds.pipeline_bytes_max and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    async def _handle(self, request: Request, response: Response) -> None:
        """The task of one request. A defect of the server itself ends this connection alone."""
        try:
            closing, on_defect = self._transport.is_closing, self._service.on_defect
            complete = await handled(self.answers, request, response, closing, on_defect)
            self._handler_left()
            self._answered(complete=complete)
        except asyncio.CancelledError:
            self._handler_left()
            self._answered(complete=False)
            raise
        except (Exception, BaseExceptionGroup) as error:  # a group may hold more than Exceptions
            self._handler_left()
            self._service.on_defect(error)
            self._transport.abort()

    def _handler_left(self) -> None:
        self._task = None
        self._hold_body(0)

    def _answered(self, *, complete: bool) -> None:
        """Leave ANSWER: for the next request, or for good."""
        if self._phase is not Phase.ANSWER or self._transport.is_closing():
            return
        if not complete or self.last_answer():
            self._finish()
            return
        self._arrival = Arrival(self._bounds)
        self._wait(Phase.IDLE, self._bounds.idle_wait_s)
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        if self._kept and not self._reading:
            data = bytes(self._kept)
            self._kept.clear()
            self.data_received(data)

    # LAST

    def _refuse(self, error: LittoralError) -> None:
        """Answer a request that no handler gets, and take no other from this client."""
        if self._transport.is_closing():
            return
        head = self._arrival.head
        path, headers = ("", {}) if head is None else (head.path, head.headers)
        request_id = self._service.request_id()
        wanted = head is None or head.method != "HEAD"
        response = Response(self, request_id, body_wanted=wanted, chunks_understood=True)
        response.put(*refusal(error, path, headers, request_id))
        self._finish()

    def _finish(self) -> None:
        """Close once the client has read everything, or after a while."""
        self._arrival = Arrival(self._bounds)
        self._hold_body(0)
        self._kept.clear()
        self._wait(Phase.LAST, self._bounds.linger_wait_s)
        if self._service.draining or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    # Deadlines

    def _wait(self, phase: Phase, wait_s: float) -> None:
        self._phase = phase
        self._deadline = self._service.loop.time() + wait_s

    def _is_stuck(self, now: float) -> bool:
        """Whether the client has taken nothing of what waits for it for too long."""
        pending = self._transport.get_write_buffer_size()
        if pending and self._phase is Phase.LAST:
            self._wait(Phase.LAST, self._bounds.linger_wait_s)
        return self._taking.since(pending, now) >= self._bounds.write_wait_s
