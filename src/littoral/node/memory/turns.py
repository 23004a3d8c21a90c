"""Whose turn it is to write to a collection: labels do not come while others write unawares.

A change is looked at for what its caller may not see, and then made. Were labels to come in
between, it would be made to what has them, too. So a change that brings labels is made alone, and
those of callers who may not see everything together, none of them meanwhile. What is neither (an
operator's, without labels) needs no turn.

A turn ends when the change is made or will never be: a client that leaves does not end it.
"""

import asyncio
from collections.abc import Callable

__all__ = ["Turns"]


class Turns:
    """Of one collection. Each turn is given back by calling what it gives, once."""

    def __init__(self) -> None:
        """Nobody has one."""
        self._next = asyncio.Lock()
        self._together = 0
        self._none = asyncio.Event()
        self._none.set()

    async def together(self) -> Callable[[], None]:
        """Wait until nobody is alone, or wants to be."""
        async with self._next:
            self._together += 1
            self._none.clear()
        return self._leave

    async def alone(self) -> Callable[[], None]:
        """Wait until nobody else has a turn."""
        await self._next.acquire()
        try:
            await self._none.wait()
        except BaseException:
            self._next.release()
            raise
        return self._next.release

    def _leave(self) -> None:
        self._together -= 1
        if not self._together:
            self._none.set()
