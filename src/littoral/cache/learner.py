"""What one cached answer has shown so far: how often it was right, at which similarity.

The answers of an entry were compared with fresh ones (an exploration); each comparison is an
observation (similarity, right or wrong). The chance of being right is taken to be a logistic
function of the similarity that never falls. `decide` serves at a similarity only when a likelihood
ratio test rejects, at one-sided 95 %, that the chance of being wrong there is over the bound.

Rules
- A new entry serves nothing: with no wrong observation it takes log(1/0.26) / bound right ones,
  that is 67 for a bound of 2 %; each wrong one makes it many more.
- Evidence holds at the similarity it was seen at and above, not below.
- A share of what could be served is explored all the same, so that an entry whose answer has become
  wrong is found out: after `1 / AUDIT_SHARE` servings on average, and one wrong answer closes it.
- A record is bounded: beyond limits.REUSE_OBSERVATIONS_MAX all counts are halved, so the old fades.

This is vCache's idea (an online decision for each entry, under a bound that the user sets) with a
stricter rule. vCache also serves, with a small probability, what is likely wrong, as long as the
share over all requests stays under the bound. Here only what was shown to be right is served.

Not here: whether two questions may be compared at all (questions.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, log1p
from typing import Final

from littoral.terms.limits import REUSE_OBSERVATIONS_MAX

__all__ = ["AUDIT_SHARE", "Decision", "Record", "certified", "decide", "observe", "seen"]

AUDIT_SHARE: Final = 0.05
"""Share of the servable that is explored instead: the price of noticing a change."""

_EVIDENCE: Final = 1.3528
"""Half of the chi-squared quantile of a one-sided test at 95 % with one degree of freedom."""

_STEPS: Final = 200
"""Similarities are kept in steps of 1/200: finer than what one embedding model means."""

_STEEPNESS_MAX: Final = 200.0
"""Of the logistic function: from 10 % to 90 % within 0.02. Steeper can't be told apart.
Similarities are 2 apart at most: no logit is beyond what `exp` takes."""

_STEEPNESSES: Final = (0.0, 10.0, 25.0, 50.0, 100.0, 200.0)

_LEVEL_MAX: Final = 16.0
"""Largest logit considered here: one in nine million."""

_NEWTON_STEPS, _NEWTON_MAX, _NEWTON_ENOUGH = 16, 2.0, 1e-3
"""Steps at most, the largest, and the one after which there is no other."""


@dataclass(frozen=True, slots=True)
class Record:
    """Observations of one entry: (step of similarity, right, wrong), in the order of the steps."""

    counts: tuple[tuple[int, int, int], ...] = ()

    @property
    def right(self) -> int:
        """How often the answer was the right one."""
        return sum(right for _, right, _ in self.counts)

    @property
    def wrong(self) -> int:
        """How often it was not."""
        return sum(wrong for _, _, wrong in self.counts)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with an entry. Not serving is exploring: ask the model, compare, observe."""

    serve: bool
    certified: bool
    """Whether it could be served: an exploration of such an entry measures what serving does."""


def decide(record: Record, similarity: float, bound: float, draw: float) -> Decision:
    """Serve or explore.

    Args:
        record: of the entry.
        similarity: cosine of the two questions, in -1..1.
        bound: most wrong answers, as a share, that may be served; in 0..1, exclusive.
        draw: random in [0, 1).
    """
    good = certified(record, similarity, bound)
    return Decision(good and draw >= AUDIT_SHARE, good)


