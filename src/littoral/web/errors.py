"""An error as each API says it: one value of `terms/errors.py`, several shapes on the wire.

Official clients decide by status and by the words in `type` and `code`, so those are the API's
own. Beyond them every shape carries the same facts under our names:

- `fault`: whose it is (`caller`, `peer`, `operator`, `node`);
- the error's `details` (token counts, what was loading), where the API's own fields leave room;
- `retry_after_s`, which also goes out as the `Retry-After` header, in whole seconds rounded up.

A message about a limit says whether it is the caller's or this machine's.
"""

import enum
import math
from collections.abc import Mapping

import msgspec

from littoral.terms.errors import (
    BodyTooLargeError,
    BudgetExhaustedError,
    CallerError,
    DrainingError,
    InternalError,
    KeyMissingError,
    KeyRejectedError,
    LittoralError,
    LoadingError,
    MethodNotAllowedError,
    NodeError,
    NotAllowedError,
    NotFoundError,
    OperatorError,
    PeerError,
    QueueFullError,
    RateLimitedError,
    StrangerError,
    UnknownModelError,
)
from littoral.terms.limits import RETRY_AFTER_MAX_S

__all__ = [
    "Shape",
    "defect",
    "draining",
    "error_answer",
    "error_event",
    "error_object",
    "shape_of",
]


class Shape(enum.Enum):
    """Whose words an error is said in."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


def shape_of(path: str, headers: Mapping[str, str]) -> Shape:
    """The shape that whoever sent this expects: Anthropic's clients name their version."""
    if path.startswith("/v1/messages") or "anthropic-version" in headers:
        return Shape.ANTHROPIC
    return Shape.OPENAI


def error_answer(
    error: LittoralError, shape: Shape, request_id: str = ""
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and JSON body that tell a client of the error."""
    headers = {"content-type": "application/json"}
    if (wait_s := _wait_s(error)) is not None:
        headers["retry-after"] = str(math.ceil(wait_s))
    match error:
        case KeyMissingError() | KeyRejectedError():
            headers["www-authenticate"] = "Bearer"
        case MethodNotAllowedError():
            allowed = error.details.get("allow")
            headers["allow"] = ", ".join(allowed) if isinstance(allowed, list) else ""
        case _:
            pass
    return error.status, headers, msgspec.json.encode(_body(error, shape, request_id))


def error_event(error: LittoralError, shape: Shape, request_id: str = "") -> bytes:
    """One server-sent event that ends a stream with the error, where the API's clients look."""
    body = msgspec.json.encode(_body(error, shape, request_id))
    name = b"event: error\n" if shape is Shape.ANTHROPIC else b""
    return b"%bdata: %b\n\n" % (name, body)


def error_object(error: LittoralError, shape: Shape) -> dict[str, object]:
    """The `error` member alone, for an answer or event that wraps it in its own way."""
    extras = _extras(error)
    match shape:
        case Shape.OPENAI:
            return {
                "message": _message(error),
                "type": _openai_type(error),
                "param": error.param,
                "code": error.code,
                **extras,
            }
        case Shape.ANTHROPIC:
            words = {"type": _anthropic_type(error), "message": _message(error)}
            return {**words, "code": error.code, **extras}


def _body(error: LittoralError, shape: Shape, request_id: str) -> dict[str, object]:
    match shape:
        case Shape.OPENAI:
            return {"error": error_object(error, shape)}
        case Shape.ANTHROPIC:
            return {
                "type": "error",
                "error": error_object(error, shape),
                "request_id": request_id or None,
            }


def _wait_s(error: LittoralError) -> float | None:
    """How long to wait, within bounds: an upstream may name any number, also an infinite one."""
    if error.retry_after_s is None:
        return None
    return min(max(error.retry_after_s, 0), RETRY_AFTER_MAX_S)


def _extras(error: LittoralError) -> dict[str, object]:
    extras: dict[str, object] = {"fault": _fault(error)}
    if (wait_s := _wait_s(error)) is not None:
        extras["retry_after_s"] = wait_s
    if isinstance(error, LoadingError):
        extras["loading"] = error.details
    else:
        extras.update({key: value for key, value in error.details.items() if key not in _OWN})
    return extras


_OWN = frozenset({"message", "type", "param", "code", "fault", "retry_after_s"})
"""Members that a detail never replaces."""


def _message(error: LittoralError) -> str:
    # Words of an upstream are among them; half of a surrogate pair can't be said in UTF-8.
    said = str(error).encode("utf-8", "replace").decode()
    match error:
        case RateLimitedError() | BudgetExhaustedError():
            return f"{said} (your key's limit, not this machine's)"
        case QueueFullError() | LoadingError() | DrainingError():
            return f"{said} (this machine's limit, not your key's)"
        case _:
            return said


def _fault(error: LittoralError) -> str:
    match error:
        case CallerError():
            return "caller"
        case PeerError():
            return "peer"
        case OperatorError():
            return "operator"
        case _:
            return "node"


def _openai_type(error: LittoralError) -> str:
    match error:
        case BudgetExhaustedError():
            return "insufficient_quota"
        case NodeError() | OperatorError() | PeerError():
            return "server_error"
        case _:
            return _caller_type(error)


def _anthropic_type(error: LittoralError) -> str:
    match error:
        case BodyTooLargeError():
            return "request_too_large"
        case BudgetExhaustedError():
            return "rate_limit_error"
        case QueueFullError() | LoadingError() | DrainingError():
            return "overloaded_error"
        case NodeError() | OperatorError() | PeerError():
            return "api_error"
        case _:
            return _caller_type(error)


def _caller_type(error: LittoralError) -> str:
    match error:
        case KeyMissingError() | KeyRejectedError() | StrangerError():
            return "authentication_error"
        case NotAllowedError():
            return "permission_error"
        case UnknownModelError() | NotFoundError():
            return "not_found_error"
        case RateLimitedError():
            return "rate_limit_error"
        case _:
            return "invalid_request_error"


def defect() -> InternalError:
    """What a client is told of a defect."""
    return InternalError("this request met a defect", advice="tell the operator its request id")


def draining() -> DrainingError:
    """What a client is told when the PoP stops before its answer."""
    return DrainingError("this PoP is stopping", retry_after_s=1)
