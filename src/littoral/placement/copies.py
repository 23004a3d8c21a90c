"""How many machines of each kind are to have each model.

Each model is to have its part of the quickest machines: the part of all work that it is. So of the
quickest and the next ones together, and so on to all of them: who has too few quick machines gets
more of the next. What is made small is

    over the quickest kind, the quickest two, …, all (x WHOLE); over models:
        part x (what it has of their capacity / what its part would be - 1)^2

1. LEAST copies of each are handed out, the model with fewest machines to choose from first.
2. Each further machine, quick ones first, goes to the model that has least for its part, half of
   the new one counted (the divisor method of Sainte-Laguë, over all kinds so far).
3. Then one machine changes its model, or two of two kinds do, while the sum falls.

Why not least waiting in all? It is had by giving one popular model slow machines alone, which
then keeps out of all others' way. Who asks for it is served worst, though asking most.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from littoral.placement.crowd import Alike

__all__ = ["LEAST", "Counts", "Kind", "handed_out", "improved", "unfit"]

LEAST: Final = 2
"""Copies of each model, where there are so many machines: one may fail."""
WHOLE: Final = 10.0
"""All its machines together count so much more: whether it has enough comes before how quick."""
TRIED_MAX: Final = 2_000_000
"""Changes that are looked at, at most; the plan is then a good one, if not the best."""
_GAIN: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Kind:
    """Machines that are alike."""

    count: int
    does: tuple[Alike, ...]
    """What such a machine is with each model, or would be."""
    able: frozenset[int]
    """Models that it can have: one at least."""


Counts = tuple[tuple[int, ...], ...]
"""For each kind, how many machines have each model."""


def handed_out(kinds: Sequence[Kind], rates: Sequence[float]) -> Counts:
    """A beginning, that is good already where machines may have any model.

    Args:
        kinds: the machines, quick ones first.
        rates: requests a second for each model.

    Returns:
        Counts. A model that is asked for has none only if no machine is left for it.
    """
    given = _reserved(kinds, rates)
    has = [0.0] * len(rates)
    for kind, row in zip(kinds, given, strict=True):
        brings = [alike.capacity for alike in kind.does]
        has = [so_far + n * each for so_far, n, each in zip(has, row, brings, strict=True)]
        for _ in range(kind.count - sum(row)):
            lacks = {model: rates[model] / (has[model] + brings[model] / 2) for model in kind.able}
            most = max(sorted(lacks), key=lacks.__getitem__)
            has[most] += brings[most]
            row[most] += 1
    return tuple(map(tuple, given))


def _reserved(kinds: Sequence[Kind], rates: Sequence[float]) -> list[list[int]]:
    """Machines that have no choice, and LEAST copies of each on the slowest of the others."""
    given = [
        [kind.count if kind.able == {model} else 0 for model in range(len(rates))] for kind in kinds
    ]
    room = [sum(kind.count for kind in kinds if model in kind.able) for model in range(len(rates))]
    scarce = sorted((model for model, rate in enumerate(rates) if rate), key=room.__getitem__)
    for least in range(1, LEAST + 1):
        for model in scarce:
            able = [
                row
                for kind, row in zip(kinds, given, strict=True)
                if model in kind.able and sum(row) < kind.count
            ]
            if able and sum(row[model] for row in given) < least:
                able[-1][model] += 1
    return given


def unfit(kinds: Sequence[Kind], rates: Sequence[float], counts: Counts) -> float:
    """The sum that is made small."""
    exchange = _Exchange(kinds, rates, counts)
    return sum(exchange.part(model, {}) for model in range(len(rates)))


def improved(kinds: Sequence[Kind], rates: Sequence[float], counts: Counts) -> Counts:
    """The same machines, with models by which the sum is less, or no more."""
    return _Exchange(kinds, rates, counts).settled()


class _Exchange:
    """Counts that are changed a machine at a time."""

    def __init__(self, kinds: Sequence[Kind], rates: Sequence[float], counts: Counts) -> None:
        self._kinds = kinds
        self._rates = rates
        self._counts = [list(row) for row in counts]
        all_of_it = [
            sum(kind.count * kind.does[model].capacity for kind in kinds)
            for model in range(len(rates))
        ]
        work = [rate / could for rate, could in zip(rates, all_of_it, strict=True)]
        whole = sum(work) or 1.0
        self._parts = [each / whole for each in work]

    def settled(self) -> Counts:
        """Change what lowers the sum, two models at a time, until nothing does."""
        pairs = [
            (one, other)
            for one in range(len(self._rates))
            for other in range(one + 1, len(self._rates))
        ]
        self._tried, changed = 0, True
        while changed and self._tried < TRIED_MAX:
            changed = False
            for one, other in pairs:
                changed |= self._changed(one, other)
        return tuple(map(tuple, self._counts))

    def part(self, model: int, change: Mapping[int, int]) -> float:
        """A model's part of the sum, were it to have so many more of some kinds."""
        part = self._parts[model]
        if not part:
            return 0.0
        has = due = found = 0.0
        for place, (kind, row) in enumerate(zip(self._kinds, self._counts, strict=True)):
            each = kind.does[model].capacity
            has += (row[model] + change.get(place, 0)) * each
            due += kind.count * each * part
            found += (has / due - 1) ** 2
        return part * (found + (WHOLE - 1) * (has / due - 1) ** 2)

    def _changed(self, one: int, other: int) -> bool:
        """Do what lowers two models' parts most; False if nothing lowers them."""
        best = self.part(one, {}) + self.part(other, {}) - _GAIN
        done = None
        for change in self._ways(one, other):
            self._tried += 1
            back = {kind: -more for kind, more in change.items()}
            then = self.part(one, change) + self.part(other, back)
            if then < best:
                best, done = then, change
        if done is None:
            return False
        for kind, more in done.items():
            self._counts[kind][one] += more
            self._counts[kind][other] -= more
        return True

    def _ways(self, one: int, other: int) -> Iterator[dict[int, int]]:
        """What one may get more of, and the other less, or less."""
        gives = self._from(one, other)
        takes = self._from(other, one)
        yield from ({less: -1, more: 1} for less in gives for more in takes if less != more)
        if self._copies(one) > LEAST:
            yield from ({less: -1} for less in gives)
        if self._copies(other) > LEAST:
            yield from ({more: 1} for more in takes)

    def _from(self, giver: int, taker: int) -> list[int]:
        """Kinds of which the one has machines that the other could have."""
        return [
            place
            for place, kind in enumerate(self._kinds)
            if taker in kind.able and giver in kind.able and self._counts[place][giver]
        ]

    def _copies(self, model: int) -> int:
        return sum(row[model] for row in self._counts)
