"""What the connections of one listener share: the handler, the bounds, the tasks, the totals."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Protocol

from littoral.terms.ports import Clock
from littoral.terms.values import SECOND
from littoral.web.certificate import Certificate, certificate_of
from littoral.web.hot import HotPath
from littoral.web.http import Handler, HttpBounds

__all__ = ["Answers", "AnswersTo", "Gate", "Served", "Service"]

Gate = Callable[[str, str, Mapping[str, str]], None]
"""Asked about method, path and headers before a body is waited for; raises to refuse."""


def _open_gate(method: str, path: str, headers: Mapping[str, str]) -> None:
    """Refuse nobody."""


def _open_door() -> None:
    """Refuse nobody."""


def _for_ever() -> bool:
    """Let everybody stay."""
    return True


@dataclass(frozen=True, slots=True)
class Answers:
    """Who answers what arrives."""

    handler: Handler
    """Each request that the hot path does not take."""
    gate: Gate = _open_gate
    """May refuse a request by its head, before a body that is not there yet is waited for."""
    hot: HotPath | None = None
    """Asked first about each POST."""
    admit: Callable[[], None] = _open_door
    """Asked first about each request; what it raises is answered, and ends the connection."""
    stays: Callable[[], bool] = _for_ever
    """Whether the client may be answered on, asked when who may has changed."""


AnswersTo = Callable[[Certificate | None], Answers]
"""Who answers on one connection, by what its client has shown."""


class Served(Protocol):
    """A connection, as its listener sees it."""

    answers: Answers

    def tick(self, now: float) -> None:
        """Act on deadlines that have passed."""

    def drain(self) -> None:
        """Take no further request; an answer under way goes on."""

    def cut(self) -> None:
        """End now: a handler is cancelled, anything else is aborted."""

    def abort(self) -> None:
        """End without another byte."""


@dataclass(slots=True)
class Service:
    """What all connections of one listener share."""

    answers: Answers | AnswersTo
    bounds: HttpBounds
    clock: Clock
    on_defect: Callable[[BaseException], None]
    loop: asyncio.AbstractEventLoop
    tasks: asyncio.TaskGroup
    connections: set[Served] = field(default_factory=set)
    all_gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while there is no connection."""
    bodies_bytes: int = 0
    """Held by requests that arrive or are being answered."""
    draining: bool = False
    date: str = ""

    def __post_init__(self) -> None:
        self.all_gone.set()
        self.read_clock()

    def answers_on(self, transport: asyncio.BaseTransport) -> Answers:
        """Who answers what arrives on this connection."""
        answers = self.answers
        return answers if isinstance(answers, Answers) else answers(certificate_of(transport))

    def read_clock(self) -> None:
        """Write the date anew; called about once a second."""
        self.date = formatdate(self.clock.unix_ns() / SECOND, usegmt=True)

    def request_id(self) -> str:
        """A name for one request, for logs and for whoever asks what became of it."""
        return f"req_{self.clock.random_bytes(12).hex()}"
