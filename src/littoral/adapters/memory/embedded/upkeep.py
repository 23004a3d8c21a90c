"""What is done behind the searches, on one thread: building indexes, one after the other.

Rules
- Who asks again for what is waiting already asks once. What fails is the asker's to say.
- What can wait until nothing happens is done once nobody has asked for it for some time, and not
  at all where it was asked for at once meanwhile.
- `close` waits for what is under way, which its asker ends early.
"""

import logging
from collections.abc import Callable, Hashable
from threading import Condition, Thread
from typing import Final

from littoral.adapters.clock import SystemClock
from littoral.terms.values import SECOND, Instant

__all__ = ["Upkeep"]

_log: Final = logging.getLogger("littoral")


class Upkeep:
    """The thread, and what waits for it."""

    def __init__(self) -> None:
        """The thread begins with the first that is asked for."""
        self._waiting: dict[Hashable, Callable[[], None]] = {}
        self._later: dict[Hashable, tuple[Instant, Callable[[], None]]] = {}
        """With when it is due."""
        self._changed = Condition()
        self._thread: Thread | None = None
        self._working = False
        self._closed = False

    def ask(self, key: Hashable, work: Callable[[], None]) -> None:
        """Have this done, once."""
        with self._changed:
            if self._closed:
                return
            self._later.pop(key, None)
            self._waiting.setdefault(key, work)
            self._begin()

    def ask_later(self, key: Hashable, work: Callable[[], None], after_s: float) -> None:
        """Have this done once nobody has asked for the same for so long."""
        with self._changed:
            if self._closed or key in self._waiting:
                return
            due = Instant(SystemClock.now() + int(after_s * SECOND))
            before = self._later.get(key)
            self._later[key] = due, work
            if before is None or due < before[0]:  # else the thread sees it by itself
                self._begin()

    def settle(self, timeout_s: float, *, later: bool = False) -> bool:
        """Wait until nothing waits and nothing is under way; whether that came in time.

        Args:
            timeout_s: wait no longer.
            later: wait as well for what is to be done later.
        """
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._waiting or self._working or (later and self._later)), timeout_s
            )

    def close(self) -> None:
        """End, after what is under way."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._later.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._run, name="memory-upkeep", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._working = False
                self._changed.notify_all()
                work = self._next()
                if work is None:
                    return
                self._working = True
            try:
                work()
            except Exception:
                _log.exception("a memory index was not built")

    def _next(self) -> Callable[[], None] | None:
        """Wait for what is to be done; None is nothing more."""
        while not self._closed:
            if self._waiting:
                return self._waiting.pop(next(iter(self._waiting)))
            key = min(self._later, key=lambda each: self._later[each][0], default=None)
            left_s = None if key is None else (self._later[key][0] - SystemClock.now()) / SECOND
            if left_s is not None and left_s <= 0:
                return self._later.pop(key)[1]
            self._changed.wait(left_s)
        return None
