"""Two hundred worlds in which much goes wrong, and all that must hold in them does.

docs/worlds.md says what is simulated and what is checked. One seed alone:
`python -m pytest tests/worlds -k "seed-123]"`, or with its story `python -m tests.worlds 123`.
"""

import pytest

from tests.worlds.lived import lived
from tests.worlds.once_failed import ONCE_FAILED

SEEDS = range(200)


@pytest.mark.parametrize("seed", SEEDS, ids="seed-{}".format)
def test_all_that_must_hold_does_in_the_world_of(seed: int) -> None:
    lived(seed)


@pytest.mark.parametrize("seed", ONCE_FAILED, ids="seed-{}".format)
def test_what_once_failed_holds_in_the_world_of(seed: int) -> None:
    lived(seed)
