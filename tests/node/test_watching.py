"""A running PoP sees what commands change in its catalogue, though nobody asks it anything."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.models import Catalogue
from littoral.node.drive import owned_tasks
from littoral.node.entries import watch
from littoral.node.host import HostSettings, ModelHost
from littoral.placement.words import PoolBounds
from littoral.terms.ids import ModelName
from littoral.terms.ports import Engine
from littoral.terms.values import EngineKind, Kind, ModelEntry

NAME = ModelName("later")


def no_engine(_: ModelEntry) -> Engine:
    raise AssertionError("nobody asks for a model here")


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[ModelHost]:
    async with owned_tasks() as tasks:
        made = ModelHost(
            Catalogue(tmp_path),
            no_engine,
            HostSettings(PoolBounds(2**30, 4, 10**9), frozenset(), 64, 1, lambda: 2**30),
            clock=SystemClock(),
            observe=lambda _: None,
            tasks=tasks,
        )
        watching = tasks.create_task(watch(made.entries.rescan))
        yield made
        watching.cancel()
        made.close()


async def test_a_model_added_by_a_command_is_seen_without_a_request(
    host: ModelHost, tmp_path: Path
) -> None:
    assert NAME not in [status.entry.name for status in host.statuses()]
    entry = ModelEntry(NAME, EngineKind.ECHO, (Kind.CHAT,), 64)
    with Catalogue(tmp_path).adding(NAME, resumable=False, progress=lambda *_: None) as staging:
        staging.commit(entry)
    async with asyncio.timeout(10):
        while NAME not in [status.entry.name for status in host.statuses()]:
            await asyncio.sleep(0.01)
