"""The choice of an upstream in words, in the answer's head, for a request that asks for it.

`Littoral-Explain: route` asks; `Littoral-Route` answers: how every upstream of the model stood when
the first was chosen, an arrow, and what became of each attempt. Names are those that operators gave
(host and port, or a socket's path), never a key. Who does not ask pays nothing.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from littoral.adapters.upstreams.fetch import Fetch
from littoral.adapters.upstreams.words import Begun, Listener
from littoral.serving.outcome import Outcome
from littoral.terms.limits import EXPLANATION_CHARS_MAX
from littoral.web.head import Head

__all__ = ["Explained", "asks_for_route"]

_HEADER: Final = "littoral-explain"


def asks_for_route(head: Head) -> bool:
    """Whether the client wants to know how its upstream is chosen."""
    return _HEADER in head.headers and "route" in head.headers[_HEADER].lower().split()


class Noted(Protocol):
    """A leg, as this sees it."""

    notes: str


class Explained:
    """A listener that adds what it knows to the leg's notes, then hands everything on."""

    def __init__(self, listener: Listener, leg: Noted, standings: Sequence[str]) -> None:
        """Hear of one answer.

        Args:
            listener: who is told of it.
            leg: whose head has the explanation.
            standings: how each upstream stands before one is chosen.
        """
        self._listener = listener
        self._leg = leg
        self._standings = standings
        self.fetch: Fetch | None = None
        self.failed = listener.failed
        self.data = listener.data
        self.ended = listener.ended

    def begun(self, begun: Begun) -> None:
        """There is a stream."""
        self._explain()
        self._listener.begun(begun)

    def whole(self, begun: Begun, body: bytes, outcome: Outcome) -> None:
        """There is an answer."""
        self._explain()
        self._listener.whole(begun, body, outcome)

    def _explain(self) -> None:
        story = [] if self.fetch is None else self.fetch.story()
        text = f"{'; '.join(self._standings)} -> {'; '.join(story)}"
        plain = "".join(sign if " " <= sign <= "~" else "?" for sign in text)
        self._leg.notes += f"littoral-route: {plain[:EXPLANATION_CHARS_MAX]}\r\n"
