"""Requests to other movers, over connections that are kept between them.

Rules
- A peer is asked nothing before its certificate has shown the name that it is to have, and that
  name is on the list; one that is taken from the list is left.
- A peer that says nothing for DELIVERY_STALL_S is given up, while connecting too.
- A peer that can't be dialled is asked over connections that it holds here; where none is free, the
  next that is comes to whoever has waited longest.
- A connection is used again after a whole answer, and only a few are kept for each peer. Where one
  was closed while it was kept, the peer is asked once more.

Not here: what is asked, and what comes after the head of an answer (Reply).
"""

import asyncio
from typing import Final, Protocol

from littoral.adapters.http.words import (
    ConnectFailedError,
    ConnectionLostError,
    HttpError,
    MalformedError,
    NoConnectionFreeError,
)
from littoral.adapters.moving.access import Access
from littoral.adapters.moving.heads import Message
from littoral.adapters.moving.wire import Beat, Wire, dialled, late
from littoral.adapters.moving.words import Peer, RefusedError
from littoral.terms.limits import (
    DELIVERY_CONNECTIONS_MAX,
    DELIVERY_IDLE_PER_PEER_MAX,
    DELIVERY_STALL_S,
    IDLE_WAIT_S,
)
from littoral.trust.members import Member

__all__ = ["Asker", "Asking", "Reply"]

_BUFFER_BYTES: Final = 32 * 1024


class Reply(Protocol):
    """Who takes what comes after the head of an answer of 200 or 206."""

    def begin(self, wire: Wire, message: Message) -> None:
        """The head is here, and says that the rest follows."""

    def buffer(self) -> memoryview:
        """Where to read to; not empty."""

    def took(self, count: int) -> bytes | None:
        """None while more is to come; else what came behind the end."""

    def tick(self, now: float) -> None:
        """Look at deadlines of its own; raises HttpError for one that has passed."""

    def ended(self, error: HttpError | None) -> None:
        """Nothing more comes; None if it has come whole. Told once, also without a head."""


class Asker:
    """All requests that are under way, and the connections that wait for one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, access: Access) -> None:
        """Ask nobody yet."""
        self.loop = loop
        self.access = access
        self.beat = Beat(loop)
        self._kept: dict[Peer, list[_Kept]] = {}
        self._asking: set[Asking] = set()
        self._waiting: list[Asking] = []
        """Those whose peer can't be dialled, and holds no connection that is free."""

    def ask(self, peer: Peer, said: bytes, reply: Reply) -> "Asking":
        """Say this to a peer, and have the reply take what it answers; never before this returns.

        Args:
            peer: whom.
            said: a whole request, or as much of it as can be said at once.
            reply: takes the answer.
        """
        asking = Asking(self, peer, said, reply)
        if len(self._asking) < DELIVERY_CONNECTIONS_MAX:
            self.loop.call_soon(asking.start)
        else:
            self.loop.call_soon(asking.end, NoConnectionFreeError("too much is asked already"))
        self._asking.add(asking)
        return asking

    def looked(self) -> None:
        """The list of who is let in has changed."""
        for asking in list(self._asking):
            asking.look()

    def close(self) -> None:
        """End everything; whoever has asked hears of it."""
        for asking in list(self._asking):
            asking.end(ConnectionLostError("this PoP stops"))
        for kept in list(self._kept.values()):
            for each in list(kept):
                each.close()

    def over(self, asking: "Asking") -> None:
        """One has ended."""
        self._asking.discard(asking)

    def keep(self, peer: Peer, wire: Wire) -> None:
        """Use a connection again later."""
        kept = self._kept.setdefault(peer, [])
        if len(kept) >= DELIVERY_IDLE_PER_PEER_MAX or not self.access.allows(peer.member):
            wire.close()
            return
        kept.append(_Kept(self, peer, wire))
        waiting = next((each for each in self._waiting if each.peer == peer), None)
        if waiting is not None:
            self._waiting.remove(waiting)
            self.loop.call_soon(waiting.start)

    def hold(self, member: Member, wire: Wire) -> None:
        """Ask this member, which can't be dialled, over a connection that it has opened.

        It is there now, which is more than is known of those that it opened before.
        """
        peer = Peer(member, "", 0)
        before = self._kept.get(peer, [])
        if len(before) >= DELIVERY_IDLE_PER_PEER_MAX:
            before[0].close()
        self.keep(peer, wire)

    def wait(self, asking: "Asking") -> None:
        """Have it start again once its peer holds a connection that is free."""
        self._waiting.append(asking)
        self.loop.call_later(DELIVERY_STALL_S, self._waited, asking)

    def _waited(self, asking: "Asking") -> None:
        if asking in self._waiting:
            self._waiting.remove(asking)
            asking.end(ConnectFailedError("it can't be dialled, and holds no connection here"))

    def forget(self, kept: "_Kept") -> None:
        """One that was kept is gone."""
        of_peer = self._kept[kept.peer]
        of_peer.remove(kept)
        if not of_peer:
            del self._kept[kept.peer]

    def take(self, peer: Peer) -> Wire | None:
        """A connection that is open already."""
        of_peer = self._kept.get(peer)
        if not of_peer:
            return None
        kept = of_peer[-1]
        self.forget(kept)
        return kept.wire


