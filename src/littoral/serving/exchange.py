"""One request, from arrival to receipt, as a machine. See docs/life-of-a-request.md.

    new --Arrived--> counting | reserving
    counting --Counted--> reserving        only when the exact prompt length matters
    reserving --Reserved--> leasing        the budget holds the most it may use
    leasing --Leased--> opening            a slot and cache tokens are ours
    opening --Started--> streaming         the first bytes came
    streaming --Ended--> ended             the engine is done; its slot is free again
    ended --Sealed--> done                 the last byte is written; the receipt is made
    any --Refused--> done                  before an engine: no receipt, nothing is owed
    opening | streaming | ended --Lost--> done
                                           receipt says failed; what was used is settled
    any --ClientGone--> done               work is cancelled; a dispatched one has its receipt

Rules
- What is reserved is settled or refunded exactly once; what is leased is released exactly once.
- An exchange that was dispatched ends in exactly one `Record` (invariant I3); one that was not, in
  none.
- It hears O(1) events for a request, never one for a token.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from littoral.serving.plan import Plan, counted_plan
from littoral.terms.errors import LittoralError
from littoral.terms.values import EngineInfo, Finish, Instant, Usage

__all__ = [
    "Arrived",
    "Bounds",
    "ClientGone",
    "Count",
    "Counted",
    "Dispatch",
    "Effect",
    "Ended",
    "Event",
    "Exchange",
    "Fail",
    "Lease",
    "Leased",
    "Lost",
    "Record",
    "Refund",
    "Refused",
    "Release",
    "Reserve",
    "Reserved",
    "Sealed",
    "Settle",
    "Started",
]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the exchange must know of its engine to plan; zeros when the engine looks after it."""

    context_tokens: int
    share_tokens: int
    """Cache tokens that a request may take without being counted exactly (cache / slots)."""
    cache_tokens: int
    """What all requests at the engine share."""
    exact: bool
    """The prompt must be counted: the caller has limits on tokens, or wants to be told."""


# --- events ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrived:
    """The request is authenticated, allowed and planned."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The prompt's length, or None when the engine can't tell (yet)."""

    prompt_tokens: int | None


@dataclass(frozen=True, slots=True)
class Reserved:
    """The caller's budget holds it."""


@dataclass(frozen=True, slots=True)
class Leased:
    """A slot is ours."""

    info: EngineInfo


@dataclass(frozen=True, slots=True)
class Refused:
    """It ends before an engine saw it."""

    error: LittoralError


@dataclass(frozen=True, slots=True)
class Started:
    """The first bytes of the answer came."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The engine has said all."""

    usage: Usage
    finish: Finish


@dataclass(frozen=True, slots=True)
class Lost:
    """The engine failed after it was asked; `usage` is what was seen till then.

    Also when its answer came to an end and turned out to be none.
    """

    error: LittoralError
    usage: Usage


@dataclass(frozen=True, slots=True)
class Sealed:
    """All of the answer has been handed to the client's connection."""


@dataclass(frozen=True, slots=True)
class ClientGone:
    """The client left; `usage` is what was seen till then."""

    usage: Usage


Event = (
    Arrived | Counted | Reserved | Leased | Refused | Started | Ended | Lost | Sealed | ClientGone
)


# --- effects --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Count:
    """Ask the engine, if it is loaded, how long the prompt is."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """Take this many tokens, and one request, from the caller's budget."""

    tokens: int


@dataclass(frozen=True, slots=True)
class Lease:
    """Wait for slots, and this many tokens of cache."""

    tokens: int
    slots: int


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Hand the plan's call to the engine."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Release:
    """Give the slot back (and with it cancel work that still runs)."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Charge what was really used."""

    tokens: int


@dataclass(frozen=True, slots=True)
class Refund:
    """Charge nothing: no engine worked."""


@dataclass(frozen=True, slots=True)
class Record:
    """Make, sign and keep the receipt."""

    usage: Usage
    finish: Finish


@dataclass(frozen=True, slots=True)
class Fail:
    """Tell the client."""

    error: LittoralError


Effect = Count | Reserve | Lease | Dispatch | Release | Settle | Refund | Record | Fail


# --- the machine ----------------------------------------------------------------------------


class _State(enum.Enum):
    NEW = enum.auto()
    COUNTING = enum.auto()
    RESERVING = enum.auto()
    LEASING = enum.auto()
    OPENING = enum.auto()
    STREAMING = enum.auto()
    ENDED = enum.auto()
    DONE = enum.auto()


