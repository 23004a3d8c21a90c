"""What becomes of requests under way at a PoP that is gone: they end, and go elsewhere if they may.

A PoP that is frozen, or whose link was cut, closes no connection: whoever waits for its answer
would wait for minutes. The fabric sees within its lease that it is gone.

Rules
- What it was asked ends at once: before the first byte another PoP is asked; after it the client
  hears that the answer is lost.
- An answer of which something came within STILL_S goes on: it is the fabric that is disturbed then,
  and not the PoP.
- Of one that is shut out, everything ends.
- While it is gone nothing is sent to it; once it is back all is as before.
"""

from collections.abc import Iterable
from typing import Final

from littoral.adapters.upstreams.upstreams import Upstreams
from littoral.routing.fleet import Fleet
from littoral.terms.ids import PopId
from littoral.terms.limits import STILL_S

__all__ = ["Parting"]


class Parting:
    """Of one PoP: watches its view of the fleet."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams: Final = upstreams
        self._there: frozenset[PopId] = frozenset()

    def look(self, fleet: Fleet) -> None:
        """The fleet is this from now on."""
        there = frozenset(pop for pop, known in fleet.pops.items() if known.alive)
        for pop in self._there - there:
            self._upstreams.lose(pop, f"{pop} is gone", STILL_S)
        for pop in there - self._there:
            self._upstreams.regain(pop)
        self._there = there

    def shut_out(self, pops: Iterable[PopId]) -> None:
        """Nothing is wanted of these any more."""
        for pop in pops:
            self._upstreams.lose(pop, f"{pop} was shut out")
