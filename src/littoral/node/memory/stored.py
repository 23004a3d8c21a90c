"""Vector stores and the files that clients send for them, wired; see `web.stores.desk`."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from littoral.adapters.stores import Kept
from littoral.node.memory.contents import Contents
from littoral.node.memory.filing import Filing, Take
from littoral.node.memory.house import House
from littoral.node.memory.putting import Putting
from littoral.node.memory.shelf import Shelf
from littoral.node.memory.threads import Threads
from littoral.node.memory.uploads import Uploads
from littoral.node.memory.vector_stores import VectorStores
from littoral.terms.ids import KeyId, ModelName
from littoral.terms.ports import Clock
from littoral.terms.values import Caller

__all__ = ["StoreSettings", "Stored"]


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What an operator wants of vector stores."""

    embedding: ModelName
    """The model that makes vectors where nobody names another."""
    bytes_max: int
    """Of all files that clients send."""


class Stored:
    """All desks of vector stores, and what is done for them in the background."""

    def __init__(
        self,
        kept: Kept,
        house: House,
        clock: Clock,
        take: Take,
        threads: Threads,
        *,
        holder: Callable[[KeyId], Caller | None],
        settings: StoreSettings,
    ) -> None:
        """Do nothing yet.

        Args:
            kept: the home's books and bytes.
            house: has the collections.
            clock: for times and ids.
            take: makes passages of a file.
            threads: where disks are waited for.
            holder: who holds the key of this id, if it is still good.
            settings: what the operator wants.
        """
        owed = asyncio.Event()
        shelf = Shelf(house, kept, clock)
        house.forgotten.append(kept.stores.drop)
        putting = Putting(shelf, kept.uploads, owed.set)
        self.uploads = Uploads(
            kept, threads, clock, bytes_max=settings.bytes_max, forget=putting.forget
        )
        self.stores = VectorStores(shelf, putting, settings.embedding)
        self.files = putting
        self.batches = putting
        self.contents = Contents(shelf)
        self._filing = Filing(shelf, take, holder, self.uploads.sweep, owed)

    async def begin(self) -> None:
        """Tidy up after a PoP that was killed. Once, before the first request."""
        await self.uploads.begin()

    async def run(self) -> None:
        """Do what is owed, until cancelled."""
        await self._filing.run()
