"""A model that is not here: when a request brings it in, for whom, and what it hears meanwhile."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.models.catalogue import ECHO
from littoral.node.arrivals import Arrivals
from littoral.node.config import load_config
from littoral.node.delivery.on_request import OnRequest
from littoral.node.delivery.words import ArrivingSaid, FleetTold, MoverSaid, PeerTold
from littoral.routing.fleet import Delivery
from littoral.terms.delivery import PullShown, PullsShown, PullStage, PullWanted
from littoral.terms.errors import LoadingError, NotDeliveredError
from littoral.terms.ids import ArtifactId, KeyId, ModelName, OwnerId, PopId, SiteName, ZoneName
from littoral.terms.values import Caller, Hop, ModelEntry

NAME = ModelName("late")
ARTIFACT = ArtifactId("blake3:" + "7" * 64)
OPERATOR = Caller(KeyId("k1"), "op", operator=True, models=(NAME,))
ANYBODY = Caller(KeyId("k2"), "any")
BOUND = Caller(KeyId("k3"), "bound", models=(NAME,))
ELSEWHERE = Caller(KeyId("k4"), "else", models=(ModelName("other"),))


class World:
    """An office and entries: what is pulled is here after so many looks."""

    def __init__(self, *, offered: bool = True, looks: int = 2, error: str = "") -> None:
        self.by_name: Mapping[ModelName, ModelEntry] = {}
        self.runs = False
        self.begun: list[PullWanted] = []
        self._offered = offered
        self._looks = looks
        self._error = error
        self._pull: PullShown | None = None
        self.entries = self
        self.arrivals = Arrivals()

    def rescan(self) -> None:
        pass

    def offered(self, model: ModelName) -> ArtifactId | None:
        return ARTIFACT if self._offered and model == NAME else None

    async def pull(self, wanted: PullWanted) -> PullShown:
        self.begun.append(wanted)
        return self.under_way()

    def under_way(self) -> PullShown:
        self.runs = True
        self._pull = PullShown(
            "p1",
            ARTIFACT,
            PullStage.FETCHING,
            size_bytes=100,
            here_bytes=43,
            left_s=9.0,
            model=NAME,
        )
        return self._pull

    async def pulls(self) -> PullsShown:
        return PullsShown(() if self._pull is None else (self._pull,))

    async def pulled(self, _: str) -> PullShown:
        assert self._pull is not None
        self._looks -= 1
        if self._looks == 0:
            if self._error:
                return PullShown("p1", ARTIFACT, PullStage.FAILED, error=self._error, advice="look")
            self.by_name = {NAME: replace(ECHO, name=NAME)}
        return self._pull

    async def ask(self, caller: Caller, **settings: Any) -> None:
        config = replace(load_config({}, {}), **settings)
        made = OnRequest(self, self, SystemClock(), config)  # type: ignore[arg-type]  # both
        await made.bring(NAME, caller)


@pytest.mark.parametrize("caller", [OPERATOR, ANYBODY])
async def test_it_is_brought_in_for_who_may_decide_that(caller: Caller) -> None:
    world = World()
    await world.ask(caller)
    assert world.begun == [PullWanted(ARTIFACT, NAME)]
    assert NAME in world.by_name


@pytest.mark.parametrize(
    "caller",
    [BOUND, ELSEWHERE, replace(ANYBODY, hop=Hop(()))],
    ids=["bound", "may not use it", "of another PoP"],
)
async def test_for_nobody_else(caller: Caller) -> None:
    world = World()
    await world.ask(caller)
    assert not world.begun


async def test_nor_where_that_is_off_or_nobody_of_the_owner_has_it() -> None:
    world = World()
    await world.ask(OPERATOR, pull_on_request=False)
    assert not world.begun
    world = World(offered=False)
    await world.ask(OPERATOR)
    assert not world.begun


async def test_who_may_use_it_waits_for_a_pull_that_is_under_way() -> None:
    world = World()
    world.under_way()
    await world.ask(BOUND, pull_on_request=False)
    assert not world.begun
    assert NAME in world.by_name


async def test_the_wait_ends_with_how_far_it_is() -> None:
    with pytest.raises(LoadingError, match="fetching") as caught:
        await World().ask(ANYBODY, load_wait_s=0.0)
    progress = caught.value.details["loading"]
    assert isinstance(progress, dict)
    assert (progress["fraction"], progress["eta_s"]) == (0.43, 9.0)


async def test_a_pull_that_fails_says_why() -> None:
    with pytest.raises(NotDeliveredError, match="late did not arrive: the origin: 404"):
        await World(error="the origin: 404").ask(ANYBODY)


@pytest.mark.parametrize(("own", "whole"), [(True, True), (True, False), (False, True)])
def test_what_a_name_means_is_said_by_who_has_it_all_and_is_of_the_owner(
    own: bool, whole: bool
) -> None:
    rows = tuple(
        Delivery(bytes.fromhex(digit * 64), b"12345678", whole, 100, model)
        for digit, model in (("5", "other"), ("7", NAME))
    )
    peer = PeerTold(PopId("pop-1"), OwnerId("own-1"), own, ZoneName("z"), SiteName("s"), "", rows)
    told = FleetTold(SiteName("s"), (peer,))
    assert told.offered(NAME) == (ARTIFACT if own and whole else None)
    assert told.offered(ModelName("third")) is None


async def test_a_model_that_did_not_come_is_waited_for_where_it_is_pulled_again() -> None:
    world = World(looks=-1)
    failed = ArrivingSaid("p0", replace(ECHO, name=NAME, arriving=True), "it broke off")
    world.by_name = {NAME: failed.entry}
    world.arrivals.told(MoverSaid(1, "", (), 0, arriving=(failed,)))
    world.runs = True
    await world.ask(BOUND)
    world.under_way()
    with pytest.raises(LoadingError):
        await world.ask(BOUND, load_wait_s=0.0)
