"""What a process on one host stands on: its own clock, its chance, and plans that end with it."""

from collections.abc import Callable

from littoral.sim.clock import Act, VirtualClock
from littoral.sim.world.chance import Chance
from littoral.sim.world.story import Story
from littoral.terms.values import Instant

__all__ = ["Ground"]


class Ground:
    """One life of one process. Its clock is off by as much as its host's."""

    __slots__ = ("_clock", "_off", "_story", "_there", "chance", "host", "life")

    def __init__(
        self,
        host: str,
        life: int,
        clock: VirtualClock,
        chance: Chance,
        story: Story,
        off: tuple[int, int],
    ) -> None:
        """Begin to live.

        Args:
            host: its name.
            life: which process this is on it, from 1.
            clock: the world's.
            chance: its own.
            story: the world's.
            off: nanoseconds that its monotonic clock and its wall clock are ahead of the world's.
        """
        self.host = host
        self.life = life
        self.chance = chance
        self._clock = clock
        self._story = story
        self._off = off
        self._there = True

    def now(self) -> Instant:
        """By its own monotonic clock."""
        return Instant(self._clock.now() + self._off[0])

    def unix_ns(self) -> int:
        """By its own wall clock."""
        return self._clock.unix_ns() + self._off[1]

    def at(self, moment: int, do: Callable[[], None]) -> Act:
        """Do this at a moment of its own clock, if it is still there."""
        return self._clock.at(moment - self._off[0], lambda: do() if self._there else None)

    def after(self, seconds: float, do: Callable[[], None]) -> Act:
        """Do this in so many seconds, if it is still there."""
        return self._clock.after(seconds, lambda: do() if self._there else None)

    def every(self, seconds: float, do: Callable[[], None]) -> None:
        """Do this again and again, about so often."""

        def again() -> None:
            do()
            self.after(seconds * self.chance.between(0.9, 1.1), again)

        self.after(seconds * self.chance.between(0.1, 1.0), again)

    def tell(self, what: str) -> None:
        """For the story of the world."""
        self._story.tell(self.host, what)

    def end(self) -> None:
        """It is no more, and with it all that it had planned."""
        self._there = False
