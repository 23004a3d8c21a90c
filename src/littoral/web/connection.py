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
import enum
from typing import cast

from littoral.terms.errors import (
    DrainingError,
    InternalError,
    LittoralError,
    QueueFullError,
    RequestTimeoutError,
)
from littoral.web.arrival import Arrival
from littoral.web.errors import error_answer, shape_of
from littoral.web.head import Head
from littoral.web.http import Request
from littoral.web.response import Response
from littoral.web.service import Service

__all__ = ["Connection"]


class Phase(enum.Enum):
    """What a connection is doing."""

    IDLE = "between requests"
    HEAD = "a head arrives"
    BODY = "a body arrives"
    ANSWER = "the handler works"
    LAST = "everything was said; the client reads it and closes"
    GONE = "closed"


class Connection(asyncio.Protocol):
    """The protocol object of one accepted connection."""

    __slots__ = (
        "_arrival",
        "_body_bytes",
        "_bounds",
        "_deadline",
        "_kept",
        "_peer",
        "_pending_bytes",
        "_phase",
        "_reading_paused",
        "_service",
        "_stuck_since",
        "_task",
        "_transport",
        "_writing_paused",
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
        self._reading_paused = False
        self._writing_paused: asyncio.Future[None] | None = None
        self._pending_bytes = 0
        self._stuck_since: float | None = None
        """When the client last took a byte, while some wait for it."""

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections already."""
        # uvloop's transports have the whole interface and not the base class.
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "unix"
        self._service.connections.add(self)
        self._service.all_gone.clear()
        self._wait(Phase.IDLE, self._bounds.idle_wait_s)
        if len(self._service.connections) > self._bounds.connections_max:
            self._refuse(
                QueueFullError(
                    f"this machine has {self._bounds.connections_max} open connections already",
                    retry_after_s=1,
                )
            )
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take bytes according to the phase."""
        match self._phase:
            case Phase.IDLE:
                self._wait(Phase.HEAD, self._bounds.head_wait_s)
                self._read(data)
            case Phase.HEAD | Phase.BODY:
                self._read(data)
            case Phase.ANSWER:
                self._keep(data)
            case Phase.LAST | Phase.GONE:
                pass

    def eof_received(self) -> None:
        """Take the client's end of stream for its leaving, whatever it still waits for."""
        if self._task is not None:
            self._task.cancel()
            self._transport.abort()
        elif self._phase is not Phase.GONE:
            self._wait(Phase.LAST, self._bounds.linger_wait_s)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Let go of everything."""
        self._phase = Phase.GONE
        self._kept.clear()
        self._hold_body(0)
        if self._task is not None:
            self._task.cancel()
        self.resume_writing()
        self._service.connections.discard(self)
        if not self._service.connections:
            self._service.all_gone.set()

    def pause_writing(self) -> None:
        """Hear that the client is slow: whoever writes next waits."""
        if self._writing_paused is None:
            self._writing_paused = self._service.loop.create_future()

    def resume_writing(self) -> None:
        """Hear that the client has caught up."""
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
                self._refuse(_draining())
            case Phase.ANSWER | Phase.LAST | Phase.GONE:
                pass

    def cut(self) -> None:
        """End now: a handler is cancelled, anything else is aborted."""
        if self._task is not None:
            self._task.cancel()
        else:
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
        return head is None or not head.keep_alive or self._service.draining

    def date(self) -> str:
        """The time, as HTTP writes it."""
        return self._service.date

    # HEAD and BODY

    def _read(self, data: bytes) -> None:
        """Take bytes of a request; leave HEAD when its head is there, BODY when all of it is."""
        arrival = self._arrival
        try:
            rest = arrival.feed(data)
            if rest is None and self._phase is Phase.HEAD and arrival.head is not None:
                self._await_body(arrival.head)
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

    def _await_body(self, head: Head) -> None:
        self._service.gate(head.method, head.path, head.headers)
        self._wait(Phase.BODY, self._bounds.body_wait_s)
        if head.expects_continue and not self._arrival.body_bytes:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _hold_body(self, body_bytes: int) -> None:
        self._service.bodies_bytes += body_bytes - self._body_bytes
        self._body_bytes = body_bytes

    # ANSWER

    def _answer(self, head: Head, body: bytes, rest: bytes) -> None:
        """Leave HEAD or BODY: the handler gets the request."""
        self._phase = Phase.ANSWER
        if rest:
            self._keep(rest)
        request = Request(
            method=head.method,
            path=head.path,
            query=head.query,
            headers=head.headers,
            body=body,
            peer=self._peer,
            id=self._service.request_id(),
        )
        response = Response(
            self,
            request.id,
            body_wanted=head.method != "HEAD",
            chunks_understood=head.chunks_understood,
        )
        self._task = self._service.tasks.create_task(self._handle(request, response))

    def _keep(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > self._bounds.pipeline_bytes_max and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    async def _handle(self, request: Request, response: Response) -> None:
        """The task of one request. A defect of the server itself ends this connection alone."""
        try:
            await self._serve(request, response)
            self._answered(complete=response.ended)
        except asyncio.CancelledError:
            self._tell(_draining(), request, response)
            self._answered(complete=False)
            raise
        except (Exception, BaseExceptionGroup) as error:  # a group may hold more than Exceptions
            self._service.on_defect(error)
            self._transport.abort()

    async def _serve(self, request: Request, response: Response) -> None:
        """Run the handler, and tell the client what can be told of whatever it raises."""
        try:
            await self._service.handler(request, response)
        except LittoralError as error:
            self._tell(error, request, response)
        except Exception as error:
            if not (isinstance(error, ConnectionResetError) and self._transport.is_closing()):
                self._service.on_defect(error)
                self._tell(_defect(), request, response)
        else:
            if not response.ended and not self._transport.is_closing():
                self._service.on_defect(RuntimeError("a handler left its answer incomplete"))
                self._tell(_defect(), request, response)
        finally:
            self._task = None
            self._hold_body(0)

    def _tell(self, error: LittoralError, request: Request, response: Response) -> None:
        """Answer with the error, if nothing was answered yet and somebody is there to hear."""
        if not response.started and not self._transport.is_closing():
            shape = shape_of(request.path, request.headers)
            response.put(*error_answer(error, shape, request.id))

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
        if self._kept:
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
        response = Response(
            self,
            request_id,
            body_wanted=head is None or head.method != "HEAD",
            chunks_understood=True,
        )
        response.put(*error_answer(error, shape_of(path, headers), request_id))
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
        before, self._pending_bytes = self._pending_bytes, self._transport.get_write_buffer_size()
        if not self._pending_bytes:
            self._stuck_since = None
            return False
        if self._phase is Phase.LAST:
            self._wait(Phase.LAST, self._bounds.linger_wait_s)
        if self._stuck_since is None or self._pending_bytes < before:
            self._stuck_since = now
        return now - self._stuck_since >= self._bounds.write_wait_s


def _defect() -> InternalError:
    return InternalError("this request met a defect", advice="tell the operator its request id")


def _draining() -> DrainingError:
    return DrainingError("this PoP is stopping", retry_after_s=1)
