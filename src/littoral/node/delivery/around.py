"""What all that is pulled by one mover stands on."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from littoral.adapters.moving.client import Client
from littoral.terms.ids import PopId, SiteName
from littoral.terms.ports import Clock

__all__ = ["Around"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Around:
    """What all groups of a mover share."""

    me: PopId
    site: Callable[[], SiteName]
    client: Callable[[], Client | None]
    """Asks others; there is none while this PoP is alone."""
    listens: Callable[[], bool]
    """Whether others can dial it."""
    threads: Executor
    """For what blocks: the origin, and the end of an artifact."""
    clock: Clock
    uplink: Callable[[], float | None]
    """Bytes in a second that this PoP can send in all, as measured."""

    async def blocking(self, call: Callable[[], T]) -> T:
        """What blocks, on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, call)
