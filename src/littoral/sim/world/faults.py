"""What goes wrong in a world, and when: drawn once from the seed, mended by itself or at the rest.

Faults overlap as they like. `rest` ends all of them: links heal, PoPs are started, liars are
honest.
"""

from collections.abc import Callable, Sequence
from typing import Final

from littoral.sim.names import Weather
from littoral.sim.world.chance import Chance
from littoral.sim.world.liar import Liar
from littoral.sim.world.pop import Pop, Surroundings
from littoral.terms.values import SECOND

__all__ = ["Faults"]

_HEARD_S: Final = 0.3
_HOUR: Final = 3_600 * SECOND


class Faults:
    """See the module docstring."""

    def __init__(self, around: Surroundings, pops: Sequence[Pop], chance: Chance) -> None:
        """Nothing is wrong yet.

        Args:
            around: the world.
            pops: all that are in it.
            chance: for faults alone.
        """
        self.revoked: list[Pop] = []
        """As the owner has said so far."""
        self._around = around
        self._pops = pops
        self._chance = chance
        self._liar: Liar | None = None
        self._resting = False
        self._kinds: list[Callable[[], None]] = [
            self._cut, self._cut, self._deafen, self._deafen, self._part, self._lose,
            self._die, self._die, self._lose_power, self._kill_engine, self._kill_engine,
            self._fail_loads, self._slow, self._lag, self._drain, self._whisper, self._whisper,
            self._whisper, self._revoke, self._flap,
        ]  # fmt: skip

    def plan(self, count: int, begin_s: float, end_s: float) -> None:
        """So many faults, at any time between these, in seconds from now."""
        if self._chance.happens(0.6):
            pop = self._chance.one_of(self._pops)
            others = [other for other in self._pops if other is not pop]
            self._tell(f"{pop.host} is a liar")
            self._liar = Liar(self._around, pop, others, self._chance.of("liar"))
        for _ in range(count):
            kind = self._chance.one_of(self._kinds)
            self._after(self._chance.between(begin_s, end_s), kind)

    def rest(self) -> None:
        """No fault any more, and none to come."""
        self._tell("faults end")
        self._resting = True
        links = self._around.links
        links.cut.clear()
        links.loss = 0.0
        self._around.air.weather = Weather()
        links.lag.clear()
        links.changed()
        if self._liar is not None:
            self._liar.stop()
        for pop in self._pops:
            if pop.process is None:
                pop.start()
            elif pop.process.hearing.draining:
                self._restart(pop)
            assert pop.process is not None
            pop.process.house.slow(1.0)
            pop.process.house.load_fails = 0.0

    # --- links ---------------------------------------------------------------------------------

    def _cut(self) -> None:
        """Nothing passes between two PoPs."""
        one, other = self._two()
        self._cut_for({(one.host, other.host), (other.host, one.host)}, 0.3, 12.0)

    def _deafen(self) -> None:
        """Nothing passes in one direction."""
        one, other = self._two()
        self._cut_for({(one.host, other.host)}, 0.3, 12.0)

    def _flap(self) -> None:
        """A link goes and comes, for less than a lease each time."""
        one, other = self._two()
        both = {(one.host, other.host), (other.host, one.host)}
        for turn in range(4):
            self._after(1.5 * turn, lambda: self._cut_for(both, 0.1, 1.2))

    def _part(self) -> None:
        """The PoPs fall into two parts that can't talk."""
        part = {pop.host for pop in self._chance.some_of(self._pops, 1, len(self._pops) - 1)}
        rest = [pop.host for pop in self._pops if pop.host not in part]
        pairs = {(one, other) for one in part for other in rest}
        self._cut_for(pairs | {(other, one) for one, other in pairs}, 2.0, 15.0)

    def _lose(self) -> None:
        """All links lose some of what is sent, and carry letters twice."""
        links = self._around.links
        links.loss = self._chance.between(0.01, 0.3)
        self._around.air.weather = Weather(
            (0.001, 1.0), lost=links.loss, twice=self._chance.between(0.0, 0.5)
        )
        self._tell(f"links lose {links.loss:.2f}")

    def _lag(self) -> None:
        """One host looks late at all that comes."""
        pop = self._chance.one_of(self._pops)
        self._around.links.lag[pop.host] = self._chance.between(0.1, 2.0)
        self._tell(f"{pop.host} lags")

        def quick() -> None:
            self._around.links.lag.pop(pop.host, None)

        self._after(self._chance.between(1.0, 8.0), quick)

    def _cut_for(self, pairs: set[tuple[str, str]], least_s: float, most_s: float) -> None:
        links = self._around.links
        self._tell(f"cut {' '.join(f'{one}>{other}' for one, other in sorted(pairs))}")
        links.cut |= pairs
        links.changed()

        def heal() -> None:
            links.cut -= pairs
            self._tell(f"healed {' '.join(f'{one}>{other}' for one, other in sorted(pairs))}")
            links.changed()

        self._after(self._chance.between(least_s, most_s), heal)

    # --- PoPs ----------------------------------------------------------------------------------

    def _die(self) -> None:
        """A process dies, and is started again."""
        self._gone(self._chance.one_of(self._pops), host=False)

    def _lose_power(self) -> None:
        """A machine is gone, and comes back."""
        self._gone(self._chance.one_of(self._pops), host=True)

    def _gone(self, pop: Pop, *, host: bool) -> None:
        pop.crash(host=host)
        if self._chance.happens(0.2):
            pop.off = (pop.off[0], pop.off[1] - _HOUR)
            self._tell(f"the clock of {pop.host} is set back by an hour")
        self._after(self._chance.between(0.2, 10.0), lambda: self._back(pop))

    def _back(self, pop: Pop) -> None:
        if pop.process is None:
            pop.start()

    def _drain(self) -> None:
        """A PoP takes nothing new, and is started again after a while."""
        pop = self._chance.one_of(self._pops)
        if pop.process is not None:
            pop.process.drain()
            self._after(self._chance.between(1.0, 6.0), lambda: self._restart(pop))

    def _restart(self, pop: Pop) -> None:
        pop.crash(host=False)
        self._back(pop)

    def _revoke(self) -> None:
        """The owner takes back its word for a PoP, and says so to one of the others."""
        if self.revoked or len(self._pops) < 4:
            return
        pop, other = self._two()
        if other.process is not None:
            self._tell(f"{pop.host} is revoked")
            self.revoked.append(pop)
            word = self._around.notary.owner.revocation(pop.pop)
            other.process.hearing.revoke(pop.pop, word)
            # Requests that it has are lost to it just when others have heard.
            self._after(_HEARD_S, lambda: self._kill_engines(pop))

    def _whisper(self) -> None:
        """A liar, if there is one, says something that is not so."""
        if self._liar is not None:
            self._liar.whisper()

    # --- engines -------------------------------------------------------------------------------

    def _kill_engine(self) -> None:
        """The process of an engine dies."""
        pop = self._chance.one_of(self._pops)
        if pop.process is not None and pop.process.house.engines:
            engine = self._chance.one_of(list(pop.process.house.engines.values()))
            self._tell(f"{engine.name} dies")
            if self._chance.happens(0.25):
                engine.fail()
            else:
                engine.die()

    def _kill_engines(self, pop: Pop) -> None:
        if pop.process is not None:
            for engine in list(pop.process.house.engines.values()):
                engine.die()

    def _fail_loads(self) -> None:
        """Half of what a PoP loads can't be loaded."""
        pop = self._chance.one_of(self._pops)
        if pop.process is not None:
            self._tell(f"loads fail at {pop.host}")
            pop.process.house.load_fails = 0.5

    def _slow(self) -> None:
        """All that a PoP computes takes several times as long."""
        pop = self._chance.one_of(self._pops)
        if pop.process is not None:
            self._tell(f"{pop.host} is slow")
            pop.process.house.slow(self._chance.between(3.0, 30.0))

    # --- the same for all ----------------------------------------------------------------------

    def _two(self) -> list[Pop]:
        return self._chance.some_of(self._pops, 2, 2)

    def _after(self, seconds: float, do: Callable[[], None]) -> None:
        """Do this later, unless faults are over by then."""
        self._around.clock.after(seconds, lambda: None if self._resting else do())

    def _tell(self, what: str) -> None:
        self._around.story.tell("world", what)
