"""Passes requests to PoPs that can't be dialled, over connections that they hold to this one.

    C --POST /fabric/hold, Upgrade: littoral-hold--> B    then B asks on it, and C answers
    A --POST, littoral-to: C--> B --the same, littoral-for: A--> C

Rules
- Only PoPs of this one's owner are relayed to, and only what they answer others: the paths of
  clients' requests, and a ping.
- Whoever asks is told by its certificate, checked as for requests of its own, and named to the PoP
  that answers, which decides again. This PoP is one of those that the request came through.
- Bytes pass untouched, both ways. There is no exchange, no receipt and no budget of it here: the
  answer is the other PoP's, and its receipt proves it to the one that asks.
- What the one that asks does not take is not read, and what it leaves is cancelled at once.
- A PoP that holds no connection any more is lost: who asks is told, and asks elsewhere.

The other end is holding.py.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from littoral.adapters.http.held import Held, HeldHop
from littoral.adapters.http.hop import Hop
from littoral.adapters.http.line import Line, Spawn
from littoral.adapters.http.watch import Watch
from littoral.adapters.http.words import AnswerHead, Deadlines, HttpError, Origin
from littoral.adapters.upstreams.target import TO
from littoral.adapters.upstreams.words import PATHS
from littoral.node.fabric.passing import Passing, head_for
from littoral.terms.errors import (
    BadRequestError,
    LoopDetectedError,
    NotAllowedError,
    QueueFullError,
    UpstreamFailedError,
)
from littoral.terms.facts import PopHeld, RequestRelayed
from littoral.terms.ids import PopId
from littoral.terms.limits import (
    CALL_WAIT_S,
    FABRIC_HOPS_MAX,
    GUEST_CONNECT_S,
    HELD_MAX,
    HELD_PING_S,
    HELD_POPS_MAX,
    HOLD_IDLE,
)
from littoral.terms.ports import Observe
from littoral.trust.members import Member
from littoral.web.certificate import Certificate
from littoral.web.head import Head
from littoral.web.hot import OVER, Reply, Underway

__all__ = ["HOLD", "HOLDING", "PING", "Relaying"]

HOLD: Final = "/fabric/hold"
HOLDING: Final = "littoral-hold"
"""The protocol that is changed to."""
PING: Final = "/fabric/ping"

_PASSED: Final = frozenset((PING, *(f"/v1{path}" for path in PATHS.values())))
_DEADLINES: Final = Deadlines(GUEST_CONNECT_S)
_CALL: Final = Deadlines(CALL_WAIT_S, CALL_WAIT_S, CALL_WAIT_S, CALL_WAIT_S)


@dataclass(slots=True)
class _Holder:
    """A PoP that holds connections here."""

    held: Held
    line: Line
    certificate: Certificate | None = None
    """On the latest of them."""


class Relaying:
    """Of one PoP."""

    def __init__(
        self,
        here: Member,
        knows: Callable[[Certificate], Member | None],
        spawn: Spawn,
        observe: Observe,
    ) -> None:
        """Nobody holds a connection yet.

        Args:
            here: this PoP.
            knows: whose certificate this is as of now; None is nobody's.
            spawn: runs what waits for a connection.
            observe: takes facts.
        """
        self._here = here
        self._knows = knows
        self._spawn = spawn
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._watch = Watch(self._loop)
        self._holders: dict[PopId, _Holder] = {}
        self._passing = 0
        self.none = asyncio.Event()
        """Set while nothing is passed on."""
        self.none.set()
        self._closed = False

    def take(
        self,
        asker: Member,
        certificate: Certificate,
        via: Callable[[Mapping[str, str]], tuple[PopId, ...]],
        head: Head,
        body: bytes,
        reply: Reply,
    ) -> Underway | None:
        """Hold a connection, or pass a request on; None where it is for this PoP.

        Args:
            asker: who asks.
            certificate: what it has shown.
            via: the PoPs that a request with these fields came through, once it is allowed; raises.
            head: of the request.
            body: of the request.
            reply: the answer.

        Raises:
            LittoralError: it is refused.
        """
        if head.path == HOLD:
            self._hold(asker, certificate, head, reply)
            return OVER
        to = head.headers.get(TO, self._here.pop)
        if to == self._here.pop:
            return None
        return self._pass_on(PopId(to), asker, via(head.headers), head, body, reply)

    def line(self, pop: PopId) -> Line:
        """The way to a PoP over the connections that it holds here, whenever it does."""
        try:
            return self._holder(pop).line
        except QueueFullError:  # then it can't hold any
            return self._line(Held())

    def lose(self, pop: PopId, why: str, silent_s: float) -> None:
        """A PoP is gone: end what it was asked. As `Line.lose`."""
        holder = self._holders.get(pop)
        if holder is not None:
            holder.line.lose(why, silent_s)

    def regain(self, pop: PopId) -> None:
        """It is back."""
        holder = self._holders.get(pop)
        if holder is not None:
            holder.line.regain()

    def cut(self, pop: PopId) -> None:
        """Nothing is wanted of a PoP any more: close all that it holds."""
        holder = self._holders.get(pop)
        if holder is not None:
            holder.held.cut()

    async def ping(self, pop: PopId) -> None:
        """Ask a PoP that holds connections here for a sign of life.

        Raises:
            UpstreamFailedError: it gives none.
        """
        pinged = _Pinged(self._loop)
        head = f"GET {PING} HTTP/1.1\r\nhost: {pop}\r\n\r\n".encode()
        call = self.line(pop).ask(head, b"", pinged, _CALL)
        try:
            await pinged.answered
        except HttpError as error:
            raise UpstreamFailedError(f"{pop} can't be asked: {error}") from None
        finally:
            call.cancel(pinged)

    async def keep(self) -> None:
        """See that connections that nobody uses stay open on their way, until cancelled."""
        while True:
            await asyncio.sleep(HELD_PING_S)
            async with asyncio.TaskGroup() as tasks:
                for pop, holder in self._holders.items():
                    if holder.certificate is None or self._knows(holder.certificate) is None:
                        holder.held.drop()
                    for _ in range(min(HOLD_IDLE, holder.held.idle)):
                        tasks.create_task(self._kept(pop))

    def close(self) -> None:
        """Close all connections, and take none from now on."""
        self._closed = True
        for holder in self._holders.values():
            holder.held.close()
            holder.held.cut()
        self._watch.close()

    # --- parts ----------------------------------------------------------------------------------

    async def _kept(self, pop: PopId) -> None:
        with suppress(UpstreamFailedError):  # its connection is closed by then: it opens another
            await self.ping(pop)

    def _hold(self, member: Member, certificate: Certificate, head: Head, reply: Reply) -> None:
        if head.headers.get("upgrade") != HOLDING:
            raise BadRequestError(f"a connection is held with `Upgrade: {HOLDING}`")
        if member.owner != self._here.owner or member.pop == self._here.pop:
            raise NotAllowedError("connections are held for PoPs of one's own owner alone")
        if self._closed:
            raise UpstreamFailedError("this PoP is about to stop")
        holder = self._holder(member.pop)
        held = holder.held
        if held.open >= HELD_MAX:
            raise QueueFullError(f"{member.pop} holds {HELD_MAX} connections already")
        holder.certificate = certificate
        transport = reply.hand_over(HOLDING)
        hop = HeldHop(self._loop, self._watch, holder.line, partial(self._gone, member.pop, held))
        transport.set_protocol(hop)
        hop.connection_made(transport)
        first = not held.open
        held.bring(hop)
        if first:
            self._observe(PopHeld(member.pop, held=True))

    def _holder(self, pop: PopId) -> _Holder:
        known = self._holders.get(pop)
        if known is not None:
            return known
        if len(self._holders) >= HELD_POPS_MAX:
            gone = next((pop for pop, each in self._holders.items() if not each.held.open), None)
            if gone is None:
                raise QueueFullError(f"{HELD_POPS_MAX} PoPs hold connections here already")
            del self._holders[gone]
        held = Held()
        self._holders[pop] = holder = _Holder(held, self._line(held))
        return holder

    def _line(self, held: Held) -> Line:
        return Line(Origin(), self._watch, self._spawn, connections_max=HELD_MAX, held=held)

    def _gone(self, pop: PopId, held: Held, hop: Hop) -> None:
        held.gone(hop)
        if not held.open:
            self._observe(PopHeld(pop, held=False))

    def _pass_on(
        self,
        to: PopId,
        asker: Member,
        via: tuple[PopId, ...],
        head: Head,
        body: bytes,
        reply: Reply,
    ) -> Underway:
        if to in via:
            raise LoopDetectedError("this request has been there already")
        if len(via) >= FABRIC_HOPS_MAX:
            raise LoopDetectedError(f"this request has come through {len(via)} PoPs")
        if head.path not in _PASSED:
            raise BadRequestError(f"nothing is passed on to {head.path[:200]}")
        holder = self._holders.get(to)
        if holder is None or not holder.held.open:
            raise UpstreamFailedError(f"{to[:40]} holds no connection to this PoP")
        self._passing += 1
        self.none.clear()
        passing = Passing(reply, partial(self._passed, to))
        through = ", ".join((*via, self._here.pop))
        passing.call = holder.line.ask(
            head_for(to, asker, through, head, body), body, passing, _DEADLINES
        )
        return passing

    def _passed(self, to: PopId, outcome: str) -> None:
        self._passing -= 1
        if not self._passing:
            self.none.set()
        self._observe(RequestRelayed(to, outcome))


class _Pinged:
    """Hears of the answer to a ping."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answered: asyncio.Future[None] = loop.create_future()

    def head(self, head: AnswerHead) -> None:
        """Any answer is a sign of life."""

    def data(self, data: bytes) -> None:
        """There is nothing to say."""

    def end(self) -> None:
        """It lives."""
        if not self.answered.done():
            self.answered.set_result(None)

    def lost(self, error: HttpError) -> None:
        """It does not answer."""
        if not self.answered.done():
            self.answered.set_exception(error)
