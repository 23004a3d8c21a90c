"""What comes after the head of an answer of another mover: chunks, news, or a document.

A chunk is verified before anything else is done with it (words.Shelf.put). One that is wrong is
told of, and the stream goes on; so is one that can't be decoded. Bytes that are no frames end it;
so does a wrong delta, of which nobody can tell whose fault it is.
"""

import asyncio
from typing import Final

from littoral.adapters.http.words import ConnectionLostError, HttpError, MalformedError
from littoral.adapters.moving.asking import Asking
from littoral.adapters.moving.frames import Frame, Frames
from littoral.adapters.moving.heads import Message
from littoral.adapters.moving.news import NewsLink
from littoral.adapters.moving.wire import Wire, late
from littoral.adapters.moving.words import Base, BaseDoubtedError, Hears, HearsNews, Shelf
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.encoding import Encoding, Place, decoded
from littoral.terms.errors import BadRequestError
from littoral.terms.limits import DELIVERY_FRAME_WAIT_S, DELIVERY_WANTED_BYTES_MAX

__all__ = ["Body", "Chunks", "News"]

_BUFFER_BYTES: Final = 32 * 1024


class Chunks:
    """Chunks as they come."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        chunks: ChunkSet,
        shelf: Shelf,
        hears: Hears,
        base: Base | None,
    ) -> None:
        self._loop = loop
        self._left = set(chunks)
        self._shelf = shelf
        self._hears = hears
        self._base = base
        deltas = () if base is None else (Encoding.DELTA,)
        self._frames = Frames(self._size_of, (Encoding.RAW, Encoding.PLANES, *deltas))
        self._frame_since: float | None = None
        self._wire: Wire | None = None
        self.buffer = self._frames.buffer

    def _size_of(self, number: int) -> int | None:
        return self._shelf.size_bytes(number) if number in self._left else None

    def begin(self, wire: Wire, _message: Message) -> None:
        """Frames follow."""
        self._wire = wire

    def took(self, count: int) -> bytes | None:
        """Take the chunks that are whole now."""
        wire, frames = self._wire, self._frames
        assert wire is not None
        for frame in frames.took(count):
            self._left.discard(frame.number)
            self._frame_since = None
            self._take(frame)
            if wire.closed:  # whoever heard of it has dropped this
                return None
        if frames.ended:
            if self._left:
                raise MalformedError("the stream ends before all has come")
            wire.expect(1)
            return frames.rest
        wire.expect(frames.missing_bytes())
        return None

    def _take(self, frame: Frame) -> None:
        number, came_bytes = frame.number, len(frame.body)
        size_bytes = self._shelf.size_bytes(number)
        against = _nothing if self._base is None else self._base.span
        try:
            data = memoryview(decoded(frame.encoding, frame.body, size_bytes, against))
        except BadRequestError:
            right = False
        else:
            right = self._shelf.put(number, data, frame.digest)
        if right:
            self._hears.landed(number, size_bytes, came_bytes)
        elif frame.encoding is Encoding.DELTA:
            raise BaseDoubtedError(f"chunk {number} is wrong")
        else:
            self._hears.spoiled(number)

    def tick(self, now: float) -> None:
        """Bound the time for one frame."""
        if not self._frames.missing_bytes():
            self._frame_since = None
        elif self._frame_since is None:
            self._frame_since = now
        else:
            late(now, self._frame_since, DELIVERY_FRAME_WAIT_S, "for one chunk")

    def ended(self, error: HttpError | None) -> None:
        """Tell of it."""
        self._hears.ended(error)


def _nothing(_place: Place, _size_bytes: int) -> None:
    """Without a base."""


class News:
    """News, from the side that has called (words.Fetching)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, hears: HearsNews) -> None:
        self._loop = loop
        self._hears = hears
        self._link: NewsLink | None = None
        self._early: list[bytes] = []
        self._early_bytes = 0
        self._read = memoryview(bytearray(_BUFFER_BYTES))
        self.asking: Asking

    def say(self, line: bytes) -> None:
        """Push a line to the peer."""
        if self._link is not None:
            self._link.say(line)
            return
        self._early.append(line)
        self._early_bytes += len(line)
        if self._early_bytes > DELIVERY_WANTED_BYTES_MAX:
            self.asking.end(ConnectionLostError("the peer does not take what it is told"))

    def drop(self) -> None:
        """Say and hear no more."""
        self.asking.drop()

    def begin(self, wire: Wire, message: Message) -> None:
        """The peer has answered."""
        self._link = link = NewsLink(wire, message, self._loop.time())
        link.hear(self._hears)
        for line in self._early:
            link.say(line)
        self._early.clear()

    def buffer(self) -> memoryview:
        """The same for all that comes."""
        return self._read

    def took(self, count: int) -> bytes | None:
        """Take lines."""
        assert self._link is not None
        self._link.heard(bytes(self._read[:count]))
        return None

    def tick(self, now: float) -> None:
        """As the link."""
        assert self._link is not None
        self._link.tick(now)

    def ended(self, error: HttpError | None) -> None:
        """Tell of it."""
        self._hears.parted(error)


class Body:
    """A whole body of a bounded size."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bytes_max: int) -> None:
        self.whole: asyncio.Future[bytes] = loop.create_future()
        self._bytes_max = bytes_max
        self._parts = bytearray()
        self._read = memoryview(bytearray(_BUFFER_BYTES))
        self._message: Message | None = None

    def begin(self, _wire: Wire, message: Message) -> None:
        """Bytes follow."""
        self._message = message

    def buffer(self) -> memoryview:
        """The same for all that comes."""
        return self._read

    def took(self, count: int) -> bytes | None:
        """Take some."""
        message = self._message
        assert message is not None
        message.feed_body(bytes(self._read[:count]))
        self._parts += message.taken()
        if len(self._parts) > self._bytes_max:
            raise MalformedError("a document that is over the bounds")
        return b"" if message.whole else None

    def tick(self, now: float) -> None:
        """Nothing to look at."""

    def ended(self, error: HttpError | None) -> None:
        """Give it, or say why not."""
        if self.whole.done():
            return
        if error is None:
            self.whole.set_result(bytes(self._parts))
        else:
            self.whole.set_exception(error)
