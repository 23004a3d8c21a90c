"""How many threads an engine gets: never more than the machine really grants, fewer when it hurts.

Threads of one model wait for each other after every layer. When another program takes one of
their cores, all of them wait: two threads on two busy cores fell from 88 to 4 tokens a second,
where one thread kept 48. So one core is left free from the start, and the governor here steps
down when measured rates collapse, and carefully up again after a calm time.

Not here: reading affinity and quotas (adapters/cores.py), and restarting engines.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from littoral.terms.values import SECOND, Instant

__all__ = ["CALM_NS", "COLLAPSE_RATIO", "COLLAPSES_MIN", "ThreadGovernor", "threads_for"]

COLLAPSE_RATIO: Final = 0.4
"""A decode rate under this part of the best seen, in like conditions, is a collapse."""

COLLAPSES_MIN: Final = 3
"""Collapsed answers in a row that make a step: one may be chance, a step costs a restart."""

CALM_NS: Final = 300 * SECOND
"""How long after a step down more threads are tried; it doubles with every failed try."""

_CALM_NS_MAX: Final = 24 * 3600 * SECOND


def threads_for(granted_cores: float, wanted: int) -> int:
    """Threads for one engine.

    Args:
        granted_cores: what affinity and quota leave this process; may be a fraction.
        wanted: the operator's number, or 0 for one core less than granted.
    """
    most = max(1, int(granted_cores))
    return min(wanted, most) if wanted > 0 else max(1, most - 1)


@dataclass(slots=True)
class ThreadGovernor:
    """Watches decode rates and says how many threads there should be.

    Rates are compared only at the same number of threads and at like lengths, for a long context
    makes every token slower. Only answers that had the engine to themselves say anything: a batch
    shares it, and a neighbour's long prompt holds every answer up.
    """

    most: int
    threads: int = 0
    _best: dict[tuple[int, int], float] = field(default_factory=lambda: defaultdict(float))
    _collapses: int = 0
    _try_more_at: Instant | None = None
    _calm_ns: int = CALM_NS

    def __post_init__(self) -> None:
        """Begin with the most threads."""
        assert self.most >= 1
        self.threads = self.threads or self.most

    def observe(self, tokens_per_s: float, context_tokens: int, now: Instant) -> int:
        """Take the rate of one answer and say how many threads there should be from now on.

        Args:
            tokens_per_s: of an answer that was decoded alone.
            context_tokens: its prompt and itself.
            now: the moment the answer ended.
        """
        like = (self.threads, context_tokens.bit_length())
        self._best[like] = max(self._best[like], tokens_per_s)
        collapsed = tokens_per_s < COLLAPSE_RATIO * self._best[like]
        self._collapses = self._collapses + 1 if collapsed else 0
        if self._collapses >= COLLAPSES_MIN and self.threads > 1:
            self._step(max(1, self.threads // 2))
            self._try_more_at = Instant(now + self._calm_ns)
            self._calm_ns = min(2 * self._calm_ns, _CALM_NS_MAX)
        elif self._try_more_at is not None and now >= self._try_more_at and not collapsed:
            self._step(min(self.most, 2 * self.threads))
            self._try_more_at = None if self.threads == self.most else Instant(now + self._calm_ns)
        return self.threads

    def check(self) -> None:
        """Assert what always holds."""
        assert 1 <= self.threads <= self.most
        assert self.threads == self.most or self._try_more_at is not None

    def _step(self, threads: int) -> None:
        self.threads = threads
        self._collapses = 0
