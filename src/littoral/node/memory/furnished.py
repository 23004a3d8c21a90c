"""A PoP's collections with all that is before them: vector stores, and the tools of agents."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from littoral.adapters.stores import open_stores
from littoral.node.config import Config
from littoral.node.host import ModelHost
from littoral.node.keyring import Keyring
from littoral.node.memory.house import House, house_in
from littoral.node.memory.stored import Stored, StoreSettings
from littoral.node.memory.taking import Adding, FileTaking
from littoral.node.memory.threads import Threads
from littoral.terms.ids import model_name
from littoral.terms.ports import Clock, Door
from littoral.web.mcp import MemoryTools

__all__ = ["Furnished"]


class Furnished:
    """What clients of memory find in a PoP."""

    def __init__(
        self,
        config: Config,
        home: Path,
        door: Door,
        host: ModelHost,
        keyring: Keyring,
        clock: Clock,
    ) -> None:
        """Open what the home has; nothing is done yet.

        Args:
            config: what its operator wants.
            home: where all is kept.
            door: embeds and answers.
            host: knows the models.
            keyring: knows whose work may be done.
            clock: for times and ids.

        Raises:
            HomeUnwritableError, DiskShortError, StoreError: the home can't be used.
        """
        self.house = house_in(home, door)
        self._kept = open_stores(home)
        self._threads = Threads()
        embedding, entry_of = model_name(config.embedding_model), host.entries.by_name.get
        self._taking = FileTaking(self._kept, self._threads, entry_of)
        self.stores = Stored(
            self._kept,
            self.house,
            clock,
            self._taking,
            self._threads,
            holder=keyring.holder,
            settings=StoreSettings(embedding, config.files_bytes_max),
        )
        adding = Adding(self.house, self._threads, entry_of, embedding)
        self.tools = MemoryTools(self.house, adding)

    @property
    def desks(self) -> tuple[House, Stored, MemoryTools]:
        """Who answers."""
        return self.house, self.stores, self.tools

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Do what is owed to vector stores while the context is open; then let go of everything."""
        try:
            await self.stores.begin()
            async with asyncio.TaskGroup() as tasks:
                work = tasks.create_task(self.stores.run(), name="vector stores")
                try:
                    yield
                finally:
                    self._taking.close()
                    work.cancel()
        finally:
            self._threads.close()
            self.house.close()
            self._kept.close()
