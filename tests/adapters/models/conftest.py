"""What the model tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from littoral.adapters.models import Catalogue
from tests.adapters.models.hub_server import HubServers, running_hub


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """An empty catalogue in a home of its own."""
    return Catalogue(tmp_path / "home" / "models")


@pytest.fixture
def servers() -> Iterator[HubServers]:
    """A hub of this test's own."""
    with running_hub() as running:
        yield running


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip looks in, and nowhere else: an index of this test's own."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def ignore(_stage: str, _done: int, _total: int | None) -> None:
    """Progress that a test does not look at."""
