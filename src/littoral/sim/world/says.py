"""What is said on a line in a world: a request, and what comes back. In place of HTTP's bytes."""

import msgspec

from littoral.terms.ids import ModelName, PopId
from littoral.terms.values import Caller

__all__ = ["Asked", "Begins", "Garbage", "Request", "Said", "Status", "Token", "Whole"]


class Request(msgspec.Struct, frozen=True):
    """What a client wants."""

    number: int
    model: ModelName
    prompt_tokens: int
    answer_tokens: int
    caller: Caller


class Asked(msgspec.Struct, frozen=True):
    """A request, as it arrives at a PoP."""

    request: Request
    via: tuple[PopId, ...] = ()
    """PoPs that it came through, in order; none for a client's own."""
    within: int | None = None
    """Nanoseconds in which whoever passed it on wants the whole answer."""


class Status(msgspec.Struct, frozen=True):
    """An answer that is none: everything but 200."""

    status: int
    retry_after_s: float | None = None


class Begins(msgspec.Struct, frozen=True):
    """200: tokens follow."""


class Token(msgspec.Struct, frozen=True):
    """One token, with its maker's mark."""

    engine: str
    call: int
    index: int


class Whole(msgspec.Struct, frozen=True):
    """The closing word of an answer."""

    tokens: int


class Garbage(msgspec.Struct, frozen=True):
    """Bytes that are no answer."""


Said = Status | Begins | Token | Whole | Garbage
