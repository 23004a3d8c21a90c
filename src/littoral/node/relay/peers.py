"""Identical requests at several workers of a PoP are one request upstream.

Each question that the cache may answer has one owner among the workers, chosen by its key. A worker
that has such a question of another's sends its client's request there; the owner begins a flight
for it, or joins it to the one that it has, and sends the answer back as it comes. Only the owner
keeps the answer.

Rules
- The owner asks nobody's leave: limits, receipts and metrics are of the worker whose client it is.
- Who began the flight has an upstream's answer and pays for it; whoever else gets it has joined.
- An owner that can't be reached, or is lost before it has answered, is done without: the upstream
  is asked directly. One that is lost later takes the answer with it, and that is said.
- What workers say to each other carries a secret of this run, and their sockets are this user's.

The owner's side is in lent.py, what is said in frames.py.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from littoral.adapters.http.client import HttpClient
from littoral.adapters.http.words import HttpError, MalformedError, Origin
from littoral.adapters.upstreams.words import Begun
from littoral.node.entries import KnownModels
from littoral.node.forward import PATIENT, end_to_end
from littoral.node.relay.feed import Feed
from littoral.node.relay.flight import Flight
from littoral.node.relay.frames import All, End, Frames, Letter, Start, error_of
from littoral.serving.outcome import Outcome
from littoral.terms.errors import InternalError, LittoralError
from littoral.terms.ids import ModelName, ReceiptId
from littoral.terms.limits import UPSTREAM_CONNECTIONS_MAX
from littoral.web.errors import defect
from littoral.web.head import Head

__all__ = ["ORIGIN", "PASSWORD_FIELD", "Borrowed", "Loan", "Peers", "Upstreamed"]

ORIGIN: Final = "littoral-origin"
"""The receipt of the answer that is asked for, should this request begin it."""
PASSWORD_FIELD: Final = "littoral-peer"  # noqa: S105 - the name of a header field
"""What workers of a run know each other by."""
_START: Final = msgspec.json.Decoder(Start)
_END: Final = msgspec.json.Decoder(End)
_ALL: Final = msgspec.json.Decoder(All)


class Upstreamed(Feed, Protocol):
    """What asks an upstream, once it is started."""

    def start(self) -> None:
        """Ask."""


@dataclass(frozen=True, slots=True)
class Loan:
    """One question for its owner, and who waits for the answer here."""

    owner: int
    head: Head
    body: bytes
    origin: ReceiptId | None
    """The receipt that the answer will have if this request begins it."""
    flight: Flight
    joined: Callable[[ReceiptId | None], None]
    """Hears, before the answer, that it was begun by another request; and of which receipt."""
    directly: Callable[[], Upstreamed]
    """Asks an upstream instead, for the flight."""


class Peers:
    """The other workers of a PoP, as one of them sees them."""

    def __init__(
        self,
        worker: int,
        workers: int,
        sockets: Callable[[int], Path],
        secret: str,
        *,
        models: KnownModels,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        on_defect: Callable[[BaseException], None],
    ) -> None:
        """Connect to nothing yet.

        Args:
            worker: which of them this is, from 1.
            workers: how many there are.
            sockets: the socket file of each.
            secret: of this run, which all of them know.
            models: what is named in their answers.
            spawn: makes tasks that an owner outlives.
            on_defect: hears of exceptions that nobody meant to raise.
        """
        self._worker = worker
        self._workers = workers
        self.models = models
        self.spawn = spawn
        self.on_defect = on_defect
        self._clients = {
            number: HttpClient(
                Origin(socket_path=str(sockets(number))),
                headers={PASSWORD_FIELD: secret},
                deadlines=PATIENT,
                connections_max=UPSTREAM_CONNECTIONS_MAX,
            )
            for number in range(1, workers + 1)
            if number != worker
        }

    def owner(self, key: bytes) -> int | None:
        """Which other worker has this question; None if this one does."""
        owner = 1 + int.from_bytes(key[:8], "little") % self._workers
        return None if owner == self._worker else owner

    def client(self, number: int) -> HttpClient:
        """The way to one of them."""
        return self._clients[number]

    def close(self) -> None:
        """Close the idle connections."""
        for client in self._clients.values():
            client.close()


class Borrowed:
    """An answer of another worker's flight: the spring of one here."""

    def __init__(self, peers: Peers, loan: Loan) -> None:
        """Ask nothing yet."""
        self._peers = peers
        self._loan = loan
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._task: asyncio.Task[None] | None = None
        self._direct: Upstreamed | None = None
        """Once the owner is done without."""
        self._begun = False
        self._over = False
        self._body = b""

    def start(self) -> None:
        """Ask the owner."""
        self._task = self._peers.spawn(self._run())

    # --- feed.Feed ---

    def pause(self) -> None:
        """Send no more for now."""
        self._flowing.clear()
        if self._direct is not None:
            self._direct.pause()

    def resume(self) -> None:
        """Go on."""
        self._flowing.set()
        if self._direct is not None:
            self._direct.resume()

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._over = True
        if self._direct is not None:
            self._direct.cancel()
        elif self._task is not None:
            self._task.cancel()

    # --- the answer ---

    async def _run(self) -> None:
        try:
            await self._ask()
        except (HttpError, msgspec.DecodeError):
            self._lost()
        except Exception as error:
            self._peers.on_defect(error)
            self._fail(defect())

    async def _ask(self) -> None:
        loan, frames = self._loan, Frames()
        said = end_to_end(loan.head.headers)
        # What only workers say to each other a client can't put in our mouth.
        fields = {k: v for k, v in said.items() if k not in {ORIGIN, PASSWORD_FIELD}}
        if loan.origin is not None:
            fields[ORIGIN] = loan.origin
        client = self._peers.client(loan.owner)
        async with client.request("POST", loan.head.path, loan.body, headers=fields) as answer:
            if answer.status == 200:
                async for piece in answer:
                    for letter, payload in frames.feed(piece):
                        self._hear(letter, payload)
                    await self._flowing.wait()
        if not self._over:
            self._lost()

    def _hear(self, letter: bytes, payload: bytes) -> None:
        flight = self._loan.flight
        match letter:
            case Letter.BEGUN:
                self._begun = True
                flight.begun(self._started(_START.decode(payload)))
            case Letter.DATA if self._begun:
                flight.data(payload)
            case Letter.DATA:
                self._body = payload
            case Letter.ENDED:
                end = _END.decode(payload)
                self._over = True
                flight.ended(self._ended(end))
            case Letter.WHOLE:
                said = _ALL.decode(payload)
                self._over = True
                begun = self._started(said.start)
                flight.whole(begun, self._body, self._ended(said.end))
            case Letter.FAILED:
                self._fail(error_of(payload))
            case other:
                raise MalformedError(f"a frame {other!r}")

    def _started(self, start: Start) -> Begun:
        entry = self._peers.models.entry(ModelName(start.model))
        if not start.created:
            self._loan.joined(ReceiptId(start.origin) if start.origin else None)
        return Begun(
            start.status,
            start.content_type,
            entry,
            start.info,
            start.target,
            start.cache_control,
        )

    def _ended(self, end: End) -> Outcome:
        self._loan.flight.charge(somebody=end.charged)
        return end.outcome

    def _lost(self) -> None:
        """The owner is not there, does not lend, or is lost."""
        if self._over:
            return
        if self._begun:
            self._fail(
                InternalError("the process of this PoP that was getting this answer has ended")
            )
            return
        self._direct = self._loan.directly()
        if not self._flowing.is_set():
            self._direct.pause()
        self._direct.start()

    def _fail(self, error: LittoralError) -> None:
        if not self._over:
            self._over = True
            self._loan.flight.failed(error)
