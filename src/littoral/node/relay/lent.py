"""A worker's flights, lent to the other workers of its PoP (see peers.py)."""

import hmac
from collections.abc import Callable
from typing import Final

import msgspec

from littoral.adapters.upstreams.words import Begun
from littoral.node.relay.feed import Guest
from littoral.node.relay.flight import Flight
from littoral.node.relay.frames import All, End, Letter, Start, frame, refused
from littoral.node.relay.peers import PASSWORD_FIELD
from littoral.serving.outcome import Outcome
from littoral.terms.errors import KeyRejectedError, LittoralError
from littoral.web.head import Head
from littoral.web.hot import Reply, Underway

__all__ = ["Lending", "Lent"]

_HEAD: Final = "content-type: application/octet-stream\r\n"


class Lent(Guest):
    """Another worker's leg of a flight here: what it hears goes there in frames."""

    __slots__ = ("_created", "flight")

    def __init__(self, reply: Reply, left: Callable[[Guest], None], *, created: bool) -> None:
        """Wait for the flight.

        Args:
            reply: the way to the other worker.
            left: hears, once, that nothing more will be sent.
            created: the flight was begun for it.
        """
        super().__init__(reply, left, charged=created)
        self._created = created
        self.flight: Flight | None = None
        """Where the answer comes from, unless it was stored."""

    # --- Listener ---

    def begun(self, begun: Begun) -> None:
        """A stream begins."""
        self._reply.begin(_HEAD)
        self._reply.push(frame(Letter.BEGUN, msgspec.json.encode(self._start(begun))))

    def data(self, data: bytes) -> None:
        """More of it."""
        self._reply.push(frame(Letter.DATA, data))

    def ended(self, outcome: Outcome) -> None:
        """The stream is whole."""
        self._over()
        self._reply.close(frame(Letter.ENDED, msgspec.json.encode(End(outcome, self.charged))))

    def whole(self, begun: Begun, body: bytes, outcome: Outcome) -> None:
        """An answer in one piece."""
        self._over()
        said = All(self._start(begun), End(outcome, self.charged))
        frames = frame(Letter.DATA, body) + frame(Letter.WHOLE, msgspec.json.encode(said))
        self._reply.give(200, _HEAD, frames)

    def failed(self, error: LittoralError) -> None:
        """There is no answer, or not all of it."""
        self._over()
        if self._reply.started:
            self._reply.close(refused(error))
        else:
            self._reply.give(200, _HEAD, refused(error))

    def _start(self, begun: Begun) -> Start:
        origin = self.origin if self.flight is None else self.flight.origin
        return Start(
            begun.status,
            begun.content_type,
            begun.entry.name,
            begun.info,
            begun.target,
            begun.cache_control,
            self._created,
            origin,
        )


class Lending:
    """The hot path of a worker's own socket: other workers, and nobody else."""

    def __init__(self, lend: Callable[[Head, bytes, Reply], Underway], secret: str) -> None:
        """Lend flights to whoever knows the secret."""
        self._lend = lend
        self._secret = secret

    def take(self, head: Head, body: bytes, reply: Reply) -> Underway | None:
        """See HotPath.

        Raises:
            KeyRejectedError: it is no worker of this run.
        """
        said = head.headers.get(PASSWORD_FIELD, "").encode()
        if not hmac.compare_digest(said, self._secret.encode()):
            raise KeyRejectedError("only workers of this PoP are answered here")
        return self._lend(head, body, reply)
