"""A connection that this side has dialled, and on which the other side asks.

It is answered as one that was accepted. Whoever has dialled hears when it is used and when it ends,
so that there is always another one.
"""

from collections.abc import Callable

from littoral.web.connection import Connection
from littoral.web.phases import Phase
from littoral.web.service import Service

__all__ = ["Adopted"]


class Adopted(Connection):
    """The protocol object of one such connection."""

    __slots__ = ("_changed",)

    def __init__(self, service: Service, changed: Callable[[], None]) -> None:
        """Wait for `connection_made`; `changed` hears of each use and of the end."""
        super().__init__(service)
        self._changed = changed

    @property
    def idle(self) -> bool:
        """Nothing is asked on it now."""
        return self._phase is Phase.IDLE

    @property
    def open(self) -> bool:
        """More may be asked on it."""
        return self._phase not in {Phase.LAST, Phase.GONE}

    def data_received(self, data: bytes) -> None:
        """As Connection's."""
        super().data_received(data)
        self._changed()

    def connection_lost(self, exc: Exception | None) -> None:
        """As Connection's."""
        super().connection_lost(exc)
        self._changed()