def observe(record: Record, similarity: float, *, right: bool) -> Record:
    """The record with one more comparison."""
    step = round(similarity * _STEPS)
    counts = {at: (rights, wrongs) for at, rights, wrongs in record.counts}
    rights, wrongs = counts.get(step, (0, 0))
    counts[step] = (rights + right, wrongs + (not right))
    if sum(map(sum, counts.values())) > REUSE_OBSERVATIONS_MAX:
        counts = {at: (rights // 2, -(-wrongs // 2)) for at, (rights, wrongs) in counts.items()}
    return Record(tuple((at, *counts[at]) for at in sorted(counts) if any(counts[at])))


def seen(record: Record, similarity: float) -> tuple[int, int]:
    """Observations (right, wrong) at this similarity or above, for reports."""
    least = round(similarity * _STEPS)
    above = [(right, wrong) for at, right, wrong in record.counts if at >= least]
    return sum(right for right, _ in above), sum(wrong for _, wrong in above)


def certified(record: Record, similarity: float, bound: float) -> bool:
    """Whether it has been shown that at most `bound` of such servings are wrong."""
    assert 0 < bound < 1, "a bound is a share"
    here = round(similarity * _STEPS)
    points = [((at - here) / _STEPS, right, wrong) for at, right, wrong in record.counts]
    blocks = _isotonic(points)
    if _share_right(blocks) <= 1 - bound:
        return False
    level = log((1 - bound) / bound)
    doubted = _most(points, level)
    if not record.wrong:
        return -doubted > _EVIDENCE  # the best explanation is certainty
    if _most_of_any(blocks) - doubted <= _EVIDENCE:
        return False
    best, best_level = _best(points)
    return best_level > level and best - doubted > _EVIDENCE


Point = tuple[float, int, int]
"""Similarity from here on, right, wrong."""


def _isotonic(points: Sequence[Point]) -> Sequence[Point]:
    """The fit of shares that only never fall with the similarity: each from where it begins.

    It knows nothing of logistic functions: both must agree.
    """
    blocks: list[Point] = []
    for distance, right, wrong in points:
        begins, rights, wrongs = distance, right, wrong
        while blocks and blocks[-1][1] * (rights + wrongs) >= rights * sum(blocks[-1][1:]):
            begins, before, wrong_before = blocks.pop()
            rights, wrongs = rights + before, wrongs + wrong_before
        blocks.append((begins, rights, wrongs))
    return blocks


def _share_right(blocks: Sequence[Point]) -> float:
    """The share that was right here by that fit; 0 if unseen."""
    share = 0.0
    for begins, rights, wrongs in blocks:
        if begins > 0:
            break
        share = rights / (rights + wrongs)
    return share


def _most_of_any(blocks: Sequence[Point]) -> float:
    """The log-likelihood of that fit: no function that never falls has more, and so none here."""
    total = 0.0
    for _, rights, wrongs in blocks:
        if rights and wrongs:
            count = rights + wrongs
            total += rights * log(rights / count) + wrongs * log(wrongs / count)
    return total


def _log_likelihood(points: Sequence[Point], level: float, steepness: float) -> float:
    total = 0.0
    for distance, right, wrong in points:
        logit = level + steepness * distance
        tail = log1p(exp(-abs(logit)))
        total -= right * (tail + max(-logit, 0.0)) + wrong * (tail + max(logit, 0.0))
    return total


def _most(points: Sequence[Point], level: float) -> float:
    """The largest log-likelihood with this level here. It is concave in the steepness."""
    low, high = 0.0, _STEEPNESS_MAX
    for _ in range(15):
        middle = (low + high) / 2
        slope = 0.0
        for distance, right, wrong in points:
            slope += distance * (right - (right + wrong) / (1 + exp(-level - middle * distance)))
        low, high = (middle, high) if slope > 0 else (low, middle)
    return max(_log_likelihood(points, level, steepness) for steepness in (low, high))


def _best(points: Sequence[Point]) -> tuple[float, float]:
    """The largest log-likelihood found, and its level here: from below, so against serving."""
    found, level = [], 0.0
    for steepness in _STEEPNESSES:  # of which each begins where the one before it ended
        for _ in range(_NEWTON_STEPS):
            surplus, curve = 0.0, 1e-9
            for distance, right, wrong in points:
                chance = 1 / (1 + exp(-level - steepness * distance))
                surplus += right - (right + wrong) * chance
                curve += (right + wrong) * chance * (1 - chance)
            step = max(-_NEWTON_MAX, min(_NEWTON_MAX, surplus / curve))
            level = max(-_LEVEL_MAX, min(_LEVEL_MAX, level + step))
            if abs(step) < _NEWTON_ENOUGH:
                break
        found.append((_log_likelihood(points, level, steepness), level))
    return max(found)
