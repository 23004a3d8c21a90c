"""How fast a model answers, learned from the answers it gave: what PoPs tell in their records.

Rules
- A rate is a median of the last answers, each weighted by its age: one odd answer changes little,
  and what was long ago fades (half of its weight is gone after `HALF_LIFE_S`).
- How fast prompts are read is learned from requests that ran alone. One that shared the engine
  shows only that it is at least so fast: it counts where it was faster than those, or where there
  are none.
- Short prompts and short answers say little of a rate, and are left out of it.
- 0 is not measured yet, as in `ModelState`.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from littoral.terms.values import SECOND, Instant

__all__ = ["Answered", "Measured", "Rates"]

HALF_LIFE_S: Final = 120.0
_SAMPLES: Final = 64
_LOADS: Final = 5
_PROMPT_TOKENS_MIN: Final = 32
_ANSWER_TOKENS_MIN: Final = 8
_SHARED_QUANTILE: Final = 0.9
_TIME_MIN_S: Final = 1e-6

_Sample = tuple[Instant, float]


class Answered(msgspec.Struct, frozen=True, gc=False):
    """One answer, as its engine's PoP saw it. Times are seconds from when the engine got it."""

    first_token_s: float
    total_s: float
    read_tokens: int
    """Of the prompt, without those that the engine had kept."""
    answer_tokens: int
    at_work: int = 1
    """Most requests that the engine worked on meanwhile, this one among them."""


class Measured(msgspec.Struct, frozen=True, gc=False):
    """The members of `ModelState` of the same names."""

    prefill_tps: float = 0.0
    decode_tps: float = 0.0
    answer_tokens: float = 0.0
    load_s: float = 0.0


class Rates:
    """Of one model on one PoP."""

    __slots__ = ("_alone", "_decoded", "_lengths", "_loads", "_shared")

    def __init__(self) -> None:
        self._alone: deque[_Sample] = deque(maxlen=_SAMPLES)
        self._shared: deque[_Sample] = deque(maxlen=_SAMPLES)
        self._decoded: deque[_Sample] = deque(maxlen=_SAMPLES)
        self._lengths: deque[_Sample] = deque(maxlen=_SAMPLES)
        self._loads: deque[float] = deque(maxlen=_LOADS)

    def answered(self, answer: Answered, now: Instant) -> None:
        """Learn from an answer that is over. One that was broken off says nothing: leave it out."""
        self._lengths.append((now, float(answer.answer_tokens)))
        if answer.read_tokens >= _PROMPT_TOKENS_MIN and answer.first_token_s > _TIME_MIN_S:
            rate = answer.read_tokens / answer.first_token_s
            (self._alone if answer.at_work == 1 else self._shared).append((now, rate))
        decode_s = answer.total_s - answer.first_token_s
        if answer.answer_tokens >= _ANSWER_TOKENS_MIN and decode_s > _TIME_MIN_S:
            self._decoded.append((now, (answer.answer_tokens - 1) / decode_s))

    def loaded(self, seconds: float) -> None:
        """The model was loaded."""
        self._loads.append(seconds)

    def measured(self, now: Instant) -> Measured:
        """What is known now; 0.1 ms, for a record and not for each request."""
        lengths = _weighted(self._lengths, now)
        weights = sum(weight for _, weight in lengths)
        return Measured(
            prefill_tps=self._prefill_tps(now),
            decode_tps=_quantile(self._decoded, 0.5, now),
            answer_tokens=sum(length * weight for length, weight in lengths) / weights
            if weights
            else 0.0,
            load_s=sorted(self._loads)[len(self._loads) // 2] if self._loads else 0.0,
        )

    def _prefill_tps(self, now: Instant) -> float:
        if not self._alone:
            return _quantile(self._shared, _SHARED_QUANTILE, now)
        alone = _quantile(self._alone, 0.5, now)
        faster = [(at, rate) for at, rate in self._shared if rate > alone]
        return _quantile([*self._alone, *faster], 0.5, now)


def _weighted(samples: Iterable[_Sample], now: Instant) -> list[tuple[float, float]]:
    """Values with their weights, which are never 0: an old answer is better than none."""
    ages = [(value, max(0, now - at) / SECOND / HALF_LIFE_S) for at, value in samples]
    youngest = min((age for _, age in ages), default=0.0)
    return [(value, 0.5 ** min(age - youngest, 60.0)) for value, age in ages]


def _quantile(samples: Iterable[_Sample], part: float, now: Instant) -> float:
    """The value below which this part of all weight lies; 0 of none."""
    weighted = sorted(_weighted(samples, now))
    whole = sum(weight for _, weight in weighted)
    reached = 0.0
    for value, weight in weighted:
        reached += weight
        if reached >= part * whole:
            return value
    return 0.0
