"""What an upstream's failures mean for whoever asked: ours for theirs, without this PoP's key.

An upstream that rejects this PoP's key, or limits it, is not the caller's fault, and the error does
not say it is. What the caller can mend (status 400) keeps the upstream's words.
"""

from typing import Final

import msgspec

from littoral.adapters.http.words import (
    AnswerHead,
    ConnectFailedError,
    HttpError,
    MalformedError,
    NoConnectionFreeError,
    WaitedTooLongError,
)
from littoral.routing.failures import Cause
from littoral.terms.errors import (
    BadRequestError,
    LittoralError,
    QueueFullError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from littoral.terms.ids import PopId

__all__ = [
    "cause_of_http",
    "error_of_http",
    "error_of_status",
    "may_pass",
    "said_in",
    "seconds_in",
]

_SAID_CHARS_MAX: Final = 500
_REFUSAL_PASSED_BYTES_MAX: Final = 4096
_RETRY_AFTER_S: Final = 5.0
"""When an upstream that limits us does not say for how long."""


def cause_of_http(error: HttpError) -> Cause:
    """What kind of failure it was, for the board and the journey."""
    match error:
        case ConnectFailedError():
            return Cause.CONNECT
        case NoConnectionFreeError():
            return Cause.NONE_FREE
        case WaitedTooLongError():
            return _waited_for(str(error))
        case MalformedError():
            return Cause.MALFORMED
        case _:
            return Cause.BROKEN


def _waited_for(text: str) -> Cause:
    if text.endswith("to connect"):
        return Cause.CONNECT_TIMEOUT
    if text.endswith("first byte"):
        return Cause.FIRST_BYTE_TIMEOUT
    return Cause.BETWEEN_BYTES_TIMEOUT if text.endswith("silence") else Cause.TOTAL_TIMEOUT


def error_of_http(error: HttpError) -> LittoralError:
    """Ours for an exchange that failed."""
    match error:
        case WaitedTooLongError():
            return UpstreamTimeoutError(f"the upstream was given up after {error}")
        case NoConnectionFreeError():
            return QueueFullError(
                "this machine asks the upstream too much at once already", retry_after_s=1.0
            )
        case _:
            return UpstreamFailedError(f"the upstream failed: {error}")


def error_of_status(
    head: AnswerHead, answer: bytes, key: str, pop: PopId | None = None
) -> LittoralError:
    """Ours for an answer that is not 200; `pop` is who has answered, if that is another PoP."""
    match head.status:
        case 401 | 403 if pop is not None:
            return UpstreamFailedError(
                f"{pop} does not admit this: {said_in(answer, key)}",
                advice="the owner of that PoP can mend it",
            )
        case 400 | 413 | 422:
            said = said_in(answer, key)
            return BadRequestError(f"the upstream does not take this request: {said}")
        case 401 | 403:
            return UpstreamFailedError(
                "the upstream rejected this PoP's key",
                advice="the operator can mend it: check the key of this upstream",
            )
        case 404:
            return UpstreamFailedError(
                "the upstream has no such model or path",
                advice="the operator can mend it: check the upstream's URL and model name",
            )
        case 408 | 504:
            return UpstreamTimeoutError("the upstream timed out")
        case 429:
            return QueueFullError(
                "the upstream limits this PoP at the moment",
                advice="try again later; this is not your own limit",
                retry_after_s=seconds_in(head) or _RETRY_AFTER_S,
            )
        case status:
            return UpstreamFailedError(
                f"the upstream answered {status}", retry_after_s=seconds_in(head)
            )


class _Error(msgspec.Struct):
    message: str
    type: str


class _Refusal(msgspec.Struct):
    error: _Error
    type: str | None = None


_REFUSAL: Final = msgspec.json.Decoder(_Refusal)


def may_pass(api: str, answer: bytes, key: str) -> bool:
    """Whether an upstream's refusal is in the API's own shape, so that clients may read it.

    What is not, or is long, or names this PoP's key, is told in our words instead.
    """
    if len(answer) > _REFUSAL_PASSED_BYTES_MAX or (key and key.encode() in answer):
        return False
    try:
        answer.decode()
        refusal = _REFUSAL.decode(answer)
        refusal.error.message.encode()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return api != "messages" or refusal.type == "error"


def said_in(answer: bytes, key: str) -> str:
    """The upstream's own words, without this PoP's key, and bounded."""
    try:
        decoded = msgspec.json.decode(answer)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        decoded = None
    for name in ("error", "message"):
        if isinstance(decoded, dict) and name in decoded:
            decoded = decoded[name]
    text = decoded if isinstance(decoded, str) else "it did not say why"
    if key:
        text = text.replace(key, "[key]")
    return text[:_SAID_CHARS_MAX]


def seconds_in(head: AnswerHead) -> float | None:
    """`Retry-After`, when it is in seconds."""
    text = head.get(b"retry-after")
    return float(text) if text.isascii() and text.isdecimal() else None
