"""An engine of one model on one PoP, simulated: it loads, reads a prompt, writes tokens, dies.

Each token says which engine made it, in which life, for which call, and its number: whoever reads
the answer can tell a token that comes twice, too late, or from somebody else.

It checks its own side of what the pool promises: never more at work than it has slots for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from littoral.sim.clock import Act, VirtualClock
from littoral.sim.world.broken import BrokenError
from littoral.sim.world.chance import Chance
from littoral.sim.world.says import Token
from littoral.terms.errors import EngineLostError, EngineStartError
from littoral.terms.values import (
    Down,
    EngineInfo,
    EngineKind,
    EngineState,
    Finish,
    Ready,
    Starting,
    Usage,
)

__all__ = ["Engine", "Speed", "Work"]

_STOPS: Final = 0.05
"""Seconds from the word to end it until its memory is free."""
_RESTARTS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Speed:
    """What one engine can do."""

    slots: int
    kv_tokens: int
    prefill_tps: float
    decode_tps: float
    load_s: float


@dataclass(slots=True)
class Work:
    """One call at an engine, and who hears of it."""

    prompt_tokens: int
    answer_tokens: int
    slots: int
    token: Callable[[Token], None]
    ended: Callable[[Usage, Finish], None]
    lost: Callable[[EngineLostError, Usage], None]
    number: int = 0
    made: int = 0
    next: Act | None = None

    @property
    def usage(self) -> Usage:
        """So far."""
        return Usage(self.prompt_tokens, self.made)


class Engine:
    """See the module docstring. `report` and `gone` go to the pool."""

    def __init__(
        self,
        name: str,
        speed: Speed,
        clock: VirtualClock,
        chance: Chance,
        report: Callable[[EngineState], None],
        gone: Callable[[], None],
    ) -> None:
        """Begin to load.

        Args:
            name: of this engine; no other one has it, before or after.
            speed: what it can do.
            clock: the world's.
            chance: for how long things take.
            report: takes every change of its state.
            gone: told once, when it has ended.
        """
        self.name = name
        self.speed = speed
        self._slower = 1.0
        self._clock = clock
        self._chance = chance
        self._report = report
        self._gone = gone
        self._calls = 0
        self._life = 1
        self._works: list[Work] = []
        self._next: Act | None = None
        self._ended = self._loading = False
        self.load()

    @property
    def at_work(self) -> int:
        """Calls that it works on."""
        return len(self._works)

    def load(self, *, fails: bool = False) -> None:
        """Be ready in a while; or, with `fails`, give up."""
        self._call_off()
        self._loading = True
        self._report(Starting("loading"))
        after = self.speed.load_s * self._slower * self._chance.between(0.8, 1.2)
        self._next = self._clock.after(after, self._give_up if fails else self._ready)

    def slow(self, factor: float) -> None:
        """Everything takes so many times as long as usual; a load that is under way begins anew."""
        self._slower = factor
        if self._loading and not self._ended:
            self.load()

    def begin(self, work: Work) -> None:
        """Work on this call from now on."""
        self._calls += 1
        work.number = self._calls
        self._works.append(work)
        if len(self._works) > 1 and sum(each.slots for each in self._works) > self.speed.slots:
            raise BrokenError(
                f"{self.name} has {len(self._works)} calls and {self.speed.slots} slots"
            )
        reads = work.prompt_tokens / self.speed.prefill_tps
        work.next = self._clock.after(reads * self._drag(), lambda: self._write(work))

    def cancel(self, work: Work) -> None:
        """Work on it no more. To say it twice, or after its end, changes nothing."""
        if work.next is not None:
            work.next.call_off()
            work.next = None
            self._works.remove(work)

    def die(self) -> None:
        """Its process is gone; a new one is started after a pause."""
        if self._ended:
            return
        self._life += 1
        self._call_off()
        self._report(Down(EngineStartError(f"{self.name} died"), retrying=True))
        self._lose_all()
        self._next = self._clock.after(_RESTARTS, self.load)

    def fail(self) -> None:
        """Its process is gone and will not be started again."""
        if not self._ended:
            self._call_off()
            self._give_up()
            self._lose_all()

    def stop(self) -> None:
        """End, and say so when it is done."""
        self._end(_STOPS)
        self._lose_all()

    def vanish(self) -> None:
        """The PoP is gone, and this with it: nobody is told anything."""
        self._ended = True
        self._call_off()
        for work in list(self._works):
            self.cancel(work)

    def _ready(self) -> None:
        self._loading = False
        speed = self.speed
        info = EngineInfo(EngineKind.ECHO, "sim 1", "cpu", speed.slots, 4_096, speed.kv_tokens)
        self._report(Ready(info))

    def _give_up(self) -> None:
        self._report(Down(EngineStartError(f"{self.name} can't be loaded"), retrying=False))
        self._end(_STOPS)

    def _end(self, after_s: float) -> None:
        if not self._ended:
            self._ended = True
            self._call_off()
            self._next = self._clock.after(after_s, self._gone)

    def _lose_all(self) -> None:
        for work in list(self._works):
            self.cancel(work)
            work.lost(EngineLostError(f"{self.name} is gone"), work.usage)

    def _write(self, work: Work) -> None:
        """One more token; after the last one it has ended."""
        if work.made == work.answer_tokens:
            self.cancel(work)
            work.ended(work.usage, Finish.STOP)
            return
        token = Token(f"{self.name}.{self._life}", work.number, work.made)
        work.made += 1
        pause = self._drag() / self.speed.decode_tps
        work.next = self._clock.after(pause, lambda: self._write(work))
        work.token(token)

    def _drag(self) -> float:
        """How much longer than usual a step takes now."""
        crowd = 1.0 + 0.1 * max(0, len(self._works) - 1)
        return self._slower * crowd * self._chance.between(0.9, 1.1)

    def _call_off(self) -> None:
        if self._next is not None:
            self._next.call_off()
            self._next = None
