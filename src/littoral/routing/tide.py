"""Which of the PoPs that answer about as soon is asked, when others choose at the same moment.

A record is up to a second old, and whoever heard it chooses by it. If all of them took the best, it
would be the worst by the time they came. How many came since, to all PoPs of the model, is told by
how many are answered and how long that takes. If they chose as this module does, they filled the
shortest queues first, as water fills a hollow, up to one level:

    sum over PoPs of (level - weight) / seconds that a request adds = requests that came since

Who is below the level is asked with a probability in proportion to what came to it, so that
all of them together do fill it evenly. What is kept of this prompt beyond what most keep is not
among that: others do not come for it, and it counts from the level, or from the weight above it.

Rules
- The level is never below the band of near-equals: NEAR of the best's time to first token, NEAR_S,
  and more the older the best's record is.
- A PoP whose queue has grown says so: of what came longer ago than NEWS_S it would have told.
- Requests are taken to be as long as the one that is to be sent. Own sends are in the weights.

Pure arithmetic on what predict.py weighed; the random number is given.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from littoral.routing.table import FRESH, Row
from littoral.terms.values import SECOND, Instant

__all__ = ["NEAR", "NEAR_S", "NEAR_S_PER_S", "NEWS_S", "Tide", "Weighed", "drawn", "level_s"]

NEAR: Final = 0.1
NEAR_S: Final = 0.002
NEAR_S_PER_S: Final = 0.02
"""Seconds of weight for each second of the age of the best's record, up to FRESH."""
NEWS_S: Final = 1.0
"""A PoP whose queue has moved says so every `limits.SAY_S`; until that is heard everywhere."""
_SPINS: Final = 1 << 64

Weighed = tuple[float, Row, int]
"""Seconds, the candidate, and how many of the prompt's tokens it keeps."""


class Tide(NamedTuple):
    """What comes besides this request."""

    begins_per_s: float
    """Requests for the model, from everywhere."""
    prompt_tokens: int
    answer_tokens: float
    now: Instant


def level_s(weighed: Sequence[Weighed], tide: Tide) -> float:
    """Up to what weight others have filled the queues by now.

    Args:
        weighed: candidates in the order of their weights, one at least.
        tide: what comes.
    """
    return _filled(weighed, tide)[0]


def drawn(weighed: Sequence[Weighed], tide: Tide, spin: int) -> int:
    """The place of who is asked first.

    Args:
        weighed: candidates in the order of their weights, one at least.
        tide: what comes.
        spin: a random number of 64 bits.
    """
    past = _past_s(weighed)
    if past is None:
        level, widths = _filled(weighed, tide)
        return _spun(range(len(widths)), weighed, widths, level, spin)
    plain = [
        (weight + own, row, place)
        for place, ((weight, row, _), own) in enumerate(zip(weighed, past, strict=True))
    ]
    plain.sort()
    level, widths = _filled(plain, tide)
    # Of who has more of the past, what it saves counts whether or not others come.
    after = {
        at: max(weight, level) - past[place]
        for at, (weight, _, place) in enumerate(plain)
        if past[place]
    }
    best = min(after, key=after.__getitem__)
    if after[best] > level - NEAR_S:
        return plain[_spun(range(len(widths)), plain, widths, level, spin)][2]
    most = min(after[best] + _near_s(plain[0], tide), level - NEAR_S)
    places = [at for at, least in after.items() if at < len(widths) and least <= most]
    return plain[_spun(places, plain, widths, level, spin) if places else best][2]


def _filled(weighed: Sequence[Weighed], tide: Tide) -> tuple[float, list[float]]:
    """The level, and of each candidate below it what raises it by a second, in requests."""
    best, row, _ = weighed[0]
    least = best + _near_s(weighed[0], tide)
    came = tide.begins_per_s * (min(_age_s(row, tide), NEWS_S) + (row[5].link_s or 0.0))
    prompt = tide.prompt_tokens
    widths: list[float] = []
    whole, filled = 0.0, came
    for weight, row, _ in weighed:
        if filled <= whole * weight and weight >= least:
            break
        candidate = row[5]
        width = 1 / (prompt * candidate.prefill_s + candidate.wait_s + NEAR_S)
        widths.append(width)
        whole += width
        filled += width * weight
    return max(filled / whole, least), widths


def _spun(
    places: Sequence[int],
    weighed: Sequence[Weighed],
    widths: Sequence[float],
    level: float,
    spin: int,
) -> int:
    """One of these places, each as often as requests came to it."""
    if len(places) == 1:
        return places[0]
    chances = [(level - weighed[place][0]) * widths[place] for place in places]
    left = spin / _SPINS * sum(chances)
    for place, chance in zip(places, chances, strict=True):
        left -= chance
        if left < 0:
            return place
    return places[0]


def _past_s(weighed: Sequence[Weighed]) -> list[float] | None:
    """What each saves of this prompt beyond what most keep, which others' requests begin with.

    Returns:
        Seconds, or None where nobody saves more than most.
    """
    keeps = [kept for _, _, kept in weighed]
    most = max(keeps)
    if not most:
        return None
    common = sorted(keeps)[(len(keeps) - 1) // 2]
    if common == most:
        return None
    return [(kept - common) * row[1] if kept > common else 0.0 for _, row, kept in weighed]


def _near_s(best: Weighed, tide: Tide) -> float:
    """How much more a near-equal may weigh, whoever else may come."""
    weight, row, _ = best
    first_token_s = weight - tide.answer_tokens * row[2]
    return NEAR * first_token_s + NEAR_S + NEAR_S_PER_S * _age_s(row, tide)


def _age_s(row: Row, tide: Tide) -> float:
    return min(max(0, tide.now - row[3] + FRESH), FRESH) / SECOND
