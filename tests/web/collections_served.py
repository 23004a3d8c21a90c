"""A PoP with collections behind a real listener, for the own clients of Qdrant and Pinecone."""

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from qdrant_client import AsyncQdrantClient

from littoral.node.memory.house import House
from littoral.sim.collections import PaperCollections
from littoral.terms.collections import Collections
from littoral.web.app import App, Desks
from tests.node.memory.made import CountingDoor
from tests.web.fake_door import OPERATOR_KEY, FakeDoor, FakeStatus
from tests.web.raw import Served, serving

__all__ = ["pop", "qdrant"]


@asynccontextmanager
async def pop(collections: Collections | None = None) -> AsyncIterator[Served]:
    """A PoP; its collections are on paper, unless others are given."""
    house = House({"this": collections or PaperCollections()}, CountingDoor(), made_by="this")
    app = App(FakeDoor(), FakeStatus(), Desks(memory=house))
    async with serving(app.handler(), gate=app.gate()) as served:
        yield served
        assert not served.defects
    house.close()


def qdrant(
    served: Served, key: str = OPERATOR_KEY, *, cloud_inference: bool = False
) -> AsyncQdrantClient:
    """Qdrant's client of a PoP; it asks for no version, on a thread that nobody waits for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a key goes over plain HTTP, on the loopback
        return AsyncQdrantClient(
            url=served.server.url,
            api_key=key,
            check_compatibility=False,
            cloud_inference=cloud_inference,
        )
