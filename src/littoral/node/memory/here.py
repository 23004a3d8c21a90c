"""All of one PoP's memory: its collections, and the copies between it and others."""

import asyncio
from pathlib import Path

from littoral.adapters.memory.embedded import open_collections
from littoral.node.memory.house import House
from littoral.node.memory.offering import Offering
from littoral.node.memory.replication import Replication
from littoral.terms.ports import Clock, Door, Signer

__all__ = ["MemoryHere"]


class MemoryHere:
    """What a PoP keeps in its home, and does with it."""

    def __init__(
        self,
        home: Path,
        door: Door,
        signer: Signer,
        clock: Clock,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Open nothing yet.

        Args:
            home: state directory.
            door: embeds texts.
            signer: of this PoP.
            clock: for when.
            tasks: owns the tasks that follow other PoPs' collections.

        Raises:
            HomeUnwritableError, StoreError: what is kept can't be used.
        """
        self.house = House({"embedded": open_collections(home)}, door, made_by="embedded")
        self.replication = Replication(home, self.house, signer, clock, tasks.create_task)

    @property
    def desks(self) -> tuple[House, Offering]:
        """Who answers what is asked of it."""
        return self.house, self.replication.offering

    async def open(self) -> None:
        """Answer with what was followed before."""
        await self.replication.following.open()

    def close(self) -> None:
        """Let go of everything, once what is under way has ended."""
        self.replication.part()
        self.house.close()
        self.replication.following.close()
