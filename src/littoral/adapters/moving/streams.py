"""All chunks of one group that are asked of one peer: they come over one stream.

Its request goes on: more is asked for, and what is not wanted any more is taken back, in lines of
its body, while chunks come as the body of its answer. So what was asked for first comes first, and
a connection is opened once for each peer.

A chunk is verified before anything else is done with it (words.Shelf.put). One that is wrong is
told of, and the stream goes on; so is one that can't be decoded. Bytes that are no frames end it;
so does a wrong delta, of which nobody can tell whose fault it is. Where the peer closed it while
nobody wanted anything, the peer is asked once more.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from littoral.adapters.http.words import ConnectionLostError, HttpError, MalformedError
from littoral.adapters.moving.asking import Asking
from littoral.adapters.moving.asks import Ask
from littoral.adapters.moving.frames import Frame, Frames
from littoral.adapters.moving.heads import Message
from littoral.adapters.moving.lines import said
from littoral.adapters.moving.wire import Wire, late
from littoral.adapters.moving.words import Base, BaseDoubtedError, Hears, Shelf
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.encoding import Encoding, Place, decoded
from littoral.terms.errors import BadRequestError
from littoral.terms.limits import DELIVERY_FRAME_WAIT_S, IDLE_WAIT_S

__all__ = ["Asked", "Stream"]

_BETWEEN_BYTES: Final = 64 * 1024
"""Between two frames, so much of the next one is waited for, if it will have as much."""


class Asked:
    """What somebody has asked for (words.Fetching)."""

    def __init__(self, stream: "Stream", chunks: ChunkSet, hears: Hears) -> None:
        self._stream = stream
        self.hears = hears
        self.left = set(chunks)
        """What is still to come."""

    @property
    def received_bytes(self) -> int:
        """See words.Fetching: of all that comes from the peer."""
        return self._stream.received_bytes

    def drop(self) -> None:
        """Not wanted any more."""
        self._stream.take_back(self)


class Stream:
    """From one peer (asking.Reply)."""

    def __init__(
        self,
        shelf: Shelf,
        base: Base | None,
        opens: Callable[["Stream"], Asking],
        closed: Callable[["Stream"], None],
    ) -> None:
        """Ask for nothing yet.

        Args:
            shelf: where chunks go.
            base: is here whole, and the peer may encode chunks against it.
            opens: asks the peer, beginning with what `opening` gives.
            closed: told when nothing can be asked for any more.
        """
        self.shelf = shelf
        self._base = base
        self._opens = opens
        self._closed = closed
        self._all: set[Asked] = set()
        self._wanted: dict[int, list[Asked]] = {}
        """Who waits for each chunk; the one that asked first is told of it."""
        self._may_come: Counter[int] = Counter()
        """How often each was asked for and has not come: what was taken back may be under way."""
        self._least_bytes = _BETWEEN_BYTES
        """No chunk that was asked for has fewer."""
        self._frames: Frames
        self._frame_since: float | None = None
        self._idle_since: float | None = None
        self._idle_bytes: int | None = None
        """What had come when something was asked for after nothing was for a while."""
        self._wire: Wire | None = None
        self._early: list[bytes] = []
        """Lines that are said once the answer has begun."""
        self._asking: Asking | None = None

    @property
    def received_bytes(self) -> int:
        """Of the answer, so far."""
        return 0 if self._asking is None else self._asking.received_bytes

    # --- what is wanted ------------------------------------------------------------------------

    def opening(self) -> bytes:
        """The first lines, as they go out with the head: all that was asked for until now."""
        base = "" if self._base is None else self._base.artifact
        lines = [said(Ask(encoded=True, base=base).line()), *self._early]
        self._early.clear()
        return b"".join(lines)

    def ask(self, chunks: ChunkSet, hears: Hears) -> Asked:
        """Ask for these, after what was asked for before."""
        asked = Asked(self, chunks, hears)
        if not self._all and self._wire is not None:
            self._idle_bytes = self.received_bytes
        self._all.add(asked)
        new = ChunkSet.of(number for number in chunks if number not in self._wanted)
        for number in chunks:
            self._wanted.setdefault(number, []).append(asked)
        for number in new:
            self._may_come[number] += 1
            self._least_bytes = min(self._least_bytes, self.shelf.size_bytes(number))
        self._say(Ask(runs=tuple(new.runs())))
        if self._asking is None:
            self._open()
        return asked

    def _open(self) -> None:
        deltas = () if self._base is None else (Encoding.DELTA,)
        self._frames = Frames(self._size_of, (Encoding.RAW, Encoding.PLANES, *deltas))
        self._asking = self._opens(self)

    def take_back(self, asked: Asked) -> None:
        """Tell somebody nothing more; what nobody else waits for is not to be sent."""
        if asked not in self._all:
            return
        self._all.remove(asked)
        unwanted = []
        for number in asked.left:
            waiting = self._wanted[number]
            waiting.remove(asked)
            if not waiting:
                del self._wanted[number]
                unwanted.append(number)
        if not self._all and self._wire is None:
            self.close()
        else:
            self._say(Ask(dropped=tuple(ChunkSet.of(unwanted).runs())))

    def close(self) -> None:
        """End it; nobody hears of it."""
        self._closed(self)
        self._all.clear()
        if self._asking is not None:
            self._asking.drop()

    def _say(self, ask: Ask) -> None:
        if not (ask.runs or ask.dropped):
            return
        line = said(ask.line())
        if self._wire is None:
            self._early.append(line)
        elif not self._wire.closed:
            self._wire.put(line)
            self._wire.push()

    def _size_of(self, number: int) -> int | None:
        return self.shelf.size_bytes(number) if self._may_come[number] else None

    # --- what comes (asking.Reply) -------------------------------------------------------------

    def begin(self, wire: Wire, _message: Message) -> None:
        """Frames follow."""
        self._wire = wire
        wire.put(*self._early)
        wire.push()
        self._early.clear()

    def buffer(self) -> memoryview:
        """Where to read to."""
        return self._frames.buffer()

    def took(self, count: int) -> bytes | None:
        """Take the chunks that are whole now."""
        wire, frames = self._wire, self._frames
        assert wire is not None
        for frame in frames.took(count):
            self._frame_since = None
            self._take(frame)
            if wire.closed:
                return None
        if frames.ended:
            raise MalformedError("the stream ends before it may")
        between = self._least_bytes if len(self._wanted) > 1 else 1
        wire.expect(frames.missing_bytes() or between)
        return None

    def _take(self, frame: Frame) -> None:
        number, came_bytes = frame.number, len(frame.body)
        self._may_come[number] -= 1
        waiting = self._wanted.pop(number, None)
        if waiting is None:
            return
        size_bytes = self.shelf.size_bytes(number)
        against = _nothing if self._base is None else self._base.span
        try:
            data = memoryview(decoded(frame.encoding, frame.body, size_bytes, against))
        except BadRequestError:
            right = False
        else:
            right = self.shelf.put(number, data, frame.digest)
        if not right and frame.encoding is Encoding.DELTA:
            raise BaseDoubtedError(f"chunk {number} is wrong")
        for asked in waiting:
            asked.left.remove(number)
        first = waiting[0]
        if right:
            first.hears.landed(number, size_bytes, came_bytes)
        else:
            first.hears.spoiled(number)
        for asked in waiting:
            if not asked.left:
                self._end(asked, None)

    def _end(self, asked: Asked, error: HttpError | None) -> None:
        if asked in self._all:
            self._all.remove(asked)
            asked.hears.ended(error)

    def tick(self, now: float) -> None:
        """Bound the time for one frame, and for a stream that nobody wants anything of."""
        if not self._frames.missing_bytes():
            self._frame_since = None
        elif self._frame_since is None:
            self._frame_since = now
        else:
            late(now, self._frame_since, DELIVERY_FRAME_WAIT_S, "for one chunk")
        if self._all:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        else:
            late(now, self._idle_since, IDLE_WAIT_S / 2, "without use")

    def ended(self, error: HttpError | None) -> None:
        """Tell all, unless the peer is to be asked once more."""
        if isinstance(error, ConnectionLostError) and self._idle_bytes == self.received_bytes:
            self._wire = self._idle_bytes = None
            self._may_come = Counter(self._wanted.keys())
            self._early = [said(Ask(runs=tuple(ChunkSet.of(self._wanted).runs())).line())]
            self._open()
            return
        self._closed(self)
        for asked in list(self._all):
            self._end(asked, error or ConnectionLostError("the peer has ended the stream"))


def _nothing(_place: Place, _size_bytes: int) -> None:
    """Without a base."""
