"""What comes after the head of an answer of another mover: news, or a document."""

import asyncio
from typing import Final

from littoral.adapters.http.words import ConnectionLostError, HttpError, MalformedError
from littoral.adapters.moving.asking import Asking
from littoral.adapters.moving.heads import Message
from littoral.adapters.moving.news import NewsLink
from littoral.adapters.moving.wire import Wire
from littoral.adapters.moving.words import HearsNews
from littoral.terms.limits import DELIVERY_WANTED_BYTES_MAX

__all__ = ["Body", "News"]

_BUFFER_BYTES: Final = 32 * 1024


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
