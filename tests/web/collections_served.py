"""A PoP with collections on paper behind a real listener, for Qdrant's own client."""

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from qdrant_client import AsyncQdrantClient

from littoral.node.memory.house import House
from littoral.sim.collections import PaperCollections
from littoral.web.app import App, Desks
from tests.node.memory.made import CountingDoor
from tests.web.fake_door import OPERATOR_KEY, FakeDoor, FakeStatus
from tests.web.raw import Served, serving

__all__ = ["client_of", "pop"]


@asynccontextmanager
async def pop() -> AsyncIterator[Served]:
    house = House({"paper": PaperCollections()}, CountingDoor(), made_by="paper")
    app = App(FakeDoor(), FakeStatus(), Desks(memory=house))
    async with serving(app.handler(), gate=app.gate()) as served:
        yield served
        assert not served.defects
    house.close()


def client_of(served: Served, key: str = OPERATOR_KEY) -> AsyncQdrantClient:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a key goes over plain HTTP, on the loopback
        return AsyncQdrantClient(url=served.server.url, api_key=key)
