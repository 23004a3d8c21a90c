"""A machine whose clock is an hour off: it is told so, nothing is believed, and it heals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from littoral.adapters.owner import FabricFiles
from tests.faults.conftest import Measured
from tests.faults.network import UNAVAILABLE, network
from tests.faults.pops import Fabric, fabric, until

pytestmark = pytest.mark.skipif(bool(UNAVAILABLE), reason=UNAVAILABLE)

HOUR_S: Final = 3_660
LIMITS: Final = {"FLEET_CHECK_S": 0.5, "RENEW_RETRY_S": 0.5}


class Wrong:
    """A machine with a clock that can be set."""

    def __init__(self, folder: Path) -> None:
        self._ahead_s = folder / "ahead"
        self.set(0)
        self.world: dict[str, float | str] = {**LIMITS, "clock": str(self._ahead_s)}

    def set(self, ahead_s: int) -> None:
        """From now on it is so much ahead; less than 0 is behind."""
        draft = self._ahead_s.with_suffix(".new")
        draft.write_text(str(ahead_s))
        draft.replace(self._ahead_s)


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Wrong:
    return Wrong(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def pops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """A PoP whose clock is right; nobody else yet."""
    with (
        network("right", "wrong") as hosts,
        fabric(tmp_path_factory.mktemp("clocks"), hosts) as made,
    ):
        made.found("right", models=("far",), strangely=LIMITS)
        yield made


@pytest.fixture(scope="module")
def ticket(pops: Fabric) -> str:
    return pops["right"].invite(issuer=False)


@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S])
def test_one_with_a_wrong_clock_does_not_join_and_is_told_why(
    pops: Fabric, clock: Wrong, ticket: str, ahead_s: int
) -> None:
    clock.set(ahead_s)
    joining = pops.start("wrong", "join", ticket, strangely=clock.world)
    status, words = joining.gave_up()
    assert status != 0
    assert "clock" in words
    assert not FabricFiles(joining.home).shown()


def test_once_its_clock_is_right_it_joins_by_the_same_ticket(
    pops: Fabric, clock: Wrong, ticket: str
) -> None:
    clock.set(0)
    pops.start("wrong", "join", ticket, strangely=clock.world).ready()
    pops.settled()


@pytest.mark.parametrize(
    ("ahead_s", "why", "unrenewed"),
    [
        (HOUR_S, "its certificate has run out, by this machine's clock", "ahead of"),
        (-HOUR_S, "its certificate is of the future: is a clock wrong?", ""),
    ],
)
def test_a_clock_that_goes_wrong_makes_it_believe_nobody_until_it_is_right(
    pops: Fabric, clock: Wrong, measured: Measured, ahead_s: int, why: str, unrenewed: str
) -> None:
    right, wrong = pops["right"], pops["wrong"]
    assert wrong.chat()[0] == 200
    for pop in (right, wrong):
        pop.forget()
    before = FabricFiles(wrong.home).shown()
    clock.set(ahead_s)
    until(lambda: not wrong.reaches(right))
    wrong.until_said(right.id, why)
    assert wrong.chat()[0] != 200, "the only PoP that has the model is not believed"
    assert wrong.chat(model="echo")[0] == 200, "its own clients are served"
    if unrenewed:
        wrong.until_said("can't be renewed", "this machine's clock is", unrenewed)
    assert FabricFiles(wrong.home).shown() == before
    assert right.reaches(wrong)
    clock.set(0)
    back_s = until(lambda: wrong.reaches(right) and right.reaches(wrong))
    measured("back", back_s)
    until(lambda: wrong.chat()[0] == 200, what="it asks again")
