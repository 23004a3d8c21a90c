"""What is asked of a mover: by operators, through the routes of a PoP, and by the PoP itself."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TypeVar

import msgspec

from littoral.node.asking import PopClient
from littoral.node.delivery.words import SEGMENTS, SegmentsDropped, SegmentsKept, SegmentsMade
from littoral.terms.delivery import (
    ArtifactRow,
    Freed,
    ListingShown,
    ListingWanted,
    Nothing,
    PinWanted,
    PlanShown,
    PullShown,
    PullsShown,
    PullWanted,
    StoreShown,
    Verified,
)
from littoral.terms.ids import ArtifactId
from littoral.terms.pipelines import PipelineRow, PipelineShown, PipelinesShown, PipelineWanted
from littoral.web.delivery import DELIVERY

__all__ = ["MoverDesk"]

T = TypeVar("T")


class MoverDesk(ABC):
    """See web.delivery.DeliveryDesk and PipelineDesk. Whatever is asked starts the mover."""

    def __init__(self, client: PopClient) -> None:
        """Ask nothing yet; the client talks to the mover, once it runs."""
        self._client = client

    @abstractmethod
    async def start(self) -> None:
        """See that the mover runs.

        Raises:
            EngineStartError: it can't be started.
        """

    # --- what operators ask ---------------------------------------------------------------------

    async def pull(self, wanted: PullWanted) -> PullShown:
        """Begin a pull, or join the one that is under way."""
        return await self._post("pulls", wanted, PullShown)

    async def pulls(self) -> PullsShown:
        """All that are under way, and the last that ended."""
        return await self._get("pulls", PullsShown)

    async def pulled(self, name: str) -> PullShown:
        """One pull, as it is now."""
        return await self._get(f"pulls/{name}", PullShown)

    async def cancel(self, name: str) -> PullShown:
        """End a pull; what has come is kept for the next."""
        await self.start()
        return await self._client.delete(f"{DELIVERY}/pulls/{name}", PullShown)

    async def plan(self, wanted: PullWanted) -> PlanShown:
        """What a pull would fetch from where."""
        return await self._post("plan", wanted, PlanShown)

    async def listing(self, wanted: ListingWanted) -> ListingShown:
        """What a reference means at its origin."""
        return await self._post("listing", wanted, ListingShown)

    async def store(self) -> StoreShown:
        """What is here."""
        return await self._get("store", StoreShown)

    async def pin(self, wanted: PinWanted) -> ArtifactRow:
        """Keep an artifact, or let it go when room is needed."""
        return await self._post("pins", wanted, ArtifactRow)

    async def verify(self) -> Verified:
        """Hash every byte again; what is rotten is dropped."""
        return await self._post("verify", Nothing(), Verified)

    async def collect(self) -> Freed:
        """Remove what nothing needs."""
        return await self._post("gc", Nothing(), Freed)

    async def define(self, wanted: PipelineWanted) -> PipelineRow:
        """Sign a pipeline and keep it."""
        return await self._post("pipelines", wanted, PipelineRow)

    async def pipelines(self) -> PipelinesShown:
        """All that are here."""
        return await self._get("pipelines", PipelinesShown)

    async def pipeline(self, name: str) -> PipelineShown:
        """One, by its name or its artifact's."""
        return await self._get(f"pipelines/{name}", PipelineShown)

    # --- what the PoP itself asks ---------------------------------------------------------------

    async def keep(self, folder: Path, reference: str) -> ArtifactId:
        """Have the files of a folder kept as an artifact; they are taken away from there."""
        made = SegmentsMade(str(folder), reference)
        await self.start()
        return (await self._client.post(SEGMENTS, made, SegmentsKept)).artifact

    async def drop(self, artifact: ArtifactId) -> bool:
        """Have segments dropped; False where somebody still holds them."""
        await self.start()
        return (await self._client.delete(f"{SEGMENTS}/{artifact}", SegmentsDropped)).gone

    async def _get(self, path: str, kind: type[T]) -> T:
        await self.start()
        return await self._client.get(f"{DELIVERY}/{path}", kind)

    async def _post(self, path: str, what: msgspec.Struct, kind: type[T]) -> T:
        await self.start()
        return await self._client.post(f"{DELIVERY}/{path}", what, kind)
