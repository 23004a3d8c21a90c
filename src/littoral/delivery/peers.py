"""What a pull knows of another PoP, or of the origin, as a source."""

from collections import deque
from typing import Final

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.news import News
from littoral.delivery.words import Role
from littoral.terms.ids import PopId
from littoral.terms.values import SECOND, Instant

__all__ = ["Meter", "Peer"]

_SURE_S: Final = 0.75
_ASIDE: Final = SECOND
_ASIDE_MAX: Final = 16 * SECOND
_NOTES: Final = 64
_SURE: Final = SECOND // 2


class Meter:
    """How quickly a total grows."""

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: deque[tuple[Instant, int]] = deque(maxlen=_NOTES)

    def note(self, total: int, now: Instant) -> None:
        """It is so much now; what shrinks begins anew."""
        if self._notes and total < self._notes[-1][1]:
            self._notes.clear()
        self._notes.append((now, total))

    def rate(self, span: int) -> float:
        """In a second, over the last `span` nanoseconds that were noted; 0 when not known.

        What is known for less than `_SURE` is taken to be all that came in that time.
        """
        if len(self._notes) < 2:
            return 0.0
        last, most = self._notes[-1]
        since, least = self._notes[0]
        for moment, total in reversed(self._notes):
            since, least = moment, total
            if last - moment >= span:
                break
        return (most - least) * SECOND / max(last - since, _SURE)


class Peer:
    """One PoP that was met, or the origin."""

    __slots__ = (
        "_due_at", "_due_came", "_setbacks", "aside_until", "bite", "blamed", "came", "came_at",
        "has", "heard", "heard_at", "hunger", "idle", "known", "pop", "pulling", "role",
        "stuck",
    )  # fmt: skip

    def __init__(self, pop: PopId, role: Role, now: Instant) -> None:
        self.pop = pop
        self.role = role
        self.has = ChunkSet()
        self.pulling = False
        self.hunger = 0
        self.idle = self.stuck = False
        self.heard = (0, 0)
        self.heard_at = self.came_at = now
        """When it said something; when something came from it, or was first due."""
        self.came = 0
        """Bytes that came from it."""
        self._due_at = now
        self._due_came = 0
        """Since when it has something to send, and what had come then."""
        self.known = ChunkSet()
        """What this PoP had brought in before they met, which it does not have from here."""
        self.bite = 0
        """Bytes that one want asks of it; 0 is not known yet."""
        self.aside_until = Instant(0)
        self.blamed = False
        self._setbacks = 0

    def told(self, news: News, now: Instant) -> None:
        """Take in what it says."""
        if news.holds is not None:
            self.has = ChunkSet.of_bytes(news.holds)
        if news.gained:
            self.has |= ChunkSet.of_runs(news.gained)
        if news.lost:
            self.has -= ChunkSet.of_runs(news.lost)
        self.pulling = news.pulling
        self.hunger, self.idle, self.stuck = news.hunger, news.idle, news.stuck
        self.heard = news.heard
        self.heard_at = now

    def moved(self, size: int, now: Instant) -> None:
        """So many bytes came from it."""
        self.came += size
        self.came_at = now
        self._setbacks = 0

    def rest(self, now: Instant) -> None:
        """It has nothing to send now."""
        self.came_at = self._due_at = now
        self._due_came = self.came

    def seconds(self, left: int, now: Instant, usual_s: float) -> float:
        """How long it will need for so many bytes, as it went lately; 0 when that is not known.

        Where chunks come every `usual_s` seconds, nothing is known until it was due for several.
        """
        took = (now - self._due_at) / SECOND
        known = took >= max(_SURE_S, 3 * usual_s)
        return left * took / max(1, self.came - self._due_came) if known else 0.0

    def failed(self, now: Instant) -> None:
        """Leave it alone for a while, longer each time in a row."""
        self.aside_until = Instant(now + min(_ASIDE << min(self._setbacks, 8), _ASIDE_MAX))
        self._setbacks += 1

    @property
    def doubtful(self) -> bool:
        """What it has may as well be nowhere: it lied, or failed again and again."""
        return self.blamed or self._setbacks > 1

    def usable(self, now: Instant) -> bool:
        """Whether it may be asked for something."""
        return not self.blamed and now >= self.aside_until
