"""Models that are still on their way to this PoP, as its mover says, and how far each is.

    under way --its row is gone, it is in the catalogue--> here
    under way --its row has an error, or the mover is gone--> failed

Rules
- They may be asked for like others. Whoever needs one to be here waits for it in `come`, and hears
  how far it is; where it fails, that is what is said, in the words of the pull.
- One that failed stays known as that, until it is pulled again or its pull is forgotten.

It decides nothing about engines (host.py) and asks nobody (delivery/office.py tells it).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from littoral.node.delivery.words import ArrivingSaid, MoverSaid
from littoral.node.drive import owned_tasks
from littoral.terms.delivery import PullShown
from littoral.terms.errors import NotDeliveredError
from littoral.terms.ids import ModelName
from littoral.terms.ports import Engine
from littoral.terms.values import Down, EngineState, ModelEntry, Ready, Starting

__all__ = ["Arrivals", "served_early"]

_STAGE: Final = "arriving"
_PERCENT: Final = 100


class Arrivals:
    """All of one PoP."""

    def __init__(self) -> None:
        """Nothing is on its way."""
        self._by_name: dict[ModelName, _Arrival] = {}
        self.changed: Callable[[Mapping[ModelName, ModelEntry]], None] = _nobody
        """Hears which models are on their way, before others hear that one is here or failed."""

    def state(self, name: ModelName) -> Starting | Down | None:
        """How far a model is that is on its way, or why it will not come; None for others."""
        arrival = self._by_name.get(name)
        if arrival is None:
            return None
        return arrival.starting if arrival.error is None else Down(arrival.error, retrying=False)

    def failed(self, name: ModelName) -> bool:
        """Whether a model was on its way and will not come."""
        return _failed(self._by_name.get(name))

    async def come(self, name: ModelName, report: Callable[[Starting], None]) -> None:
        """Wait until a model is here.

        Args:
            name: of the model; one that is not on its way is here.
            report: told how far it is, at once and whenever that changes.

        Raises:
            NotDeliveredError: it will not come.
        """
        while (arrival := self._by_name.get(name)) is not None:
            if arrival.error is not None:
                raise arrival.error
            report(arrival.starting)
            await arrival.moved.wait()

    def told(self, said: MoverSaid | None) -> None:
        """What the mover says now; None: it is gone, and with it what was under way."""
        before, rows = self._by_name, () if said is None else said.arriving
        self._by_name = {}
        for row in rows:
            name = row.entry.name
            if row.error and name in self._by_name:
                continue  # it is pulled again
            known = before.get(name)
            again = known is not None and known.pull == row.pull and known.error is None
            arrival = known if known is not None and again else _Arrival(row)
            arrival.error = _error_of(name, row)
            self._by_name[name] = arrival
        if said is None:
            for name, arrival in before.items():
                arrival.error = arrival.error or _broken_off(name)
            self._by_name = before
        entries = {name: each.entry for name, each in self._by_name.items()}
        anew = {name for name in entries if _failed(before.get(name)) and not self.failed(name)}
        if anew:  # what is remembered of the one that failed says nothing of this one
            self.changed({name: each for name, each in entries.items() if name not in anew})
        self.changed(entries)
        for arrival in before.values():
            arrival.move()

    def moved(self, pulls: Mapping[str, PullShown]) -> None:
        """How far pulls are, by their ids."""
        for arrival in self._by_name.values():
            shown = pulls.get(arrival.pull)
            if shown is not None:
                arrival.starting = _starting(shown)
                arrival.move()


async def served_early(
    engine: Engine, arrivals: Arrivals, name: ModelName, report: Callable[[EngineState], None]
) -> None:
    """Run an engine whose files it may open while they arrive; until cancelled, or it gives up.

    Until they are here, that is what it waits for, whatever it says itself.

    Raises:
        NotDeliveredError: they will not be here; the engine is ended.
    """
    here, last = False, Starting("starting the engine")

    def said(state: EngineState) -> None:
        nonlocal last
        last = state if isinstance(state, Starting) else last
        if here or not isinstance(state, Starting):
            report(state)
        if isinstance(state, Ready):
            coming.cancel()  # it has read all that it needs

    async with owned_tasks() as tasks:
        coming = tasks.create_task(arrivals.come(name, report))
        serving = tasks.create_task(engine.serve(said))
        serving.add_done_callback(lambda _: coming.cancel())
        await asyncio.wait([coming])
        here = True
        if not coming.cancelled():
            report(last)


class _Arrival:
    """Of one model."""

    __slots__ = ("entry", "error", "moved", "pull", "starting")

    def __init__(self, row: ArrivingSaid) -> None:
        self.pull = row.pull
        self.entry = row.entry
        self.starting = Starting(_STAGE, arriving=True)
        self.error: NotDeliveredError | None = None
        self.moved = asyncio.Event()
        """Set, and another one made, whenever there is something new."""

    def move(self) -> None:
        """There is."""
        self.moved.set()
        self.moved = asyncio.Event()


def _failed(arrival: _Arrival | None) -> bool:
    return arrival is not None and arrival.error is not None


def _starting(shown: PullShown) -> Starting:
    if not shown.size_bytes:
        return Starting(_STAGE, arriving=True)
    fraction = shown.here_bytes / shown.size_bytes
    stage = f"{_STAGE}, {int(fraction * _PERCENT)} %"
    return Starting(stage, fraction, shown.left_s, arriving=True)


def _error_of(name: ModelName, row: ArrivingSaid) -> NotDeliveredError | None:
    if not row.error:
        return None
    return NotDeliveredError(
        f"{name} did not arrive: {row.error}", advice=row.advice, retry_after_s=5.0
    )


def _broken_off(name: ModelName) -> NotDeliveredError:
    return NotDeliveredError(
        f"{name} did not arrive: what brings models to this PoP ended", retry_after_s=5.0
    )


def _nobody(_: Mapping[ModelName, ModelEntry]) -> None:
    """Nobody hears it."""
