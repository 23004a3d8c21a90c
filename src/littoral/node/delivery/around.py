"""What all that is pulled by one mover stands on."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakValueDictionary

from littoral.adapters.moving.client import Client
from littoral.node.delivery.rates import Rates
from littoral.terms.ids import PopId, SiteName
from littoral.terms.ports import Clock

__all__ = ["Around", "Turns"]

T = TypeVar("T")


class Turns:
    """Has pulls of one and the same thing, however they call it, go one after the other."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, name: str) -> asyncio.Lock:
        """What a pull holds that is at it."""
        return self._locks.setdefault(name, asyncio.Lock())


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
    rates: Rates
    """At which others have given."""

    async def blocking(self, call: Callable[[], T]) -> T:
        """What blocks, on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, call)
