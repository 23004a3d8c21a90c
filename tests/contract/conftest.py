"""Contract tests run on the loop that the PoP runs on; tests/adapters runs on asyncio's own."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from tests.stores import Milvus, Postgres


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The one loop of this folder's tests."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def starting() -> Iterator[Milvus]:
    """Milvus, begun when the first store is asked for, so that nobody waits for it idly."""
    milvus = Milvus()
    yield milvus
    milvus.close()


@pytest.fixture(scope="session")
def postgres(starting: Milvus) -> Iterator[Postgres]:
    """A real Postgres with pgvector."""
    running = Postgres()
    yield running
    running.close()


@pytest.fixture(scope="session")
def milvus(starting: Milvus) -> str:
    """The address of a real Milvus."""
    return starting.address
