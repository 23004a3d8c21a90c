"""Movers of one owner, on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from littoral.adapters.owner import Owner
from tests.adapters.moving.made import Mover, a_pop, acquainted, an_owner, now


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return an_owner(tmp_path / "owner")


@pytest.fixture
async def pair(tmp_path: Path, owner: Owner) -> AsyncIterator[tuple[Mover, Mover]]:
    one, two = (Mover(a_pop(tmp_path / f"pop{number}", owner, number), now()) for number in (1, 2))
    acquainted(one, two)
    for each in (one, two):
        each.listen()
    yield one, two
    for each in (one, two):
        each.close()