_BEFORE_DISPATCH = {_State.NEW, _State.COUNTING, _State.RESERVING, _State.LEASING}
_AT_AN_ENGINE = {_State.OPENING, _State.STREAMING, _State.ENDED}


class Exchange:
    """One request. See the module docstring for its states and rules."""

    def __init__(self, plan: Plan, bounds: Bounds) -> None:
        self.plan = plan
        self.prompt_tokens = 0
        """As counted, if it was; what is said of it otherwise is the engine's to say."""
        self._bounds = bounds
        self._state = _State.NEW
        self._reserved = False
        self._leased = False
        self._records = 0
        self._outcome: tuple[Usage, Finish] | None = None

    @property
    def done(self) -> bool:
        """Nothing is owed to anybody any more."""
        return self._state is _State.DONE

    def deadline(self) -> Instant | None:
        """None: its waits are bounded by the pool and by the engine's port."""
        return None

    # One case is one arrow of the table above; taking them apart would hide the table.
    def step(  # noqa: C901, PLR0911, PLR0912
        self, event: Event, now: Instant
    ) -> Sequence[Effect]:
        """Take one event and say what to do, in order. `now` is not needed yet."""
        del now
        if self.done:
            return ()
        match event:
            case Arrived():
                self._expect(_State.NEW)
                return self._count_or_reserve()
            case Counted(prompt_tokens):
                self._expect(_State.COUNTING)
                return self._counted(prompt_tokens)
            case Reserved():
                self._expect(_State.RESERVING)
                self._state, self._reserved = _State.LEASING, True
                return (Lease(self.plan.tokens_bound, self.plan.choices),)
            case Leased():
                self._expect(_State.LEASING)
                self._state, self._leased = _State.OPENING, True
                return (Dispatch(self.plan),)
            case Refused(error):
                assert self._state in _BEFORE_DISPATCH, self._state
                return (*self._end(None), Fail(error))
            case Started():
                self._expect(_State.OPENING)
                self._state = _State.STREAMING
                return ()
            case Ended(usage, finish):
                assert self._state in {_State.OPENING, _State.STREAMING}, self._state
                self._state, self._leased = _State.ENDED, False
                self._outcome = (usage, finish)
                return (Release(),)
            case Sealed():
                self._expect(_State.ENDED)
                assert self._outcome is not None
                return self._end(self._outcome)
            case Lost(error, usage):
                assert self._state in _AT_AN_ENGINE, self._state
                return (*self._end((usage, Finish.FAILED)), Fail(error))
            case ClientGone(usage):
                if self._state in _BEFORE_DISPATCH:
                    return self._end(None)
                return self._end((usage, Finish.CLIENT_GONE))
            case _:
                assert_never(event)

    def _counted(self, prompt_tokens: int | None) -> Sequence[Effect]:
        if prompt_tokens is not None:
            self.prompt_tokens = prompt_tokens
            try:
                self.plan = counted_plan(
                    self.plan,
                    prompt_tokens=prompt_tokens,
                    context_tokens=self._bounds.context_tokens,
                    cache_tokens=self._bounds.cache_tokens,
                )
            except LittoralError as error:
                return (*self._end(None), Fail(error))
        self._state = _State.RESERVING
        return (Reserve(self.plan.tokens_bound),)

    def _count_or_reserve(self) -> Sequence[Effect]:
        share = self._bounds.share_tokens
        if self._bounds.exact or (share and self.plan.tokens_bound > share):
            self._state = _State.COUNTING
            return (Count(),)
        self._state = _State.RESERVING
        return (Reserve(self.plan.tokens_bound),)

    def _end(self, outcome: tuple[Usage, Finish] | None) -> Sequence[Effect]:
        """What is owed at the end. `outcome` is None when no engine worked."""
        effects: list[Effect] = []
        if self._leased:
            effects.append(Release())
        if outcome is not None:
            usage, finish = outcome
            effects += [Settle(usage.total_tokens), Record(usage, finish)]
            self._records += 1
        elif self._reserved:
            effects.append(Refund())
        self._leased = self._reserved = False
        self._state = _State.DONE
        return effects

    def _expect(self, state: _State) -> None:
        assert self._state is state, f"expected {state}, is {self._state}"

    def check(self) -> None:
        """Assert what must hold between any two events."""
        assert self._records <= 1
        if self.done:
            assert not self._leased
            assert not self._reserved
