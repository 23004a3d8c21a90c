"""What a pull says to the others, and when: what is new, at least twice a second something."""

from typing import Final

from msgspec.structs import replace

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.news import News, Table
from littoral.delivery.state import State
from littoral.terms.limits import NEWS_RUNS_MAX
from littoral.terms.values import SECOND, Instant

__all__ = ["BEAT", "Telling"]

BEAT: Final = SECOND // 2
"""Nanoseconds after which something is said even if nothing is new."""


class Telling:
    """Of one pull."""

    __slots__ = ("_said", "_said_at", "_state", "hunger", "stuck")

    def __init__(self, state: State) -> None:
        self._state = state
        self._said: tuple[object, ...] = ()
        self._said_at = Instant(-BEAT)
        self.stuck = False
        self.hunger = 0
        """Bytes that this PoP can take on now."""

    def whole(self, table: Table | None, *, pulling: bool) -> News:
        """What is said first."""
        return self._news(table, pulling=pulling, holds=self._state.holding.set.encoded())

    def changes(
        self, table: Table | None, now: Instant, pause: int, *, pulling: bool
    ) -> News | None:
        """What is said next, if anything is to be.

        Args:
            table: new deals, which are said at once.
            now: the time.
            pause: nanoseconds between two lines without deals, while this PoP pulls.
            pulling: it wants what it lacks.
        """
        if table is None and pulling and now - self._said_at < pause:
            return None
        holding, deals = self._state.holding, self._state.deals
        gained, lost = holding.fresh(), list(holding.lost.runs())
        wrong = tuple(self._state.wrong.runs())[:NEWS_RUNS_MAX]
        self._state.wrong -= ChunkSet.of_runs(wrong)
        holding.lost = ChunkSet.of_runs(lost[NEWS_RUNS_MAX:])
        said = (self.hunger, self.stuck, pulling, self._state.uplink, deals.epoch, deals.number)
        same = said == self._said and not (gained or lost or wrong or table)
        if same and now - self._said_at < BEAT:
            return None
        self._said, self._said_at = said, now
        news = self._news(table, pulling=pulling)
        lost = lost[:NEWS_RUNS_MAX]
        return replace(news, gained=tuple(gained), lost=tuple(lost), wrong=wrong)

    def _news(
        self,
        table: Table | None,
        *,
        pulling: bool,
        holds: bytes | None = None,
    ) -> News:
        state = self._state
        return News(
            uplink=state.uplink,
            pulling=pulling,
            holds=holds,
            hunger=self.hunger if pulling else 0,
            stuck=pulling and self.stuck,
            idle=pulling and state.appetite.idle,
            heard=(state.deals.epoch, state.deals.number),
            table=table,
        )
