"""Where the machines with a model are: in which zones, and at which sites there.

Counts are given (copies.py), so what is to be done is to deal them out.

1. To zones. A zone is to have of each model the part of its capacity that its own clients ask for:
   a table of which all sums are known. Quick machines are dealt first, each to the model of which
   the zone lacks most; so the small ones fill what is left. Zones take turns.
2. To sites of a zone. A machine brings its site a load: slots at work, of the site's slots. What
   is made small is

       over all sites and HOURS: (load / mean load - 1)^2    + APART x (copies of a model at it)^2

   The heaviest is dealt first, to the site with least; then two machines of one kind at two sites
   change places while the sum falls. It counts at quiet, at usual and at busy hours, since by night
   quick machines do it all.

Each step ends, at the latest after TRIED_MAX pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "APART",
    "TRIED_MAX",
    "Spot",
    "deal_to_sites",
    "dealt_to_zones",
    "fitted",
    "settle",
    "unevenness",
]

APART: Final = 1e-3
TRIED_MAX: Final = 4_000_000
_FITTINGS: Final = 40
_GAIN: Final = 1e-6
"""A change lowers the sum by so much at least."""


def fitted(
    seed: Sequence[Sequence[float]], rows: Sequence[float], columns: Sequence[float]
) -> list[list[float]]:
    """A table that is in proportion to another as far as can be, and has these sums.

    Args:
        seed: not negative; each row with a sum has something in each column with one.
        rows: the sum of each row.
        columns: of each column; in all as much as `rows`.
    """
    table = [list(row) for row in seed]
    for _ in range(_FITTINGS):
        for row, whole in zip(table, rows, strict=True):
            has = sum(row)
            row[:] = [each * whole / has if has else 0.0 for each in row]
        for place, whole in enumerate(columns):
            has = sum(row[place] for row in table)
            for row in table:
                row[place] *= whole / has if has else 0.0
    return table


def dealt_to_zones(
    counts: Sequence[Sequence[int]],
    room: Sequence[Sequence[int]],
    brings: Sequence[Sequence[float]],
    wanted: Sequence[Sequence[float]],
) -> list[list[list[int]]]:
    """How many machines of each kind in each zone have each model.

    Args:
        counts: of each kind, with each model, in all.
        room: of each kind, machines in each zone.
        brings: of each kind, the capacity of one with each model.
        wanted: in each zone, the capacity with each model.

    Returns:
        By kind, zone and model.
    """
    lack = [list(row) for row in wanted]
    found = []
    for row, places, brought in zip(counts, room, brings, strict=True):
        left, free = list(row), list(places)
        dealt = [[0] * len(left) for _ in places]
        while any(left):
            zone = max(range(len(free)), key=lambda at: free[at] / (places[at] or 1))
            model = max((at for at, count in enumerate(left) if count), key=lack[zone].__getitem__)
            dealt[zone][model] += 1
            left[model] -= 1
            free[zone] -= 1
            lack[zone][model] -= brought[model]
        found.append(dealt)
    return found


@dataclass(slots=True)
class Spot:
    """A site, while its machines are dealt."""

    room: dict[int, int]
    """Machines of each kind that have no model yet."""
    mean: Sequence[float]
    """Slots at work, at each hour, were it loaded as the whole network is."""
    load: list[float] = field(init=False)
    """Of the mean, at each hour."""
    has: list[tuple[int, int]] = field(default_factory=list)
    """Kind and model of its machines."""
    copies: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """No machine has a model yet."""
        self.load = [0.0] * len(self.mean)

    def take(self, kind: int, model: int, brings: Sequence[float]) -> None:
        """A machine of a kind gets a model."""
        self.room[kind] -= 1
        self.has.append((kind, model))
        self.copies[model] = self.copies.get(model, 0) + 1
        self.load = self._with(brings)

    def change(self, kind: int, before: int, model: int, more: Sequence[float]) -> None:
        """One of its machines of a kind gets another model."""
        self.has[self.has.index((kind, before))] = kind, model
        self.copies[before] -= 1
        self.copies[model] = self.copies.get(model, 0) + 1
        self.load = self._with(more)

    def apart(self, before: int, model: int) -> int:
        """What a change would add to the sum of squares of its copies."""
        return 2 * (self.copies.get(model, 0) - self.copies[before] + 1)

    def _with(self, more: Sequence[float]) -> list[float]:
        both = zip(self.load, more, self.mean, strict=True)
        return [load + each / mean for load, each, mean in both]


Brings = Sequence[Sequence[Sequence[float]]]
"""By kind and model: slots at work of one machine, at each hour."""


def deal_to_sites(spots: Sequence[Spot], dealt: Sequence[Sequence[int]], brings: Brings) -> None:
    """Give the machines of one zone's sites their models.

    Args:
        spots: the sites; as many of their machines of each kind have no model yet as are dealt.
        dealt: of each kind, how many get each model.
        brings: what each is loaded with.
    """
    heavy = [
        (kind, model)
        for kind, row in enumerate(dealt)
        for model, count in enumerate(row)
        for _ in range(count)
    ]
    heavy.sort(key=lambda one: (-sum(brings[one[0]][one[1]]), one))
    for kind, model in heavy:
        free = [spot for spot in spots if spot.room.get(kind)]
        most = min(free, key=lambda spot: (sum(spot.load), spot.copies.get(model, 0)))
        most.take(kind, model, brings[kind][model])
    settle(spots, brings)


def settle(spots: Sequence[Spot], brings: Brings) -> None:
    """Let machines of a kind change places until the sum is not lowered by any two."""
    tried, moved = 0, set(range(len(spots)))
    while moved and tried < TRIED_MAX:
        before, moved = moved, set()
        for one in range(len(spots)):
            for other in range(one + 1, len(spots)):
                if before.isdisjoint((one, other)) and moved.isdisjoint((one, other)):
                    continue
                tried += len(spots[one].has) * len(spots[other].has)
                if _changed(spots[one], spots[other], brings):
                    moved |= {one, other}


def _changed(one: Spot, other: Spot, brings: Brings) -> bool:
    """Have the two machines change places by which the sum falls most, if there are any."""
    # Of a load d that is moved to the first, the sum rises by slope x d + bend x d^2 at each hour.
    slope = [
        2 * ((mine - 1) / mean - (theirs - 1) / means)
        for mine, mean, theirs, means in zip(
            one.load, one.mean, other.load, other.mean, strict=True
        )
    ]
    bend = [1 / a**2 + 1 / b**2 for a, b in zip(one.mean, other.mean, strict=True)]
    best, found = -_GAIN, None
    theirs_too = sorted(set(other.has))
    for kind, mine in sorted(set(one.has)):
        for like, theirs in theirs_too:
            if like != kind or mine == theirs:
                continue
            rise = APART * (one.apart(mine, theirs) + other.apart(theirs, mine))
            for new, old, first, second in zip(
                brings[kind][theirs], brings[kind][mine], slope, bend, strict=True
            ):
                more = new - old
                rise += more * (first + second * more)
            if rise < best:
                best, found = rise, (kind, mine, theirs)
    if found is None:
        return False
    kind, mine, theirs = found
    more_here = [
        new - old for new, old in zip(brings[kind][theirs], brings[kind][mine], strict=True)
    ]
    one.change(kind, mine, theirs, more_here)
    other.change(kind, theirs, mine, [-each for each in more_here])
    return True


def unevenness(spots: Sequence[Spot]) -> float:
    """The sum that is made small."""
    return sum(
        sum((load - 1) ** 2 for load in spot.load)
        + APART * sum(count * count for count in spot.copies.values())
        for spot in spots
    )
