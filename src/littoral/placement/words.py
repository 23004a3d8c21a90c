"""The words of the pool (pool.py): what it is told, and what it says is to be done."""

from dataclasses import dataclass

from littoral.terms.errors import LittoralError
from littoral.terms.facts import Fact
from littoral.terms.ids import ModelName
from littoral.terms.values import EngineInfo, EngineState, Instant

__all__ = [
    "Drain",
    "Effect",
    "Event",
    "Gone",
    "Grant",
    "Know",
    "Note",
    "PoolBounds",
    "Refuse",
    "Released",
    "Reported",
    "Resident",
    "Start",
    "Stop",
    "Tick",
    "Unload",
    "Wanted",
]


@dataclass(frozen=True, slots=True)
class Resident:
    """What the pool must know of a model: its size in memory, and whether to keep it."""

    model: ModelName
    memory_bytes: int
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class PoolBounds:
    """The operator's bounds."""

    memory_bytes: int
    queue: int
    keep_alive: int
    """Nanoseconds."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request wants `slots` of a model; it may come to use `tokens` of its cache."""

    ticket: int
    model: ModelName
    tokens: int
    until: Instant
    slots: int = 1


@dataclass(frozen=True, slots=True)
class Released:
    """A request is over, or no longer waits."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Know:
    """A model that may be wanted from now on. With `load`, it is loaded although nobody waits."""

    resident: Resident
    load: bool = False


@dataclass(frozen=True, slots=True)
class Unload:
    """Stop a model once nobody uses it. With `forget`, it may not be wanted again."""

    model: ModelName
    reason: str
    forget: bool = False


@dataclass(frozen=True, slots=True)
class Reported:
    """An engine said how it is."""

    model: ModelName
    state: EngineState


@dataclass(frozen=True, slots=True)
class Gone:
    """An engine has ended and given its memory back."""

    model: ModelName


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline that was asked for has come."""


@dataclass(frozen=True, slots=True)
class Drain:
    """The PoP stops: whoever waits is refused, and so is whoever comes."""


Event = Wanted | Released | Know | Unload | Reported | Gone | Tick | Drain


@dataclass(frozen=True, slots=True)
class Start:
    """Start this model's engine; report its states and, in the end, that it is gone."""

    model: ModelName


@dataclass(frozen=True, slots=True)
class Stop:
    """End this model's engine."""

    model: ModelName


@dataclass(frozen=True, slots=True)
class Grant:
    """This request may go to its model's engine now."""

    ticket: int
    info: EngineInfo


@dataclass(frozen=True, slots=True)
class Refuse:
    """This request ends here."""

    ticket: int
    error: LittoralError


@dataclass(frozen=True, slots=True)
class Note:
    """Tell the world."""

    fact: Fact


Effect = Start | Stop | Grant | Refuse | Note
