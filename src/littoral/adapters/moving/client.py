"""What a mover asks of others: chunks as they come there, news, documents and spans of files.

Not here: whom to ask for what, and what follows when one fails; how requests are made (asking.py),
and what is done with their answers (replies.py).
"""

import asyncio

from littoral.adapters.addresses import bracketed
from littoral.adapters.http.words import MalformedError
from littoral.adapters.moving.access import Access
from littoral.adapters.moving.asking import Asker, Asking
from littoral.adapters.moving.heads import Span, request
from littoral.adapters.moving.lines import FIELDS
from littoral.adapters.moving.replies import Body, News
from littoral.adapters.moving.streams import Stream
from littoral.adapters.moving.wire import Wire
from littoral.adapters.moving.words import Base, Fetching, Hears, HearsNews, Peer, Shelf
from littoral.delivery.chunk_set import ChunkSet
from littoral.trust.members import Member

__all__ = ["Client"]


class Client:
    """Asks other movers."""

    def __init__(self, loop: asyncio.AbstractEventLoop, access: Access) -> None:
        """Ask nobody yet."""
        self._loop = loop
        self._asker = Asker(loop, access)
        self._streams: dict[tuple[Peer, str, str], Stream] = {}
        """By the peer, the group, and the base that chunks are encoded against."""

    def fetch(
        self,
        peer: Peer,
        group: str,
        chunks: ChunkSet,
        shelf: Shelf,
        hears: Hears,
        base: Base | None = None,
    ) -> Fetching:
        """Ask for chunks, which come in any order, as the peer gets them.

        Args:
            peer: whom.
            group: whose chunks.
            chunks: not none, and not here already.
            shelf: where to put them.
            hears: is told of each, and of the end; never before this returns.
            base: is here whole, and resembles what is asked for.
        """
        key = peer, group, "" if base is None else base.artifact
        stream = self._streams.get(key)
        if stream is not None and stream.shelf is shelf:
            return stream.ask(chunks, hears)
        head = request("POST", f"/v1/delivery/{group}/chunks", _host(peer), FIELDS)

        def opens(stream: Stream) -> Asking:
            return self._asker.ask(peer, head + stream.opening(), stream)

        stream = self._streams[key] = Stream(shelf, base, opens, self._forget)
        return stream.ask(chunks, hears)

    def leave(self, shelf: Shelf) -> None:
        """Nothing more is asked for that is to go to this shelf: close its streams."""
        for stream in list(self._streams.values()):
            if stream.shelf is shelf:
                stream.close()

    def _forget(self, stream: Stream) -> None:
        for key, kept in list(self._streams.items()):
            if kept is stream:
                del self._streams[key]

    def news(self, peer: Peer, group: str, hears: HearsNews) -> "News":
        """Call a peer to exchange news; what is said before it has answered is said then."""
        news = News(self._loop, hears)
        head = request("POST", f"/v1/delivery/{group}/news", _host(peer), FIELDS)
        news.asking = self._asker.ask(peer, head, news)
        return news

    async def document(
        self,
        peer: Peer,
        artifact: str,
        name: str,
        *,
        bytes_max: int,
        span: Span | None = None,
    ) -> bytes:
        """A `manifest`, `claims`, `tables/N`, `tensors/N`, `files/N`, or a span of it. Unverified.

        Raises:
            RefusedError: the peer does not give it.
            MalformedError: it is over the bound, or not what was asked for.
            HttpError: it did not come.
        """
        fields = {} if span is None else {"range": f"bytes={span[0]}-{span[1] - 1}"}
        body = Body(self._loop, bytes_max)
        head = request("GET", f"/v1/delivery/{artifact}/{name}", _host(peer), fields)
        asking = self._asker.ask(peer, head, body)
        try:
            data = await body.whole
        finally:
            asking.drop()
        if span is not None and len(data) != span[1] - span[0]:
            raise MalformedError("another span than was asked for")
        return data

    def hold(self, member: Member, wire: Wire) -> None:
        """A member that can't be dialled has opened this connection, to be asked over it."""
        self._asker.hold(member, wire)

    def looked(self) -> None:
        """The list of who is let in has changed."""
        self._asker.looked()

    def close(self) -> None:
        """End everything; whoever has asked hears of it."""
        self._asker.close()


def _host(peer: Peer) -> str:
    return f"{bracketed(peer.host)}:{peer.port}"
