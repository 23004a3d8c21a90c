"""Deals: which PoP of a group brings which chunks into it, so that each comes in once.

One PoP of the group, its *dealer*, deals. A PoP brings in what it was dealt (from the origin, the
head of its site, or whoever has it all) and passes it on to all others at once, so what one can
take on is what its uplink can pass on. That is not known before, and changes. So nothing is dealt
ahead but a second's worth: each PoP says how much more it can take (`appetite.py`), and is dealt so
much, in runs, near the beginning of what nobody has yet. Who is quick gets more of them; who dies
has little that must be dealt again.

Rules
- Of two tables that of the higher epoch counts; of one epoch, that of the lowest PopId.
- The later of two deals counts where they overlap.
- Towards the end what is left is dealt in equal parts, and to those only who were dealt half as
  much as half of the others: the last to be dealt something must not be the slowest.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from littoral.delivery.chunk_set import ChunkSet, Run
from littoral.delivery.news import Deal, Table
from littoral.delivery.sizes import Sizes
from littoral.terms.ids import PopId
from littoral.terms.limits import NEWS_RUNS_MAX
from littoral.terms.values import SECOND, Instant

__all__ = ["Asker", "Dealer", "Deals"]

_NONE: Final = ChunkSet()
_NOBODY: Final = PopId("~")
"""After all PopIds."""


class Deals:
    """The table that counts now."""

    __slots__ = ("_all", "dealer", "epoch", "number", "owned")

    def __init__(self) -> None:
        self.epoch = 0
        self.number = 0
        self.dealer = _NOBODY
        self.owned: dict[PopId, ChunkSet] = {}
        """What each was dealt, less what was dealt to others later."""
        self._all = ChunkSet()

    def hear(self, dealer: PopId, table: Table) -> Sequence[Deal] | None:
        """Take in what a dealer says; the deals that are new, or None where it does not count."""
        same = (table.epoch, dealer) == (self.epoch, self.dealer)
        if not same:
            if not table.whole:
                return None
            if (-table.epoch, dealer) > (-self.epoch, self.dealer):
                return None
        self.epoch, self.dealer, self.number = table.epoch, dealer, table.number
        if table.whole:
            self.owned, self._all = {}, ChunkSet()
        for deal in table.deals:
            self.put(deal)
        return table.deals

    def put(self, deal: Deal) -> None:
        """One deal: who had any of it before has it no more."""
        run = ChunkSet.of_runs([(deal.first, deal.end)])
        if run & self._all:
            for pop, owned in self.owned.items():
                if owned & run:
                    self.owned[pop] = owned - run
        self._all |= run
        self.owned[deal.owner] = self.owned.get(deal.owner, _NONE) | run

    def of(self, pop: PopId) -> ChunkSet:
        """What one brings in."""
        return self.owned.get(pop, _NONE)

    def whole(self, without: ChunkSet) -> Table:
        """All that counts, for who has heard nothing yet; less what everybody knows to be in."""
        deals = [
            Deal(first, end, pop)
            for pop, owned in sorted(self.owned.items())
            for first, end in (owned - without).runs()
        ]
        return Table(self.epoch, self.number, tuple(deals[:NEWS_RUNS_MAX]), whole=True)


@dataclass(frozen=True, slots=True)
class Asker:
    """One PoP that may be dealt something."""

    pop: PopId
    hunger: int
    """Bytes that it can take on, as it said."""
    idle: bool
    heard: tuple[int, int]
    unread: ChunkSet
    """What it was dealt and, as far as is known, does not have yet."""
    awake: bool
    """It says something, and what it was dealt comes in."""


class Dealer:
    """Whoever deals keeps what it dealt to whom."""

    __slots__ = ("_began", "_dealt", "_extra", "_on_way", "_stolen_at", "deals")

    def __init__(self, deals: Deals, me: PopId, now: Instant) -> None:
        """Take over: a new epoch begins."""
        deals.epoch, deals.dealer, deals.number = deals.epoch + 1, me, 0
        self.deals = deals
        self._began = now
        self._dealt: dict[PopId, int] = {}
        """Bytes in all, to each."""
        self._extra: dict[PopId, int] = {}
        """Of them, those that it did not ask for."""
        self._on_way: dict[PopId, list[tuple[int, int]]] = {}
        """Deals that it may not have heard when it said its hunger: their numbers, and bytes."""
        self._stolen_at = now

    def deal(
        self,
        open_: ChunkSet,
        askers: Sequence[Asker],
        sizes: Sizes,
        usual_s: float,
        now: Instant,
    ) -> list[Deal]:
        """Deal what can be.

        Args:
            open_: chunks that nobody of the group has, that come from somewhere, and that nobody
                brings in, or only somebody who is gone.
            askers: all of the group that pull.
            sizes: of the chunks.
            usual_s: seconds between two chunks that one PoP brings in.
            now: the time.
        """
        for asker in askers:
            if not asker.awake:
                open_ |= asker.unread
        hungry = self._hungry(askers)
        if not open_:
            return self._steal(hungry, askers, sizes, _TOO_LATE_S + 2 * usual_s, now)
        cut = _Cut(open_, sizes)
        if cut.left < sum(bytes_ for _, bytes_ in hungry) * 4:
            hungry = [one for one in hungry if not self._slow(one[0], askers)]
        dealt = []
        for place, (pop, most) in enumerate(hungry):
            equal = max(sizes.mean, cut.left // (len(hungry) - place))
            dealt += [self._put(run, pop, sizes) for run in cut.take(min(most, equal))]
        if not dealt and not any(asker.unread for asker in askers if asker.awake):
            idle = [asker.pop for asker in askers if asker.idle and asker.awake]
            if idle:
                least = min(idle, key=self._spared)
                dealt = [self._put(run, least, sizes) for run in cut.take(2 * sizes.mean)]
                self._extra[least] = self._extra.get(least, 0) + 2 * sizes.mean
        return dealt

    def _hungry(self, askers: Iterable[Asker]) -> list[tuple[PopId, int]]:
        """Who can take how much, less what is on its way to it; the hungriest first."""
        hungry = []
        for asker in askers:
            way = self._on_way.get(asker.pop, [])
            if asker.heard[0] == self.deals.epoch:
                way = self._on_way[asker.pop] = [each for each in way if each[0] > asker.heard[1]]
            most = asker.hunger - sum(bytes_ for _, bytes_ in way)
            if asker.awake and most > 0:
                hungry.append((asker.pop, most))
        return sorted(hungry, key=lambda one: (-one[1], one[0]))

    def _slow(self, pop: PopId, askers: Sequence[Asker]) -> bool:
        """Whether it was dealt less than half of what half of the others were."""
        dealt = sorted(self._dealt.get(asker.pop, 0) for asker in askers)
        return 2 * self._dealt.get(pop, 0) < dealt[len(dealt) // 2]

    def _spared(self, pop: PopId) -> tuple[float, PopId]:
        """How much it was dealt unasked, for what it asked for."""
        extra = self._extra.get(pop, 0)
        return extra / max(1, self._dealt.get(pop, 0) - extra), pop

    def _steal(
        self,
        hungry: Sequence[tuple[PopId, int]],
        askers: Sequence[Asker],
        sizes: Sizes,
        too_late_s: float,
        now: Instant,
    ) -> list[Deal]:
        """All is dealt: give the half that one would bring in last to one that has nothing to."""
        free = [asker.pop for asker in askers if asker.idle and asker.awake]
        free = [pop for pop, _ in hungry if pop in free and not self._slow(pop, askers)]
        if not free or now - self._stolen_at < SECOND // 4:
            return []
        elapsed = max(1, now - self._began) / SECOND
        latest, whose = 0.0, None
        for asker in askers:
            if asker.pop != free[0] and asker.unread:
                rate = self._dealt.get(asker.pop, 1) / elapsed
                seconds = sizes.of_set(asker.unread) / max(1.0, rate)
                if seconds > latest:
                    latest, whose = seconds, asker
        if whose is None or latest < too_late_s:
            return []
        self._stolen_at = now
        return [self._put(run, free[0], sizes) for run in whose.unread.later_half().runs()]

    def _put(self, run: Run, pop: PopId, sizes: Sizes) -> Deal:
        deal = Deal(run[0], run[1], pop)
        self.deals.put(deal)
        self.deals.number += 1
        size = sizes.of_run(run)
        self._dealt[pop] = self._dealt.get(pop, 0) + size
        self._on_way.setdefault(pop, []).append((self.deals.number, size))
        return deal


_TOO_LATE_S: Final = 1.0
"""Seconds that a PoP may still need for what it was dealt when others have nothing to do."""


class _Cut:
    """A set of chunks from which runs are cut, from its beginning on."""

    __slots__ = ("_run", "_runs", "_sizes", "left")

    def __init__(self, chunks: ChunkSet, sizes: Sizes) -> None:
        self._runs = chunks.runs()
        self._run: Run | None = next(self._runs, None)
        self._sizes = sizes
        self.left = len(chunks) * sizes.mean
        """Bytes that are there, nearly."""

    def take(self, most: int) -> Iterator[Run]:
        """Runs of so many bytes, or one chunk."""
        while most > 0 and self._run is not None:
            first, end = self._run
            until = self._sizes.reach(self._run, most)
            most -= self._sizes.of_run((first, until))
            self.left -= self._sizes.of_run((first, until))
            self._run = (until, end) if until < end else next(self._runs, None)
            yield first, until
