"""Who can be reached, over whichever of this PoP's sessions and under whichever of the other's.

A PoP that is opened anew has two sessions for a moment, and so may whoever looks at it. Here they
become one word: it is here while any session of it is seen by any of ours. Tokens are what others
say without a signature, so they are bounded, and the oldest PoP is forgotten first.
"""

import threading

from littoral.adapters.fabric.inbox import Inbox
from littoral.terms.heard import Gone, Here
from littoral.terms.ids import PopId
from littoral.terms.limits import FABRIC_TOKENS_MAX, FLEET_POPS_MAX

__all__ = ["Presence"]

Token = tuple[str, str]
"""(which of our sessions sees it, which of the PoP's sessions it is)."""


class Presence:
    """Takes what sessions see, on any thread, and has changes heard."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._lock = threading.Lock()
        self._tokens: dict[PopId, set[Token]] = {}

    def seen(self, pop: PopId, token: Token) -> None:
        """One of our sessions sees one of this PoP's."""
        with self._lock:
            tokens = self._tokens.setdefault(pop, set())
            if len(tokens) < FABRIC_TOKENS_MAX:
                tokens.add(token)
            if len(self._tokens) > 2 * FLEET_POPS_MAX:
                self._tokens.pop(next(iter(self._tokens)))
            self._inbox.put(f"alive/{pop}", Here(pop))

    def lost(self, pop: PopId, token: Token) -> None:
        """It does not see it any more."""
        with self._lock:
            self._lost(pop, {token})

    def left(self, session: str) -> None:
        """One of our sessions sees nothing any more."""
        with self._lock:
            for pop, tokens in list(self._tokens.items()):
                self._lost(pop, {token for token in tokens if token[0] == session})

    def of(self, session: str) -> frozenset[PopId]:
        """Whom one of our sessions sees."""
        with self._lock:
            return frozenset(
                pop
                for pop, tokens in self._tokens.items()
                if any(token[0] == session for token in tokens)
            )

    def is_seen(self, pop: PopId, token: Token) -> bool:
        """Whether one of our sessions still sees this one of the PoP's."""
        with self._lock:
            return token in self._tokens.get(pop, ())

    def _lost(self, pop: PopId, lost: set[Token]) -> None:
        tokens = self._tokens.get(pop)
        if tokens is None or not tokens & lost:
            return
        tokens -= lost
        if not tokens:
            del self._tokens[pop]
            self._inbox.put(f"alive/{pop}", Gone(pop))
