"""One client in a world, with one request: what it is told, held against what it may be told (I2).

Its answer's tokens come once, in order, from one call of one engine; and it ends exactly once:
answered, refused, failed, or gone by itself.
"""

import enum
from collections.abc import Callable

from littoral.sim.clock import Act, VirtualClock
from littoral.sim.world.broken import BrokenError
from littoral.sim.world.line import ACCEPTED
from littoral.sim.world.links import Links
from littoral.sim.world.says import Asked, Begins, Garbage, Request, Said, Status, Token, Whole
from littoral.sim.world.story import Story

__all__ = ["Client", "Outcome"]


class Outcome(enum.Enum):
    """How a request ended, for its client."""

    ANSWERED = "answered"
    REFUSED = "refused"
    FAILED = "failed"
    GONE = "gone"


class Client:
    """See the module docstring."""

    def __init__(
        self, host: str, gateway: str, request: Request, leaves_s: float | None, patience_s: float
    ) -> None:
        """Ask nothing yet.

        Args:
            host: its own.
            gateway: the host of the PoP that it asks.
            request: what it asks.
            leaves_s: when it has had enough, after so many seconds; None is never.
            patience_s: after how long it takes the PoP for dead.
        """
        self.host = host
        self.gateway = gateway
        self.request = request
        self.outcome: Outcome | None = None
        self.status = 0
        self.tokens = 0
        self.then: Callable[[], None] | None = None
        """Called when it is over."""
        self._leaves_s = leaves_s
        self._patience_s = patience_s
        self._made_by: tuple[str, int] | None = None
        self._begun = False
        self._plans: list[Act] = []

    def begin(self, clock: VirtualClock, links: Links, story: Story) -> None:
        """Ask."""
        self._story = story
        story.tell(self.host, f"asks {self.gateway} for {self.request.model}")
        self._end = links.call(self.host, self.gateway)
        self._end.hear = self._hear
        self._end.lost = lambda: self._over(Outcome.FAILED)
        self._end.say(Asked(self.request))
        self._plans.append(clock.after(self._patience_s, lambda: self._over(Outcome.FAILED)))
        if self._leaves_s is not None:
            self._plans.append(clock.after(self._leaves_s, lambda: self._over(Outcome.GONE)))

    def _hear(self, message: object) -> None:
        if message == ACCEPTED:
            return
        assert isinstance(message, Said)
        match message:
            case Begins():
                if self._begun:
                    raise BrokenError(f"the answer to {self.host} begins twice")
                self._begun = True
            case Token():
                self._token(message)
            case Whole(tokens):
                if not self._begun or not self.tokens == tokens == self.request.answer_tokens:
                    raise BrokenError(f"{self.host} got {self.tokens} tokens of {tokens}")
                self._over(Outcome.ANSWERED)
            case Status(status):
                if self._begun:
                    raise BrokenError(f"{self.host} is refused in the middle of its answer")
                self.status = status
                self._over(Outcome.REFUSED)
            case Garbage():
                self._over(Outcome.FAILED)

    def _token(self, token: Token) -> None:
        if not self._begun:
            raise BrokenError(f"{self.host} gets a token before its answer begins")
        made_by = token.engine, token.call
        if self._made_by not in (None, made_by):
            raise BrokenError(f"{self.host} gets tokens of {self._made_by} and {made_by}")
        if token.index != self.tokens:
            raise BrokenError(f"{self.host} gets token {token.index} in place of {self.tokens}")
        self._made_by = made_by
        self.tokens += 1

    def _over(self, outcome: Outcome) -> None:
        if self.outcome is not None:
            raise BrokenError(f"{self.host} is {outcome.value} and was {self.outcome.value}")
        self.outcome = outcome
        for plan in self._plans:
            plan.call_off()
        self._story.tell(self.host, f"{outcome.value} {self.status or ''} {self.tokens} tokens")
        self._end.close()
        if self.then is not None:
            self.then()
