"""What tests of segments and of copies have in common."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from littoral.node.memory import offering, segmenting
from tests.adapters.owner.made import SetClock
from tests.node.memory.segments_made import Home, Pair, Replica


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """It stands; and parts are small, so that there are many."""
    for each in (segmenting, offering):
        monkeypatch.setattr(each, "CHANGES_BYTES", 2_000)
    return SetClock()


@pytest.fixture
async def pair(tmp_path: Path, clock: SetClock) -> AsyncIterator[Pair]:
    """A home of one collection, and a replica that has nothing of it yet."""
    home = Home(tmp_path / "home", clock)
    replica = Replica(tmp_path / "replica", home, clock)
    yield home, replica
    replica.close()
    home.close()
