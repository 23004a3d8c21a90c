"""Connections of a mover that can't be dialled: others ask it over them.

    behind a router                          where it can be dialled
    POST /v1/delivery/held  ------------->   200, and the roles change
                            <-------------   a request, as to any mover
    the answer              ------------->

Rules
- A few wait for a request at each PoP that is named; one that is taken is replaced at once, within
  a bound, and one that is free again waits with the others.
- Who is asked to take some has to be who it should be; what comes over them is answered as what
  comes to a listener (server.py), which knows by its certificate whom it answers.
- One that refuses, or can't be reached, is asked again with growing pauses.

What the other side does with them is in asking.py.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from littoral.adapters.http.words import HttpError
from littoral.adapters.moving.access import Access
from littoral.adapters.moving.answers import HELD
from littoral.adapters.moving.heads import Message, request
from littoral.adapters.moving.server import Server
from littoral.adapters.moving.wire import Wire, dialled, late
from littoral.adapters.moving.words import Peer, RefusedError
from littoral.terms.limits import DELIVERY_IDLE_PER_PEER_MAX, DELIVERY_STALL_S

__all__ = ["Holder"]

_SPARE: Final = DELIVERY_IDLE_PER_PEER_MAX
"""That wait for a request at each: the other side keeps no more."""
_MOST: Final = 16
"""At each PoP, those that are in use among them."""
_PAUSE_S, _PAUSE_S_MAX = 0.5, 30.0
_QUICK_S: Final = 1.0
"""One that ends sooner, without a request, was not wanted."""
_BUFFER_BYTES: Final = 32 * 1024


@dataclass(slots=True)
class _Place:
    """One PoP, and what is held there."""

    free: set["_Holding"] = field(default_factory=set)
    """Those that wait for a request, or are still being opened."""
    busy: set["_Holding"] = field(default_factory=set)
    pause_s: float = _PAUSE_S
    """Until it is tried again, after it has failed."""
    again: asyncio.TimerHandle | None = None


class Holder:
    """All of them. Called on its loop."""

    def __init__(self, access: Access, server: Server) -> None:
        """Hold none yet.

        Args:
            access: how TLS is spoken, and with whom.
            server: answers what comes over them.
        """
        self.access = access
        self.server = server
        self._places: dict[Peer, _Place] = {}

    def hold(self, peers: Collection[Peer]) -> None:
        """Hold some at each of these, and none elsewhere."""
        for peer in [each for each in self._places if each not in peers]:
            place = self._places.pop(peer)
            if place.again is not None:
                place.again.cancel()
            for each in [*place.free, *place.busy]:
                each.close()
        for peer in peers:
            self._places.setdefault(peer, _Place())
            self._fill(peer)

    def moved(self, holding: "_Holding", *, free: bool) -> None:
        """One was taken, or is free again."""
        place = self._places.get(holding.peer)
        if place is not None:
            place.pause_s = _PAUSE_S
            (place.busy if free else place.free).discard(holding)
            (place.free if free else place.busy).add(holding)
            self._fill(holding.peer)

    def gone(self, holding: "_Holding", *, failed: bool) -> None:
        """One is closed; it failed if it was never held."""
        place = self._places.get(holding.peer)
        if place is None:
            return
        place.free.discard(holding)
        place.busy.discard(holding)
        if failed and place.again is None:
            loop = self.server.loop
            place.again = loop.call_later(place.pause_s, self._try_again, holding.peer)
            place.pause_s = min(2 * place.pause_s, _PAUSE_S_MAX)
        self._fill(holding.peer)

    def _try_again(self, peer: Peer) -> None:
        self._places[peer].again = None
        self._fill(peer)

    def _fill(self, peer: Peer) -> None:
        place = self._places[peer]
        while (
            place.again is None
            and len(place.free) < _SPARE
            and len(place.free) + len(place.busy) < _MOST
        ):
            try:
                place.free.add(_Holding(self, peer))
            except HttpError:
                place.again = self.server.loop.call_later(_PAUSE_S_MAX, self._try_again, peer)


class _Holding:
    """One of them (wire.Owner until it is held, then server.Turned)."""

    def __init__(self, holder: Holder, peer: Peer) -> None:
        self._holder = holder
        self.peer = peer
        self._message = Message(to_server=False)
        self._read = memoryview(bytearray(_BUFFER_BYTES))
        self._since = holder.server.loop.time()
        self._used = False
        self._end: Callable[[], None] | None = None
        """Ends it, once it is held."""
        server, tls = holder.server, holder.access.client(peer.member)
        plain = dialled(peer.host, peer.port)
        self.wire = Wire(server.loop, server.beat, plain, tls, self, server=False)

    # --- until it is held -----------------------------------------------------------------------

    def opened(self) -> None:
        """Ask the other to take it, if it is who it should be."""
        self._holder.access.expect(self.wire.connection, self.peer.member)
        self.wire.put(request("POST", HELD, self.peer.host, {"content-length": "0"}))

    def buffer(self) -> memoryview:
        """For its answer."""
        return self._read

    def took(self, count: int) -> None:
        """Read the answer; what follows it is asked already."""
        found = self._message.feed_head(bytes(self._read[:count]))
        if found is None:
            return
        head, rest = found
        if head.status != 200 or not self._message.whole:
            raise RefusedError(head.status)
        self._since = self._holder.server.loop.time()
        self._end = self._holder.server.serve(self.wire, self.peer.member, rest, self)

    def refill(self) -> bool:
        """All was said."""
        return False

    def tick(self, now: float) -> None:
        """It answers soon, or never."""
        late(now, self._since, DELIVERY_STALL_S, "without an answer")

    def lost(self, _error: HttpError) -> None:
        """It was not taken."""
        self._holder.gone(self, failed=True)

    def close(self) -> None:
        """Hold it no longer."""
        (self._end or self.wire.close)()

    # --- from then on ---------------------------------------------------------------------------

    def taken(self) -> None:
        """See Turned."""
        self._used = True
        self._holder.moved(self, free=False)

    def free(self) -> None:
        """See Turned."""
        self._holder.moved(self, free=True)

    def gone(self) -> None:
        """See Turned."""
        held_s = self._holder.server.loop.time() - self._since
        self._holder.gone(self, failed=not self._used and held_s < _QUICK_S)
