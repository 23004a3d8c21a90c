"""What a mover gives to others over HTTP/1.1: chunks as they come, news, documents and files.

- `GET /v1/delivery/ARTIFACT/manifest`, `/claims`, `/tables/N`, `/tensors/N`, `/files/N`: whole or
  a `Range` of it.
- `POST /v1/delivery/GROUP/chunks`: chunks in frames (frames.py), as long as both live; what is
  wanted is said in lines meanwhile (asks.py).
- `POST /v1/delivery/GROUP/news`: lines both ways, as long as both live.
- `POST /v1/delivery/held`: whoever says it can't be dialled, and is asked over this connection from
  now on (held.py).

Rules
- Nobody is answered who is not on the list; whoever is taken from it loses its connections. So does
  who is being given what is not for it any more.
- One request at a time on a connection; each phase has a deadline, and everything a bound.
- A peer that takes no byte for a while, though some wait for it, is given up.

Not here: what there is (words.Library); when what is asked of whom.
"""

import asyncio
import re
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

from littoral.adapters.http.words import HttpError, MalformedError
from littoral.adapters.moving.access import Access
from littoral.adapters.moving.answers import HELD, Answer, Plain, Turned
from littoral.adapters.moving.chunks import ChunkStream
from littoral.adapters.moving.flows import Flows
from littoral.adapters.moving.heads import Head, Message, answer, span_of
from littoral.adapters.moving.lines import FIELDS, Lines
from littoral.adapters.moving.news import NewsLink
from littoral.adapters.moving.wire import Beat, Wire, late
from littoral.adapters.moving.words import Library
from littoral.terms.limits import (
    ACCEPTS_WAITING_MAX,
    DELIVERY_CONNECTIONS_MAX,
    DELIVERY_HEAD_WAIT_S,
    DELIVERY_STUCK_S,
    DELIVERY_WANTED_BYTES_MAX,
    IDLE_WAIT_S,
)
from littoral.trust.members import Member

__all__ = ["Server"]

_PATH: Final = re.compile(
    r"/v1/delivery/([A-Za-z0-9:._-]{1,128})/"
    r"(manifest|claims|(?:tables|tensors|files)/[0-9]{1,6}|chunks|news)"
)
_BUFFER_BYTES: Final = 32 * 1024
_STREAM: Final = {"content-type": "application/octet-stream", "transfer-encoding": "chunked"}


class Server:
    """Listens for other movers."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        access: Access,
        library: Library,
        flows: Flows,
    ) -> None:
        """Listen nowhere yet."""
        self.loop = loop
        self.access = access
        self.library = library
        self.flows = flows
        self.beat = Beat(loop)
        self._listening: socket.socket | None = None
        self.peers: set[_Serving] = set()
        """All that are connected."""
        self.hold: Callable[[Member, Wire], None] | None = None
        """Takes connections of those that can't be dialled."""

    def listen(self, host: str, port: int) -> int:
        """Begin, at an address of this machine; 0 is a free port. Returns the port.

        Raises:
            OSError: it can't be listened there.
        """
        assert self._listening is None, "once"
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen(ACCEPTS_WAITING_MAX)
        except OSError:
            listening.close()
            raise
        listening.setblocking(False)
        self._listening = listening
        self.loop.add_reader(listening.fileno(), self._accept)
        return int(listening.getsockname()[1])

    def serve(self, wire: Wire, member: Member, rest: bytes, turned: Turned) -> Callable[[], None]:
        """Answer a member over a connection that was opened to it; it has said the rest already.

        Returns: what ends it.
        """
        serving = _Serving(self, wire, member, turned)
        self.peers.add(serving)
        if rest:
            serving.buffer()[: len(rest)] = rest
            serving.took(len(rest))
        return serving.close

    def _accept(self) -> None:
        assert self._listening is not None
        try:
            plain, _ = self._listening.accept()
        except OSError:
            return  # it has gone already, or the machine has no descriptor left: it comes again
        if len(self.peers) >= DELIVERY_CONNECTIONS_MAX:
            plain.close()
            return
        self.peers.add(_Serving(self, plain))

    def looked(self) -> None:
        """The list of who is let in has changed."""
        for peer in list(self.peers):
            peer.look()

    def close(self) -> None:
        """End everything."""
        if self._listening is not None:
            self.loop.remove_reader(self._listening.fileno())
            self._listening.close()
            self._listening = None
        for peer in list(self.peers):
            peer.close()

    def gone(self, peer: "_Serving") -> None:
        """One has left."""
        self.peers.discard(peer)


