"""Ways to other PoPs that are opened ahead, so that a first request waits for no handshake."""

from collections.abc import Callable, Iterable

from littoral.terms.values import ModelEntry, UpstreamTarget

__all__ = ["Ahead", "Warm"]

Warm = Callable[[UpstreamTarget], None]
"""Opens a connection to another PoP, if none is kept."""


class Ahead:
    """Of one PoP."""

    def __init__(self, warm: Warm) -> None:
        """Nothing is opened yet."""
        self._warm = warm
        self._opened: set[str] = set()
        """Addresses to which it was, and that are still of some use."""

    def open(self, guests: Iterable[ModelEntry]) -> None:
        """Open one to each PoP that has some of these and was not there before."""
        targets = {each.base_url: each for guest in guests for each in guest.upstreams}
        self._opened &= targets.keys()
        for address in targets.keys() - self._opened:
            self._opened.add(address)
            self._warm(targets[address])
