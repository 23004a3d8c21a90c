"""A PoP's collections with all around them: copies, vector stores, and the tools of agents."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from littoral.adapters.stores import open_stores
from littoral.node.config import Config
from littoral.node.drive import owned_tasks
from littoral.node.memory.asked import Asked
from littoral.node.memory.contexts import Contexts
from littoral.node.memory.drivers import drivers_of
from littoral.node.memory.house import House
from littoral.node.memory.moving import Journal, hidden
from littoral.node.memory.offering import Offering
from littoral.node.memory.replication import Replication
from littoral.node.memory.segments import Mover
from littoral.node.memory.stored import Stored, StoreSettings
from littoral.node.memory.taking import Adding, FileTaking
from littoral.node.memory.threads import Threads
from littoral.node.parts import Parts
from littoral.terms.ids import model_name
from littoral.terms.ports import Door, Signer
from littoral.web.mcp import MemoryTools

__all__ = ["Furnished"]


class Furnished:
    """What clients of memory find in a PoP."""

    def __init__(
        self,
        config: Config,
        home: Path,
        door: Door,
        parts: Parts,
        mover: Mover,
        signer: Signer,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Open what the home has; nothing is done yet.

        Args:
            config: what its operator wants.
            home: where all is kept.
            door: embeds and answers.
            parts: of the PoP: its models, its keys, its clock.
            mover: of the PoP: has first copies of collections travel.
            signer: of this PoP.
            tasks: owns those that follow other PoPs' collections.

        Raises:
            HomeUnwritableError, DiskShortError, StoreError: the home can't be used.
            ConfigError, IdentityError, MissingExtraError: as `drivers_of`.
        """
        on_the_move = hidden(Journal(config.home).moves())
        embedding, entry_of = model_name(config.embedding_model), parts.host.entries.by_name.get
        self.house = House(
            drivers_of(config),
            door,
            made_by=config.memory_driver,
            hidden=on_the_move,
            embedding=embedding,
        )
        spawn = tasks.create_task
        self.replication = Replication(home, self.house, mover, signer, parts.clock, spawn)
        self._kept = open_stores(home)
        self._threads = Threads()
        self._taking = FileTaking(self._kept, self._threads, entry_of, parts.clock)
        self.stores = Stored(
            self._kept,
            self.house,
            parts.clock,
            self._taking,
            self._threads,
            holder=parts.keyring.holder,
            settings=StoreSettings(embedding, config.files_bytes_max),
        )
        self._placing: asyncio.Task[None] | None = None
        self.contexts = Contexts(self.house, self._kept.contexts, door, parts.keyring.holder)
        adding = Adding(self.house, self._threads, entry_of, embedding)
        self.tools = MemoryTools(self.house, adding, Asked(door))

    @property
    def desks(self) -> tuple[House, Offering, Stored, MemoryTools, Contexts]:
        """Who answers."""
        return self.house, self.replication.offering, self.stores, self.tools, self.contexts

    def draws_near(self) -> None:
        """The end of the PoP: no answer for a passage's sake is to hold it up."""
        if self._placing is not None:
            self._placing.cancel()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Do what is owed to collections while the context is open; then let go of everything."""
        try:
            await self.replication.following.open()
            await self.stores.begin()
            async with owned_tasks() as tasks:
                filing = tasks.create_task(self.stores.run(), name="vector stores")
                placing = tasks.create_task(self.contexts.run(), name="contexts of passages")
                sweeping = tasks.create_task(self.replication.sweep(), name="segments")
                self._placing = placing
                try:
                    yield
                finally:
                    filing.cancel()
                    placing.cancel()
                    sweeping.cancel()
        finally:
            # Once nothing waits for them any more: what is broken off is not said to be at fault.
            self.replication.part()
            self.replication.close()
            self._taking.close()
            self._threads.close()
            self.house.close()
            self.replication.following.close()
            self._kept.close()