class _Kept:
    """An open connection without a request (wire.Owner)."""

    def __init__(self, asker: Asker, peer: Peer, wire: Wire) -> None:
        self._asker = asker
        self.peer = peer
        self.wire = wire
        self._since = asker.loop.time()
        wire.owner = self
        wire.expect(1)

    def opened(self) -> None:
        """It was, long ago."""

    def buffer(self) -> memoryview:
        """For a byte that must not come."""
        return memoryview(bytearray(1))

    def took(self, _count: int) -> None:
        """Nobody has asked."""
        raise MalformedError("an answer that nobody asked for")

    def refill(self) -> bool:
        """Nothing to say."""
        return False

    def tick(self, now: float) -> None:
        """Close it before the peer does."""
        late(now, self._since, IDLE_WAIT_S / 2, "without use")

    def lost(self, _error: HttpError) -> None:
        """It can't be used again."""
        self._asker.forget(self)

    def close(self) -> None:
        """Keep it no longer."""
        self.wire.close()
        self._asker.forget(self)


class Asking:
    """One request and its answer (wire.Owner, words.Fetching)."""

    def __init__(self, asker: Asker, peer: Peer, said: bytes, reply: Reply) -> None:
        self._asker = asker
        self.peer: Final = peer
        self._said = said
        self._reply = reply
        self._wire: Wire | None = None
        self._message = Message(to_server=False)
        self._read = memoryview(bytearray(_BUFFER_BYTES))
        self._body = False
        """Its head is here."""
        self._reused = False
        self._over = False
        self._moved_at = asker.loop.time()
        self._received_bytes = 0

    def start(self) -> None:
        """Ask, over a connection that is kept or a new one."""
        if self._over:
            return
        asker, peer = self._asker, self.peer
        if not asker.access.allows(peer.member):
            self.end(ConnectFailedError("the peer is not on the list of those let in"))
            return
        wire = asker.take(peer)
        if wire is not None:
            self._reused = True
            self._wire, wire.owner = wire, self
            self._received_bytes = wire.received_bytes
            wire.put(self._said)
            wire.push()
            return
        self._reused = False
        if not peer.host:
            asker.wait(self)
            return
        try:
            tls = asker.access.client(peer.member)
            plain = dialled(peer.host, peer.port)
            self._wire = Wire(asker.loop, asker.beat, plain, tls, self, server=False)
        except HttpError as error:
            self.end(error)

    @property
    def received_bytes(self) -> int:
        """See words.Fetching."""
        return 0 if self._wire is None else self._wire.received_bytes

    def drop(self) -> None:
        """Not wanted any more."""
        if not self._over:
            self._over = True
            self._asker.over(self)
            if self._wire is not None:
                self._wire.close()

    def end(self, error: HttpError | None) -> None:
        """Tell of the end; a connection without an error is used again."""
        if self._over:
            return
        wire = self._wire
        self._over = True
        self._asker.over(self)
        if wire is not None and not wire.closed:
            head = self._message.head
            if error is None and head is not None and head.keep_alive:
                self._asker.keep(self.peer, wire)
            else:
                wire.close()
        self._reply.ended(error)

    def look(self) -> None:
        """Leave, if the peer is not on the list any more."""
        if not self._asker.access.allows(self.peer.member):
            self.end(ConnectionLostError("the peer is not on the list of those let in any more"))

    # What the wire asks

    def opened(self) -> None:
        """Say what is wanted, once the peer is who it is to be."""
        assert self._wire is not None
        self._asker.access.expect(self._wire.connection, self.peer.member)
        self._wire.put(self._said)

    def buffer(self) -> memoryview:
        """The reply's own, once there is one."""
        return self._reply.buffer() if self._body else self._read

    def took(self, count: int) -> None:
        """Read the head, or leave it to the reply."""
        if self._body:
            self._finish(self._reply.took(count))
            return
        found = self._message.feed_head(bytes(self._read[:count]))
        if found is None:
            return
        head, rest = found
        if head.status not in {200, 206}:
            self.end(RefusedError(head.status))
            return
        assert self._wire is not None
        self._reply.begin(self._wire, self._message)
        self._body = True
        while rest and not self._over:
            buffer = self._reply.buffer()
            part, rest = rest[: len(buffer)], rest[len(buffer) :]
            buffer[: len(part)] = part
            self._finish(self._reply.took(len(part)))
        if not self._over and self._message.whole:  # it has no body
            self._finish(b"")

    def _finish(self, rest: bytes | None) -> None:
        if rest:
            raise MalformedError("more than was asked for")
        if rest is not None:
            self.end(None)

    def refill(self) -> bool:
        """All was said."""
        return False

    def tick(self, now: float) -> None:
        """Look for a sign of life."""
        wire = self._wire
        assert wire is not None
        if wire.received_bytes != self._received_bytes:
            self._received_bytes, self._moved_at = wire.received_bytes, now
        late(now, self._moved_at, DELIVERY_STALL_S, "without a byte")
        if self._body:
            self._reply.tick(now)

    def lost(self, error: HttpError) -> None:
        """Ask again, if the peer had closed a connection while it was kept; else tell."""
        if self._reused and not self._body and isinstance(error, ConnectionLostError):
            self._message = Message(to_server=False)
            self._wire = None
            self._moved_at, self._received_bytes = self._asker.loop.time(), 0
            self.start()
        else:
            self.end(error)
