"""Contract tests run on the loop that the PoP runs on; tests/adapters runs on asyncio's own."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The one loop of this folder's tests."""
    return {"uvloop": uvloop.new_event_loop}
