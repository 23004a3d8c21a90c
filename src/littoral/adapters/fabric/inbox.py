"""What the fabric brought and the loop has not heard yet: the latest of each key, within bounds.

Zenoh calls back on threads of its own, as fast as others send. Here all that comes between two
turns of the loop becomes one call on it. Of one key only the latest counts, and of too much the
oldest is dropped: whoever said it says it again.
"""

import asyncio
import threading
from typing import Final

from littoral.terms.heard import Heard, Said
from littoral.terms.limits import FABRIC_INBOX_BYTES_MAX
from littoral.terms.ports import Hear

__all__ = ["Inbox"]

_EVENT_BYTES: Final = 256
"""What an event takes beside its key and record."""


class Inbox:
    """Takes events on any thread and has them heard on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, hear: Hear) -> None:
        self._loop = loop
        self._hear = hear
        self._lock = threading.Lock()
        self._waiting: dict[str, Heard] = {}
        self._bytes = 0
        self._woken = False
        self._closed = False

    def put(self, key: str, event: Heard) -> None:
        """Have this event heard; it stands for those of the same key that still wait."""
        with self._lock:
            if self._closed:
                return
            self._drop(key)
            self._waiting[key] = event
            self._bytes += _size(key, event)
            while self._bytes > FABRIC_INBOX_BYTES_MAX and len(self._waiting) > 1:
                self._drop(next(iter(self._waiting)))
            if self._woken:
                return
            self._woken = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            self.close()  # the loop is gone, and nobody is left to hear

    def close(self) -> None:
        """Have nothing heard any more."""
        with self._lock:
            self._closed = True
            self._waiting.clear()

    def _deliver(self) -> None:
        with self._lock:
            waiting, self._waiting, self._bytes = self._waiting, {}, 0
            self._woken = False
        if waiting:
            self._hear(list(waiting.values()))

    def _drop(self, key: str) -> None:
        event = self._waiting.pop(key, None)
        if event is not None:
            self._bytes -= _size(key, event)


def _size(key: str, event: Heard) -> int:
    return _EVENT_BYTES + len(key) + (len(event.record) if isinstance(event, Said) else 0)
