"""What has come of an answer and nobody has taken yet; reading stops while that is much."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable
from typing import Final

__all__ = ["Unread"]

_UNREAD_BYTES_HIGH: Final = 256 * 1024
"""Unread bytes at which reading stops until they are taken; one more read may come on top."""


class Unread(ABC):
    """One answer, kept until it is taken. A subclass says how its reading stops and goes on."""

    __slots__ = ("_changed", "_error", "_over", "_pieces", "_unread")

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._changed = asyncio.Event()
        self._over = False
        self._error: Exception | None = None

    async def heard(self) -> None:
        """Return when some of it is here, or its end; raises what came instead."""
        while not self._pieces and not self._over:
            await self._wait()
        if self._error is not None and not self._pieces:
            raise self._error

    def data(self, data: bytes) -> None:
        """More of it."""
        self._pieces.append(data)
        self._unread += len(data)
        if self._unread > _UNREAD_BYTES_HIGH:
            self._pause()
        self._changed.set()

    def end(self) -> None:
        """It is whole. Nothing follows."""
        self._over = True
        self._changed.set()

    def lost(self, error: Exception) -> None:
        """There is none, or not all of it. Nothing follows."""
        self._error = error
        self._over = True
        self._changed.set()

    def _wait(self) -> Awaitable[object]:
        """For anything to happen."""
        self._changed.clear()
        return self._changed.wait()

    def _take(self) -> bytes:
        """All that is here, which is something."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if self._unread > _UNREAD_BYTES_HIGH:
            self._resume()
        self._unread = 0
        return data

    @abstractmethod
    def _pause(self) -> None:
        """Read no more for now."""

    @abstractmethod
    def _resume(self) -> None:
        """Read on."""
