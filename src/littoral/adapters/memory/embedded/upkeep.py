"""What is done behind the searches, on one thread: building indexes, one after the other.

Rules
- Who asks again for what is waiting already asks once. What fails is the asker's to say.
- `close` waits for what is under way, which its asker ends early.
"""

import logging
from collections.abc import Callable, Hashable
from threading import Condition, Thread
from typing import Final

__all__ = ["Upkeep"]

_log: Final = logging.getLogger("littoral")


class Upkeep:
    """The thread, and what waits for it."""

    def __init__(self) -> None:
        """The thread begins with the first that is asked for."""
        self._waiting: dict[Hashable, Callable[[], None]] = {}
        self._changed = Condition()
        self._thread: Thread | None = None
        self._working = False
        self._closed = False

    def ask(self, key: Hashable, work: Callable[[], None]) -> None:
        """Have this done, once."""
        with self._changed:
            if self._closed:
                return
            self._waiting.setdefault(key, work)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="memory-upkeep", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing waits and nothing is under way; whether that came in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._waiting and not self._working, timeout_s
            )

    def close(self) -> None:
        """End, after what is under way."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._working = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed or self._waiting)
                if self._closed:
                    return
                key = next(iter(self._waiting))
                work = self._waiting.pop(key)
                self._working = True
            try:
                work()
            except Exception:
                _log.exception("a memory index was not built")
