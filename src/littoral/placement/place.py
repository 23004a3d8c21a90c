"""One model in the pool, and everybody at it: the state that pool.py moves."""

import enum
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from littoral.placement.words import Resident
from littoral.terms.errors import LittoralError
from littoral.terms.values import EngineInfo, EngineState, Instant

__all__ = ["Phase", "Place", "Waiter", "fits_beside"]

_NEVER: Final = Instant(0)


class Phase(enum.Enum):
    """The states of one model; the module docstring has the transitions."""

    COLD = "cold"
    LOADING = "loading"
    READY = "ready"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Waiter:
    """A ticket that waits."""

    ticket: int
    tokens: int
    slots: int
    until: Instant


@dataclass(slots=True)
class Place:
    """One model and everybody at it."""

    resident: Resident
    phase: Phase = Phase.COLD
    state: EngineState | None = None
    info: EngineInfo | None = None
    in_flight: dict[int, Waiter] = field(default_factory=dict)
    """By ticket: what was granted."""
    waiting: OrderedDict[int, Waiter] = field(default_factory=OrderedDict)
    used_at: Instant = _NEVER
    load_began: Instant = _NEVER
    load_took: int | None = None
    failed: LittoralError | None = None
    failed_at: Instant = _NEVER
    unload_reason: str | None = None
    wanted_loaded: bool = False
    forgotten: bool = False

    @property
    def busy(self) -> bool:
        """Somebody is at it, or waits for it."""
        return bool(self.in_flight or self.waiting)

    @property
    def holds_memory(self) -> bool:
        """Its engine is there, or on its way, or not gone yet."""
        return self.phase is not Phase.COLD


def fits_beside(first: Waiter, others: Iterable[Waiter], info: EngineInfo) -> bool:
    """Whether slots and cache have room for one more. Alone, each is let in."""
    together = [first, *others]
    if sum(one.slots for one in together) > info.slots:
        return False
    return not info.kv_tokens or sum(one.tokens for one in together) <= info.kv_tokens
