"""Hardening tests run on the loop that the PoP runs on, and look at its log after each."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from tests.hardening.pops import HardPop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def clean_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test does to its PoP, the log of it holds no defect and no secret."""
    pop = request.getfixturevalue("pop") if "pop" in request.fixturenames else None
    yield
    if isinstance(pop, HardPop):
        pop.check_log()
