"""What fault tests measure."""

from collections.abc import Callable

import pytest

Measured = Callable[[str, float], None]


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Notes how many seconds something took, for the report that `--junitxml` writes."""

    def note(what: str, seconds: float) -> None:
        request.node.user_properties.append((what, f"{seconds:.3f} s"))

    return note
