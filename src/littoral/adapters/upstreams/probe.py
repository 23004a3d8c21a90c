"""Asking an upstream how it is, at no cost to it: which models it has.

Every probe reads the key anew, so that a key that was mended counts without a restart.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from littoral.adapters.http.words import AnswerHead, Deadlines, HttpError, WaitedTooLongError
from littoral.adapters.upstreams.failures import cause_of_http, error_of_http, error_of_status
from littoral.adapters.upstreams.target import Target
from littoral.routing.failures import Failure, failure_of_status
from littoral.terms.errors import ConfigError, LittoralError
from littoral.terms.facts import BreakerMoved

if TYPE_CHECKING:
    from littoral.adapters.upstreams.upstreams import Upstreams

__all__ = ["probe"]

_WAITS: Final = Deadlines(connect_s=5.0, first_byte_s=10.0, between_bytes_s=10.0, total_s=20.0)
_BYTES_MAX: Final = 256 * 1024
"""Of an answer that nobody reads beyond its status, and its error."""


async def probe(upstreams: "Upstreams", row: int, target: Target) -> LittoralError | None:
    """What is wrong with this upstream, or None. The board learns it too."""
    try:
        target.read_key()
    except ConfigError as error:
        return error
    heard = _Heard()
    call = target.probe(heard, _WAITS)
    try:
        await heard.over.wait()
    finally:
        call.cancel(heard)
    wrong, failure = heard.outcome(target)
    now = upstreams.clock.now()
    if failure is None:
        moved = upstreams.board.probe_ok(row, now)
    else:
        moved = upstreams.board.probe_failed(row, failure, now)
    if moved is not None:
        upstreams.observe(BreakerMoved(target.entry.name, target.name, moved.value))
    return wrong


class _Heard:
    """An answer of which the status alone matters."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self._head: AnswerHead | None = None
        self._body = b""
        self._error: HttpError | None = None

    def outcome(self, target: Target) -> tuple[LittoralError | None, Failure | None]:
        """What is wrong, for a person and for the board."""
        if self._error is not None:
            error = error_of_http(self._error)
            if not isinstance(self._error, WaitedTooLongError):
                error.message = f"the upstream does not answer: {self._error}"
            return error, Failure(cause_of_http(self._error))
        assert self._head is not None, "an answer has a head"
        status = self._head.status
        if status in {401, 403} or status >= 500:
            error = error_of_status(self._head, self._body, target.key)
            return error, failure_of_status(status)
        return None, None  # a server without /models (404) is a server all the same

    def head(self, head: AnswerHead) -> None:
        """Keep the status."""
        self._head = head

    def data(self, data: bytes) -> None:
        """Keep the beginning, for what an error says."""
        if len(self._body) < _BYTES_MAX:
            self._body += data

    def end(self) -> None:
        """All is here."""
        self.over.set()

    def lost(self, error: HttpError) -> None:
        """Nothing is here."""
        self._error = error
        self.over.set()
