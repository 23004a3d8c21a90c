"""Chunks that go to one peer: what it asked for, as it comes to be here.

Whatever is here already goes in order, what comes later as it comes. While there is nothing to
send, a sign of life goes out now and then, so that whoever waits can tell that from a stall. A
chunk is encoded just before it goes, if the peer takes that and it is worth it.
"""

from collections import deque
from typing import Final

from littoral.adapters.http.words import ConnectionLostError
from littoral.adapters.moving.frames import end_frame, idle_frame, prefix
from littoral.adapters.moving.wire import Wire
from littoral.adapters.moving.words import Coder, Shelf
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.encoding import Encoding
from littoral.terms.limits import DELIVERY_ALIVE_S

__all__ = ["ChunkStream"]

_FIRST_BYTES: Final = 16 * 1024 - 52
"""Of a chunk, that go with what stands before them: together they are one record of TLS."""


class ChunkStream:
    """The body of one answer."""

    def __init__(
        self, wire: Wire, shelf: Shelf, wanted: ChunkSet, coder: Coder | None, now: float
    ) -> None:
        """Send nothing yet.

        Args:
            wire: to the peer.
            shelf: where chunks are, and come to.
            wanted: chunks of this shelf.
            coder: encodes them; None where they are to go as they are.
            now: by the loop's clock.
        """
        self._wire = wire
        self._shelf = shelf
        self._coder = coder
        self._to_look_at = iter(wanted)
        self._waiting: set[int] = set()
        """Those that were looked at, and were not here."""
        self._ready: deque[int] = deque()
        """Those of them that have come since."""
        self._first = True
        self._said_at = now
        self.done = False
        self._unwatch = shelf.watch(self._came)

    def _came(self, number: int) -> None:
        if number in self._waiting:
            self._waiting.remove(number)
            self._ready.append(number)
            self._wire.push()

    def refill(self) -> bool:
        """Put the next chunk, or the end; False if there is nothing to put now.

        Raises:
            ConnectionLostError: a chunk is not here any more.
        """
        if self.done:
            return False
        number = self._next()
        if number is not None:
            self._put(number)
        elif not self._waiting:
            self.done = True
            self._wire.put(end_frame(first=self._first))
            self.close()
        else:
            return False
        return True

    def _next(self) -> int | None:
        for number in self._to_look_at:
            if self._shelf.held(number) is not None:
                return number
            self._waiting.add(number)
        return self._ready.popleft() if self._ready else None

    def _put(self, number: int) -> None:
        held = self._shelf.held(number)
        if held is None:
            raise ConnectionLostError(f"chunk {number} is not here any more")
        encoding, data = Encoding.RAW, held.data
        coded = None if self._coder is None else self._coder.coded(number, held)
        if coded is not None:
            encoding, data = coded
        before = prefix(number, held.digest, len(data), encoding=encoding, first=self._first)
        self._first = False
        self._wire.put(before + data[:_FIRST_BYTES])
        if len(data) > _FIRST_BYTES:
            self._wire.put(data[_FIRST_BYTES:])

    def heard(self, _data: bytes) -> bool:
        """Whether the peer may say anything now."""
        return False

    def tick(self, now: float) -> None:
        """Say that this lives, if nothing else was sent for a while."""
        if self._wire.unsent:
            self._said_at = now
        elif now - self._said_at >= DELIVERY_ALIVE_S and not self.done:
            self._said_at = now
            self._wire.put(idle_frame(first=self._first))
            self._first = False
            self._wire.push()

    def close(self) -> None:
        """Send nothing more."""
        self._unwatch()
        self._ready.clear()
        self._waiting.clear()
