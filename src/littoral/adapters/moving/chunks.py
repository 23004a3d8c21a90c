"""Chunks that go to one peer: what it asks for, as it comes to be here.

What was asked for first goes first: what has come to be here of that, then what was here already,
in order. While there is nothing to send, a sign of life goes out now and then, so that whoever
waits can tell that from a stall. A chunk is encoded just before it goes, if the peer takes that and
it is worth it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from littoral.adapters.http.words import ConnectionLostError, MalformedError
from littoral.adapters.moving.asks import Ask, heard
from littoral.adapters.moving.frames import end_frame, idle_frame, prefix
from littoral.adapters.moving.lines import Lines
from littoral.adapters.moving.wire import Wire
from littoral.adapters.moving.words import Coder, Shelf
from littoral.delivery.encoding import Encoding
from littoral.terms.limits import DELIVERY_ALIVE_S

__all__ = ["ChunkStream"]

_FIRST_BYTES: Final = 16 * 1024 - 52
"""Of a chunk, that go with what stands before them: together they are one record of TLS."""


class ChunkStream:
    """The body of one answer."""

    def __init__(
        self,
        wire: Wire,
        lines: Lines,
        shelf: Shelf,
        coder: Callable[[str], Coder | None],
        now: float,
    ) -> None:
        """Send nothing yet.

        Args:
            wire: to the peer.
            lines: what it asks for.
            shelf: where chunks are, and come to.
            coder: what encodes them for who has such a base; None where they are to go as they are.
            now: by the loop's clock.
        """
        self._wire = wire
        self._lines = lines
        self._shelf = shelf
        self._coder_for = coder
        self._coder: Coder | None = None
        self._wanted: set[int] = set()
        """All that was asked for, was not taken back, and has not been sent."""
        self._asks: deque[Iterator[int]] = deque()
        """What of them is still to be looked at."""
        self._waiting: set[int] = set()
        """Those that were looked at, and were not here."""
        self._ready: deque[int] = deque()
        """Those of them that have come since."""
        self._first = True
        self._said_at = now
        self.done = False
        self._unwatch = shelf.watch(self._came)

    @property
    def busy(self) -> bool:
        """Something is wanted, or has been put and was not taken yet."""
        return bool(self._wanted) or self._wire.unsent

    def _came(self, number: int) -> None:
        if number in self._waiting:
            self._waiting.remove(number)
            self._ready.append(number)
            self._wire.push()

    def heard(self, data: bytes) -> bool:
        """Take what the peer asks for.

        Raises:
            MalformedError: it asks for what there can't be.
        """
        for line in self._lines.feed(data):
            self._hear(heard(line))
        return True

    def _hear(self, ask: Ask) -> None:
        if ask.encoded and self._coder is None:
            self._coder = self._coder_for(ask.base)
        end = max((run[1] for run in (*ask.runs, *ask.dropped)), default=0)
        if not end:
            return
        try:
            self._shelf.size_bytes(end - 1)
        except KeyError:
            raise MalformedError("chunks that there are none of") from None
        unwanted = ask.unwanted
        self._wanted.difference_update(unwanted)
        self._waiting.difference_update(unwanted)
        new = [number for number in ask.wanted if number not in self._wanted]
        self._wanted.update(new)
        self._asks.append(iter(new))

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
        elif self._lines.over and not self._wanted:
            self.done = True
            self._wire.put(end_frame(first=self._first))
            self.close()
        else:
            return False
        return True

    def _next(self) -> int | None:
        while self._ready:
            number = self._ready.popleft()
            if number in self._wanted:
                return number
        while self._asks:
            for number in self._asks[0]:
                if number not in self._wanted:
                    continue
                if self._shelf.held(number) is not None:
                    return number
                self._waiting.add(number)
            self._asks.popleft()
        return None

    def _put(self, number: int) -> None:
        self._wanted.remove(number)
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
        self._asks.clear()
        self._ready.clear()
        self._waiting.clear()
        self._wanted.clear()
