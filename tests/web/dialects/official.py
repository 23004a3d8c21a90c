"""A PoP's whole web side, as official clients see it, in front of a fake door."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from littoral.web.app import App
from tests.web.dialects.desk import DeskDoor, door_saying
from tests.web.fake_door import FakeStatus
from tests.web.raw import serving


@asynccontextmanager
async def front(door: DeskDoor) -> AsyncIterator[str]:
    """The address of a server in front of the door. No handler may break."""
    async with serving(App(door, FakeStatus()).handler()) as served:
        yield f"http://{served.host}:{served.port}"
        assert not served.defects


@asynccontextmanager
async def front_saying(chunks: Sequence[bytes]) -> AsyncIterator[str]:
    async with front(door_saying(*chunks)) as url:
        yield url
