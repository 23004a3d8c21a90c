"""Demand: how often which model is asked for, and what is therefore worth having near.

Each PoP counts what its own clients ask it for, wherever that is answered (`Demand`), and says the
most wanted to the others. From what all PoPs of its site say, a PoP works out what the site lacks
and whether it is the one to fetch it (`wanted`).

Rules
- Old requests fade: after DEMAND_HALF_LIFE_S one counts half.
- A model is worth fetching when a site asks for it often enough for its size: requests an hour,
  times what each would gain, must be worth more than the link is used for.
- A site fetches a model once; which of its PoPs does is the same for everybody (rendezvous hash).
- No more is fetched ahead than the budget has left, the most useful for its size first.

It counts nothing of who asked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from littoral.terms.ids import ArtifactId, ModelName, PopId
from littoral.terms.limits import DEMAND_HALF_LIFE_S, DEMAND_MODELS_MAX
from littoral.terms.values import SECOND, Instant

__all__ = ["Demand", "Offered", "wanted"]

_BYTES_PER_REQUEST: Final = 64e6
"""A request an hour is worth moving this many bytes for: one for a model of 64 MB, 16 for 1 GB."""

_LEAST_PER_HOUR: Final = 4.0
"""Below this nobody can tell demand from a trial."""


class Demand:
    """What is asked for here, with decay.

    At most DEMAND_MODELS_MAX models; the rest is forgotten, the least wanted first.
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[ModelName, tuple[float, Instant]] = {}

    def asked(self, model: ModelName, now: Instant, times: float = 1.0) -> None:
        """It was asked for so often since it was last told of."""
        count, since = self._counts.get(model, (0.0, now))
        self._counts[model] = (_faded(count, since, now) + times, now)
        if len(self._counts) > DEMAND_MODELS_MAX:
            least = min(self._counts, key=lambda each: _faded(*self._counts[each], now))
            del self._counts[least]

    def per_hour(self, now: Instant) -> dict[ModelName, float]:
        """Requests an hour, as of late, the most wanted first."""
        mean_life_h = DEMAND_HALF_LIFE_S / 0.6931 / 3600
        rates = {
            model: _faded(count, since, now) / mean_life_h
            for model, (count, since) in self._counts.items()
        }
        return dict(sorted(rates.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True, slots=True)
class Offered:
    """A model that some PoP delivers."""

    model: ModelName
    artifact: ArtifactId
    size_bytes: int
    in_site: bool
    """A PoP of this site has it, or is fetching it."""


def wanted(
    here: PopId,
    site: Collection[PopId],
    per_hour: Mapping[ModelName, float],
    offered: Sequence[Offered],
    budget_bytes: int,
) -> tuple[Offered, ...]:
    """What this PoP is to fetch ahead, the most useful for its size first.

    Args:
        here: this PoP.
        site: PoPs of this site that have room, this one among them if it has.
        per_hour: requests an hour of all PoPs of the site together.
        offered: what can be had.
        budget_bytes: what may be fetched ahead now.
    """
    worth = [
        each
        for each in offered
        if not each.in_site
        and site
        and _worth(per_hour.get(each.model, 0.0), each.size_bytes)
        and max(site, key=lambda pop: _weight(each.artifact, pop)) == here
    ]
    worth.sort(key=lambda each: (-per_hour[each.model] / max(each.size_bytes, 1), each.artifact))
    taken: list[Offered] = []
    for each in worth:
        if each.size_bytes <= budget_bytes:
            budget_bytes -= each.size_bytes
            taken.append(each)
    return tuple(taken)


def _worth(per_hour: float, size_bytes: int) -> bool:
    return per_hour >= _LEAST_PER_HOUR and per_hour * _BYTES_PER_REQUEST >= size_bytes


def _weight(artifact: ArtifactId, pop: PopId) -> bytes:
    return blake3(f"{artifact} {pop}".encode()).digest(8)


def _faded(count: float, since: Instant, now: Instant) -> float:
    return float(count * 0.5 ** ((now - since) / (DEMAND_HALF_LIFE_S * SECOND)))
