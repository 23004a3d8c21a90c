"""What sends chunks to one asker: as they come, those of older fetches first."""

from collections import deque
from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from typing import TypeAlias

from littoral.sim.delivery.net import Stream

__all__ = ["Outlet", "Took"]

Took: TypeAlias = Callable[[int, int], None]
"""Called with the fetch and the chunk once it is in."""


class Outlet:
    """One stream of chunks."""

    __slots__ = (
        "_dropped",
        "_has",
        "_moved",
        "_queued",
        "_ready",
        "_sizes",
        "_took",
        "_waits",
        "stream",
    )

    def __init__(
        self,
        stream: Stream,
        sizes: Sequence[int],
        has: Container[int],
        took: Took,
        moved: Callable[[int], None],
    ) -> None:
        self.stream = stream
        self._sizes = sizes
        self._has = has
        self._took = took
        self._moved = moved
        self._ready: deque[tuple[int, int]] = deque()
        self._waits: dict[int, list[int]] = {}
        self._dropped: set[int] = set()
        self._queued = 0

    def ask(self, fetch: int, chunks: Iterable[int]) -> None:
        """Send these; those that are not here yet once they are."""
        for chunk in chunks:
            if chunk in self._has:
                self._ready.append((fetch, chunk))
            else:
                self._waits.setdefault(chunk, []).append(fetch)
        self._pump()

    def have(self, chunk: int) -> None:
        """A chunk has come."""
        for fetch in self._waits.pop(chunk, ()):
            self._ready.append((fetch, chunk))
        self._pump()

    def drop(self, fetch: int) -> None:
        """What has not left for this fetch is not sent."""
        self._dropped.add(fetch)

    def _pump(self) -> None:
        net = self.stream.net
        while self._ready and self._queued < 2 * net.window:
            fetch, chunk = self._ready.popleft()
            if fetch in self._dropped:
                continue
            size = self._sizes[chunk]
            self._queued += size
            self.stream.send(
                size, partial(self._arrived, fetch, chunk), partial(self._moved, fetch)
            )

    def _arrived(self, fetch: int, chunk: int) -> None:
        self._queued -= self._sizes[chunk]
        self._took(fetch, chunk)
        self._pump()
