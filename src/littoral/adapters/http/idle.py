"""Connections to one server that nobody uses now, kept for who asks next, within a bound."""

from littoral.adapters.http.hop import Hop
from littoral.terms.limits import UPSTREAM_IDLE_MAX

__all__ = ["Idle"]


class Idle:
    """Connections to one server that nobody uses: so many are kept, the last used first."""

    __slots__ = ("_closed", "_hops")

    def __init__(self) -> None:
        self._hops: list[Hop] = []
        self._closed = False

    def take(self) -> Hop | None:
        """One that is open still, if there is one."""
        while self._hops:
            hop = self._hops.pop()
            if not hop.closed:
                return hop
        return None

    def put(self, hop: Hop) -> None:
        """Keep one whose answer is over, or close it."""
        if self._closed or len(self._hops) >= UPSTREAM_IDLE_MAX:
            hop.abort()
        else:
            self._hops.append(hop)

    @property
    def empty(self) -> bool:
        """Whether none is open."""
        return all(hop.closed for hop in self._hops)

    def drop(self) -> None:
        """Close them all."""
        while self._hops:
            self._hops.pop().abort()

    def close(self) -> None:
        """The same, and keep none from now on."""
        self._closed = True
        self.drop()
