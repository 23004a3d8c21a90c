"""Vector stores and the files that clients send for them, wired; see `web.stores.desk`."""

import asyncio
from collections.abc import Callable

from littoral.adapters.stores import Kept
from littoral.node.memory.contents import Contents
from littoral.node.memory.filing import Filing, Take
from littoral.node.memory.putting import Putting
from littoral.node.memory.shelf import Shelf
from littoral.node.memory.threads import Threads
from littoral.node.memory.uploads import Uploads
from littoral.node.memory.vector_stores import VectorStores
from littoral.terms.collections import Memory
from littoral.terms.ids import KeyId, ModelName
from littoral.terms.ports import Clock
from littoral.terms.values import Caller

__all__ = ["Stored"]


class Stored:
    """All desks of vector stores, and what is done for them in the background."""

    def __init__(
        self,
        kept: Kept,
        memory: Memory,
        clock: Clock,
        take: Take,
        *,
        holder: Callable[[KeyId], Caller | None],
        embedding: ModelName,
        bytes_max: int,
    ) -> None:
        """Do nothing yet.

        Args:
            kept: the home's books and bytes.
            memory: has the collections.
            clock: for times and ids.
            take: makes passages of a file.
            holder: who holds the key of this id, if it is still good.
            embedding: the model that makes vectors where nobody names another.
            bytes_max: of all files that clients send.
        """
        owed = asyncio.Event()
        self._threads = Threads()
        shelf = Shelf(memory, kept, clock)
        putting = Putting(shelf, kept.uploads, owed.set)
        self.uploads = Uploads(
            kept, self._threads, clock, bytes_max=bytes_max, forget=putting.forget
        )
        self.stores = VectorStores(shelf, putting, embedding)
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

    def close(self) -> None:
        """End the threads."""
        self._threads.close()
