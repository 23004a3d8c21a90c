"""What workers of a PoP say to each other about one answer: a letter, a length, a payload, again.

Of a stream: BEGUN, any number of DATA, ENDED. Of an answer in one piece: DATA, then WHOLE. FAILED
may come at any time, and is the last.
"""

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Final

import msgspec

from littoral.adapters.http.words import MalformedError
from littoral.serving.outcome import Outcome
from littoral.terms import errors
from littoral.terms.errors import InternalError, LittoralError
from littoral.terms.limits import ANSWER_BYTES_MAX
from littoral.terms.values import EngineInfo

__all__ = ["All", "End", "Frames", "Letter", "Start", "error_of", "frame", "refused"]

_FRAME: Final = Struct(">cI")


class Letter:
    """What a frame holds."""

    BEGUN: Final = b"B"
    DATA: Final = b"D"
    ENDED: Final = b"E"
    WHOLE: Final = b"W"
    FAILED: Final = b"F"


class Start(msgspec.Struct):
    """The beginning of an answer."""

    status: int
    content_type: str
    model: str
    info: EngineInfo
    target: str
    cache_control: str
    created: bool
    origin: str | None


class End(msgspec.Struct):
    """Its end."""

    outcome: Outcome
    charged: bool


class All(msgspec.Struct):
    """Both, of an answer in one piece, whose bytes came before."""

    start: Start
    end: End


class Refusal(msgspec.Struct):
    """An error of ours."""

    code: str
    message: str
    advice: str
    param: str | None
    retry_after_s: float | None
    details: dict[str, object]


_REFUSAL: Final = msgspec.json.Decoder(Refusal)
_ERRORS: Final[Mapping[str, type[LittoralError]]] = {
    kind.code: kind
    for name in errors.__all__
    if issubclass(kind := getattr(errors, name), LittoralError) and not kind.__subclasses__()
}


def frame(letter: bytes, payload: bytes) -> bytes:
    """One frame."""
    return _FRAME.pack(letter, len(payload)) + payload


class Frames:
    """Cuts what comes into frames."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """All frames that are whole now.

        Raises:
            MalformedError: one is longer than any answer.
        """
        data, at = self._kept + data, 0
        while len(data) - at >= _FRAME.size:
            letter, length = _FRAME.unpack_from(data, at)
            if length > ANSWER_BYTES_MAX:
                raise MalformedError("a frame is longer than any answer")
            end = at + _FRAME.size + length
            if end > len(data):
                break
            yield letter, data[at + _FRAME.size : end]
            at = end
        self._kept = data[at:]


def refused(error: LittoralError) -> bytes:
    """An error as a frame."""
    said = Refusal(
        error.code, error.message, error.advice, error.param, error.retry_after_s, error.details
    )
    return frame(Letter.FAILED, msgspec.json.encode(said))


def error_of(payload: bytes) -> LittoralError:
    """The error that such a frame holds."""
    said = _REFUSAL.decode(payload)
    return _ERRORS.get(said.code, InternalError)(
        said.message,
        advice=said.advice,
        param=said.param,
        retry_after_s=said.retry_after_s,
        details=said.details,
    )
