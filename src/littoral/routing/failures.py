"""What can go wrong at an upstream, and what each failure means for it and for the request.

Rules
- Whose fault it is decides everything else. A failure that a client can bring about (a 4xx of its
  own, but also 403 and 404, which hosts use for content and ids) never counts as breakage.
- A limit (429, or 503 that says when) is no breakage either: the target is well, and busy.

Not here: how an error is told to a client.
"""

import enum
from typing import Final

import msgspec

__all__ = ["Cause", "Failure", "breakage", "failure_of_status"]


class Cause(enum.Enum):
    """Every way that an attempt fails."""

    CONNECT = "connect"
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    BETWEEN_BYTES_TIMEOUT = "between_bytes_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    BROKEN = "broken"
    """The connection was lost."""
    MALFORMED = "malformed"
    """What came is not an answer."""
    SERVER_ERROR = "server_error"
    LIMITED = "limited"
    KEY_REJECTED = "key_rejected"
    NO_MODEL = "no_model"
    CALLER = "caller"
    """The request itself is at fault; every upstream would say so."""
    NONE_FREE = "none_free"
    """No upstream could be asked: all are drained, or have as many requests as they may."""


class Failure(msgspec.Struct, frozen=True):
    """One failure. `status` is 0 where no answer came; `retry_after_s` is the target's word."""

    cause: Cause
    status: int = 0
    retry_after_s: float | None = None

    @property
    def final(self) -> bool:
        """The request is to end with it: no other target would do better."""
        return self.cause is Cause.CALLER or self.cause is Cause.TOTAL_TIMEOUT

    @property
    def lasting(self) -> bool:
        """The same target would say the same a moment later."""
        return self.cause is Cause.KEY_REJECTED or self.cause is Cause.NO_MODEL

    @property
    def outcome(self) -> str:
        """One word for facts and metrics, from a small closed set."""
        if self.cause is Cause.SERVER_ERROR:
            return "5xx"
        return str(self.cause.value)

    def words(self) -> str:
        """What happened, for a person; without the target's own words."""
        said = f"answered {self.status}" if self.status else self.cause.value.replace("_", " ")
        if self.retry_after_s is None:
            return said
        return f"{said}, to be asked again in {self.retry_after_s:g} s"


_BREAKAGE: Final = {
    Cause.CONNECT: 2,
    Cause.CONNECT_TIMEOUT: 2,
    Cause.FIRST_BYTE_TIMEOUT: 1,
    Cause.BETWEEN_BYTES_TIMEOUT: 1,
    Cause.TOTAL_TIMEOUT: 1,
    Cause.BROKEN: 1,
    Cause.MALFORMED: 1,
    Cause.SERVER_ERROR: 1,
}


def breakage(failure: Failure) -> int:
    """How much a failure counts towards the target's breaker: 0, 1 or 2."""
    if failure.cause is Cause.KEY_REJECTED:
        return 1 if failure.status == 401 else 0
    return _BREAKAGE.get(failure.cause, 0)


def failure_of_status(status: int, retry_after_s: float | None = None) -> Failure:
    """What an answer that is not 200 means.

    Args:
        status: of the target's answer.
        retry_after_s: its `Retry-After`, in seconds, if it has one.
    """
    if status in {429, 529} or (status == 503 and retry_after_s is not None):
        cause = Cause.LIMITED
    elif status in {401, 403}:
        cause = Cause.KEY_REJECTED
    elif status == 404:
        cause = Cause.NO_MODEL
    elif status == 408 or 500 <= status <= 599:
        cause = Cause.SERVER_ERROR
    elif 400 <= status <= 499:
        cause = Cause.CALLER
    else:
        cause = Cause.MALFORMED
    return Failure(cause, status, retry_after_s)