class _Serving:
    """One connection of a peer (wire.Owner)."""

    def __init__(
        self,
        server: Server,
        opened: socket.socket | Wire,
        member: Member | None = None,
        turned: Turned | None = None,
    ) -> None:
        self._server = server
        self._turned = turned
        self._read = memoryview(bytearray(_BUFFER_BYTES))
        self._member = member
        self._message = Message(to_server=True)
        self._answer: Answer | None = None
        self._news: NewsLink | None = None
        self._chunks: ChunkStream | None = None
        self._paced = False
        """Its chunks count among the streams that leave."""
        self._group = ""
        """The artifact or draft that the present answer is of, where there is such."""
        self._keep_alive = True
        self._since = self._moved_at = server.loop.time()
        """When the present phase began, and when bytes were last taken."""
        self._begun = True
        """Something of a request has come, or the first is awaited."""
        self._sent_bytes = 0
        if isinstance(opened, Wire):
            self._wire, opened.owner, self._begun = opened, self, False
        else:
            tls = server.access.server
            self._wire = Wire(server.loop, server.beat, opened, tls, self, server=True)

    def opened(self) -> None:
        """See who it is."""
        self._member = self._server.access.admitted(self._wire.connection)
        self._since = self._server.loop.time()

    def look(self) -> None:
        """Leave, if it is not on the list any more, or what it is given is not for it any more."""
        member, server = self._member, self._server
        if member is None:
            return
        given = self._group if self._answer is not None else ""
        gone = bool(given) and server.library.shelf(given, member) is None
        if gone or not server.access.allows(member):
            self.close()

    def close(self) -> None:
        """End it at once."""
        if not self._wire.closed:
            self._wire.close()
            self.lost(None)

    # Reading

    def buffer(self) -> memoryview:
        """The same for all that it says."""
        return self._read

    def took(self, count: int) -> None:
        """Read a request, or what is said during an answer."""
        data = bytes(self._read[:count])
        if self._answer is not None:
            self._heard(self._answer, data)
            return
        if not self._begun:
            self._begun, self._since = True, self._server.loop.time()
            if self._turned is not None:
                self._turned.taken()
        message, head = self._message, self._message.head
        if head is None:
            found = message.feed_head(data)
            if found is None:
                return
            head, data = found
            if self._takes_lines(head, data):
                return
        message.feed_body(data)
        if message.whole:
            self._respond(head)

    # Answering

    def _respond(self, head: Head) -> None:
        self._keep_alive = head.keep_alive
        found = _PATH.fullmatch(head.path)
        assert self._member is not None
        if head.path == HELD and self._server.hold is not None:
            self._wire.put(answer(200, {"content-length": "0"}))
            self._server.gone(self)
            self._server.hold(self._member, self._wire)
        elif found is None:
            self._say(404)
        elif found[2] in {"chunks", "news"}:
            self._say(400)
        else:
            self._group = found[1]
            self._document(head, found[1], found[2])
        self._moved_at = self._server.loop.time()
        self._wire.push()

    def _say(self, status: int) -> None:
        self._wire.put(answer(status, {"content-length": "0"}))
        self._answer = Plain()

    def _document(self, head: Head, artifact: str, name: str) -> None:
        assert self._member is not None
        if head.method not in {"GET", "HEAD"}:
            self._say(405)
            return
        data = self._server.library.document(artifact, name, self._member)
        if data is None:
            self._say(404)
            return
        size = len(data)
        asked = head.fields.get("range", "")
        span = span_of(asked, size) if asked else (0, size)
        if span is None:
            self._wire.put(answer(416, {"content-range": f"bytes */{size}", "content-length": "0"}))
            self._answer = Plain()
            return
        first, end = span
        fields = {"content-length": str(end - first), "accept-ranges": "bytes"}
        if asked:
            fields["content-range"] = f"bytes {first}-{end - 1}/{size}"
        self._wire.put(answer(206 if asked else 200, fields))
        if head.method == "GET" and end > first:
            self._wire.put(data[first:end])
            self._server.flows.begin(self._wire)
        self._answer = Plain()

    def _takes_lines(self, head: Head, rest: bytes) -> bool:
        """Whether it is a request whose body goes on: then it is answered before its end."""
        found = _PATH.fullmatch(head.path)
        coding = head.fields.get("transfer-encoding", "")
        if found is None or head.method != "POST" or coding != "chunked":
            return False
        begin = {"news": self._begin_news, "chunks": self._begin_chunks}.get(found[2])
        if begin is None:
            return False
        now = self._server.loop.time()
        self._group, self._moved_at = found[1], now
        answer_ = begin(found[1], now)
        if answer_ is None:
            self._keep_alive = False
            self._say(404)
        else:
            self._answer = answer_
            if rest:
                self._heard(answer_, rest)
        self._wire.push()
        return True

    def _begin_news(self, group: str, now: float) -> NewsLink | None:
        assert self._member is not None
        link = NewsLink(self._wire, self._message, now)
        hears = self._server.library.news(group, self._member, link.say)
        if hears is None:
            return None
        link.hear(hears)
        self._wire.put(answer(200, FIELDS))
        self._news = link
        return link

    def _begin_chunks(self, group: str, now: float) -> ChunkStream | None:
        assert self._member is not None
        library = self._server.library
        shelf = library.shelf(group, self._member)
        if shelf is None:
            return None
        self._wire.put(answer(200, _STREAM))
        lines = Lines(self._message, DELIVERY_WANTED_BYTES_MAX)
        coder = partial(library.coder, group, self._member)
        self._chunks = ChunkStream(self._wire, lines, shelf, coder, now)
        return self._chunks

    def _heard(self, answer_: Answer, data: bytes) -> None:
        if not answer_.heard(data):
            raise MalformedError("something was said before the answer had ended")
        if answer_ is self._chunks:
            self._pace(self._chunks)
            self._wire.push()

    def _pace(self, chunks: ChunkStream) -> None:
        """Have a stream count among those that leave while there is something to send."""
        if chunks.busy != self._paced:
            self._paced = chunks.busy
            if self._paced:
                self._server.flows.begin(self._wire)
            else:
                self._server.flows.end(self._wire)

    # What the wire asks

    def refill(self) -> bool:
        """Put more of the answer; after its end, wait for the next request."""
        if self._answer is None:
            return False
        if self._answer.refill():
            return True
        if self._answer.done and not self._wire.unsent:
            self._over()
        elif self._answer is self._chunks:
            self._pace(self._chunks)
        return False

    def _over(self) -> None:
        assert self._answer is not None
        self._answer.close()
        self._answer, self._group = None, ""
        self._chunks, self._paced = None, False
        self._server.flows.end(self._wire)
        self._message = Message(to_server=True)
        self._begun, self._since = False, self._server.loop.time()
        if not self._keep_alive:
            self.close()
        elif self._turned is not None:
            self._turned.free()

    def tick(self, now: float) -> None:
        """Look at the deadline of the present phase."""
        if self._answer is None:
            wait_s = DELIVERY_HEAD_WAIT_S if self._begun else IDLE_WAIT_S
            late(now, self._since, wait_s, "without a whole request")
            return
        if self._sent_bytes != self._wire.sent_bytes or not self._wire.unsent:
            self._sent_bytes, self._moved_at = self._wire.sent_bytes, now
        late(now, self._moved_at, DELIVERY_STUCK_S, "in which the peer took nothing")
        self._answer.tick(now)

    def lost(self, error: HttpError | None) -> None:
        """Let go of everything."""
        self._server.flows.end(self._wire)
        self._server.gone(self)
        if self._turned is not None:
            self._turned.gone()
        answer_, self._answer = self._answer, None
        if answer_ is not None:
            answer_.close()
        if self._news is not None:
            self._news.lost(error)
