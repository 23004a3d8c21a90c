"""When the round trip to another PoP is measured, and how seldom while it stays as it is."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

from littoral.node.fabric.calls import Calls
from littoral.node.fabric.links import SPREAD_S, Links
from littoral.node.fabric.relaying import Relaying
from littoral.routing.fleet import Fleet, Known, PopState
from littoral.terms.errors import UpstreamFailedError
from littoral.terms.ids import PopId
from littoral.terms.limits import IDLE_WAIT_S, LINK_S, LINK_STEADY_S
from littoral.terms.values import SECOND, Instant
from littoral.trust.members import Member
from tests.fabric_made import Pop

HERE = PopId("pop-0000000000000001")


@dataclass
class World:
    """A clock that stands until somebody answers, and PoPs that take so long for it."""

    pops: int
    takes_s: dict[PopId, float] = field(default_factory=dict)
    """0.01 s where nothing is said; one that takes for ever does not answer."""
    passed_s: float = 0.0
    chance: bytes = b"\0\0"
    asked: list[tuple[PopId, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        every = [Pop(number + 1) for number in range(self.pops)]
        states = {each.id: PopState(each.id, 1, 1, url=f"https://{each.id}") for each in every}
        self.fleet = Fleet(
            {
                each.id: Known(Member.of_name(each.name()), states[each.id], Instant(0))
                for each in every
            }
        )
        self.links = Links(
            HERE, lambda: self.fleet, cast("Calls", self), cast("Relaying", None), self
        )

    def now(self) -> Instant:
        return Instant(int(self.passed_s * SECOND))

    def unix_ns(self) -> int:
        return self.now()

    def random_bytes(self, count: int) -> bytes:
        assert count == len(self.chance)
        return self.chance

    async def ask(self, name: str, *_: str) -> bytes:
        pop = Member.of_name(name).pop
        self.asked.append((pop, self.passed_s))
        takes_s = self.takes_s.get(pop, 0.01)
        if takes_s == float("inf"):
            raise UpstreamFailedError("it does not answer")
        self.passed_s += takes_s
        return b""

    async def pass_time(self, until_s: float) -> list[float]:
        """Measure each second until then; when somebody was asked."""
        self.asked.clear()
        while self.passed_s < until_s:
            await self.links.measure_once()
            self.passed_s += 1
        return [at_s for _, at_s in self.asked]


async def test_a_link_that_stays_as_it_is_is_measured_less_and_less() -> None:
    world = World(1)
    await world.pass_time(600)
    steady = await world.pass_time(1_200)
    pauses = [later - sooner for sooner, later in pairwise(steady)]
    assert all(LINK_STEADY_S <= pause <= LINK_STEADY_S + 2 for pause in pauses)
    assert LINK_STEADY_S < IDLE_WAIT_S, "else its connection would be closed between two"


async def test_a_link_that_has_moved_is_measured_often_until_it_is_known() -> None:
    world = World(1)
    (pop,) = world.fleet.pops
    await world.pass_time(600)
    world.takes_s[pop] = 0.1
    moved = await world.pass_time(700)
    assert len(moved) > 100 / LINK_STEADY_S + 2
    await world.pass_time(2_000)
    assert 0.08 < world.links.seconds[pop] <= 0.1


async def test_who_does_not_answer_has_no_time_and_is_asked_as_at_first() -> None:
    world = World(1)
    (pop,) = world.fleet.pops
    await world.pass_time(600)
    world.takes_s[pop] = float("inf")
    asked = await world.pass_time(700)
    assert pop not in world.links.seconds
    assert len(asked) > 100 / LINK_STEADY_S + 2
    del world.takes_s[pop]
    await world.pass_time(700 + LINK_S + 2)
    assert pop in world.links.seconds


async def test_newcomers_are_not_all_asked_at_once() -> None:
    world = World(24, chance=b"\xff\xff")
    asked = await world.pass_time(SPREAD_S * 24 + 3)
    assert len(asked) == 2 * 24
    assert min(asked) >= int(SPREAD_S * 24)
    sooner = World(24)
    assert min(await sooner.pass_time(1)) == 0
