"""What the tests of origins share."""

from collections.abc import Iterator

import pytest

from littoral.adapters.origins.asking import Asker, Patience
from tests.adapters.models.hub_server import HubServers, running_hub


@pytest.fixture
def asker() -> Iterator[Asker]:
    """One whose connections are closed at the end."""
    made = Asker(Patience())
    yield made
    made.close()


@pytest.fixture
def servers() -> Iterator[HubServers]:
    """A hub of this test's own."""
    with running_hub() as running:
        yield running
