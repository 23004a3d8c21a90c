"""The words of a journey (journey.py): what it is told, and what it says is to be done.

Events, effects and attempts are Structs, as every request makes some of each.
"""

from collections.abc import Collection

import msgspec

from littoral.routing.board import BreakerState
from littoral.routing.choose import Candidates
from littoral.routing.failures import Failure
from littoral.terms.values import SECOND, Instant, RelayPolicy

__all__ = [
    "Attempt",
    "Begin",
    "Broke",
    "Cancel",
    "Effect",
    "Ended",
    "Event",
    "Fail",
    "FirstByte",
    "Gone",
    "Moved",
    "Refused",
    "Send",
    "Stage",
    "Tick",
    "stage_of",
]


class Stage(msgspec.Struct, frozen=True, gc=False):
    """One model of a journey, made once for all requests. Times are nanoseconds."""

    candidates: Candidates
    attempts: int
    first_byte: int
    total: int
    hedge_after: int
    """0 never hedges."""

    def for_one(
        self,
        *,
        without: Collection[int] = (),
        order: Collection[int] = (),
        within: int | None = None,
    ) -> "Stage":
        """The stage as one request has it.

        Args:
            without: rows that it may not go to.
            order: rows that it is to go to first, the best first; others than its own are ignored.
            within: nanoseconds that it may take in all, where that is less.
        """
        candidates = self.candidates.without(without) if without else self.candidates
        rows = candidates.rows
        if order and len(rows) > 1:
            known = tuple(dict.fromkeys([row for row in order if row in rows]))
            candidates = Candidates(rows, candidates.weights, known)
        if candidates is self.candidates and within is None:
            return self
        total = self.total if within is None else min(self.total, within)
        return Stage(candidates, self.attempts, self.first_byte, total, self.hedge_after)


def stage_of(candidates: Candidates, policy: RelayPolicy) -> Stage:
    """A stage with the policy of its model."""
    return Stage(
        candidates=candidates,
        attempts=policy.attempts,
        first_byte=int(policy.first_byte_s * SECOND),
        total=int(policy.total_s * SECOND),
        hedge_after=int((policy.hedge_after_s or 0) * SECOND),
    )


class Begin(msgspec.Struct, frozen=True, gc=False):
    """The request is to be sent."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """An attempt failed before the first byte of its answer."""

    attempt: int
    failure: Failure


class FirstByte(msgspec.Struct, frozen=True, gc=False):
    """An answer (200) begins."""

    attempt: int


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The answer is whole."""

    attempt: int


class Broke(msgspec.Struct, frozen=True, gc=False):
    """An attempt failed in the middle of its answer."""

    attempt: int
    failure: Failure


class Tick(msgspec.Struct, frozen=True, gc=False):
    """The deadline that was asked for has come."""


class Gone(msgspec.Struct, frozen=True, gc=False):
    """The client left."""


Event = Begin | Refused | FirstByte | Ended | Broke | Tick | Gone


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send the request to the target of this row."""

    attempt: int
    stage: int
    row: int
    hedged: bool = False
    last_resort: bool = False


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """Close this attempt; nothing more is wanted of it."""

    attempt: int


class Fail(msgspec.Struct, frozen=True, gc=False):
    """Tell the client."""

    failure: Failure


class Moved(msgspec.Struct, frozen=True, gc=False):
    """Tell the world: the breaker of a target moved."""

    stage: int
    row: int
    state: BreakerState


Effect = Send | Cancel | Fail | Moved


class Attempt(msgspec.Struct):
    """One try at one target. `failure` says how it ended, if it failed."""

    stage: int
    row: int
    sent_at: Instant
    hedged: bool = False
    live: bool = True
    failure: Failure | None = None

    def became(self, *, won: bool) -> str:
        """What became of it, in words; `won` says that the answer is its."""
        how = "under way" if self.live else "given up"
        if self.failure is not None:
            how = self.failure.words()
        elif won:
            how = "answered"
        return f"{how} (hedge)" if self.hedged else how
