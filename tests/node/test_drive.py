"""The driver: effects in order, re-entrant posts, and timers that follow the machine's deadline."""

import asyncio
from collections.abc import Sequence

from littoral.adapters.clock import SystemClock
from littoral.node.drive import Driver, pump
from littoral.terms.values import Instant


class Countdown:
    """Says each number it hears; wants to hear of the time once it heard `arm`."""

    def __init__(self) -> None:
        self.armed: Instant | None = None
        self.heard: list[str] = []

    def step(self, event: str, now: Instant) -> Sequence[str]:
        self.heard.append(event)
        if event == "arm":
            self.armed = Instant(now + 1_000_000)
        if event == "tick":
            self.armed = None
        return [f"{event}!"]

    def deadline(self) -> Instant | None:
        return self.armed

    @property
    def done(self) -> bool:
        return False

    def check(self) -> None:
        pass


async def test_an_event_posted_from_an_effect_is_taken_after_the_ones_before_it() -> None:
    machine, performed = Countdown(), list[str]()

    def perform(effect: str) -> None:
        performed.append(effect)
        if effect == "first!":
            driver.post("second")
            performed.append("still first")

    driver: Driver[str, str] = Driver(machine, perform, tick="tick", clock=SystemClock())
    driver.post("first")
    assert performed == ["first!", "still first", "second!"]


async def test_the_machine_hears_of_the_time_at_its_deadline_and_only_then() -> None:
    machine, ticked = Countdown(), asyncio.Event()

    def perform(effect: str) -> None:
        if effect == "tick!":
            ticked.set()

    driver: Driver[str, str] = Driver(machine, perform, tick="tick", clock=SystemClock())
    driver.post("arm")
    async with asyncio.timeout(5):
        await ticked.wait()
    assert machine.heard == ["arm", "tick"]


async def test_a_closed_driver_has_no_timer_left() -> None:
    machine = Countdown()
    driver: Driver[str, str] = Driver(machine, lambda _: None, tick="tick", clock=SystemClock())
    driver.post("arm")
    driver.close()
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, done.set)
    await done.wait()
    assert machine.heard == ["arm"]


async def test_pump_feeds_what_effects_yield_back_until_nothing_is_left() -> None:
    machine = Countdown()

    async def perform(effect: str) -> str | None:
        return {"one!": "two", "two!": "three"}.get(effect)

    await pump(machine, "one", perform, SystemClock())
    assert machine.heard == ["one", "two", "three"]
