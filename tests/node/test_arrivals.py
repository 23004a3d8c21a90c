"""A model that is asked for while it is on its way: who waits hears how far it is, or why not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.models import Catalogue
from littoral.node.delivery.words import ArrivingSaid, MoverSaid
from littoral.node.drive import owned_tasks
from littoral.node.fabric.learning import Learning
from littoral.node.fabric.saying import Place, state_of
from littoral.node.host import HostSettings, ModelHost
from littoral.placement.words import PoolBounds
from littoral.routing.fleet import Warmth
from littoral.terms.delivery import PullShown, PullStage
from littoral.terms.errors import LoadingError, NotDeliveredError, UnknownModelError
from littoral.terms.ids import Digest, ModelName, PopId
from littoral.terms.values import (
    SECOND,
    Down,
    EngineInfo,
    EngineKind,
    EngineState,
    Kind,
    ModelEntry,
    ModelFile,
    Ready,
    Starting,
)

NAME = ModelName("late")
DIGEST = Digest("sha256:" + "5" * 64)
INFO = EngineInfo(EngineKind.ECHO, "echo", "cpu", 4, 64)
HERE = ModelEntry(NAME, EngineKind.ECHO, (Kind.CHAT,), 64, size_bytes=1000, digest=DIGEST)


def coming(path: str, error: str = "", pull: str = "p1") -> ArrivingSaid:
    entry = replace(HERE, files=(ModelFile(path, 1000, DIGEST),), arriving=True)
    return ArrivingSaid(pull, entry, error, "look there" if error else "")


def said(*rows: ArrivingSaid) -> MoverSaid:
    return MoverSaid(1, "", (), 0, arriving=rows)


def far(here: int, left_s: float | None = None) -> dict[str, PullShown]:
    shown = PullShown(
        "p1", "x", PullStage.FETCHING, size_bytes=1000, here_bytes=here, left_s=left_s
    )
    return {"p1": shown}


class Engine:
    """It is ready when a test says so."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.may_be_ready = asyncio.Event()

    async def serve(self, report: Callable[[EngineState], None]) -> None:
        self.begun += 1
        try:
            report(Starting("loading the weights"))
            await self.may_be_ready.wait()
            report(Ready(INFO))
            await asyncio.Event().wait()
        finally:
            self.ended += 1


class Stand:
    """A host whose only engine is the one above."""

    def __init__(self, folder: Path, tasks: asyncio.TaskGroup) -> None:
        self.engine = Engine()
        self.folder = folder
        self.host = ModelHost(
            Catalogue(folder),
            lambda _: self.engine,  # type: ignore[arg-type, return-value]  # what is not called
            HostSettings(PoolBounds(2**30, 4, 60 * SECOND), frozenset(), 64, 1, lambda: 2**30),
            clock=SystemClock(),
            observe=lambda _: None,
            tasks=tasks,
        )
        self._tasks = tasks

    def ask(self, wait_s: float = 20) -> asyncio.Task[object]:
        lease = self.host.lease(NAME, 1, 1, wait=int(wait_s * SECOND))
        return asyncio.ensure_future(lease)

    def state(self) -> EngineState | None:
        return next(each.state for each in self.host.statuses() if each.entry.name == NAME)

    def arrive(self) -> None:
        """It is in the catalogue, and the mover says nothing of it any more."""
        adding = Catalogue(self.folder).adding(NAME, resumable=False, progress=lambda *_: None)
        with adding as staging:
            staging.commit(HERE)
        self.host.arrivals.told(said())

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0)


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with owned_tasks() as tasks:
        made = Stand(tmp_path, tasks)
        yield made
        made.host.close()


async def test_an_engine_is_begun_at_once_where_the_file_may_be_opened(stand: Stand) -> None:
    stand.host.arrivals.told(said(coming("/mount/late.gguf")))
    lease = stand.ask()
    await stand.until(lambda: stand.engine.begun)
    stand.host.arrivals.moved(far(430, 4.0))
    await stand.until(lambda: stand.state() == Starting("arriving, 43 %", 0.43, 4.0, arriving=True))
    stand.arrive()
    await stand.until(lambda: stand.state() == Starting("loading the weights"))
    stand.engine.may_be_ready.set()
    await lease
    assert not stand.host.entries.entry(NAME).arriving
    stand.host.arrivals.told(None)
    assert isinstance(stand.state(), Ready), "the engine needs the mover no more"
    assert stand.engine.ended == 0


async def test_an_engine_may_be_ready_before_all_of_the_rest_is_done(stand: Stand) -> None:
    stand.host.arrivals.told(said(coming("/mount/late.gguf")))
    stand.engine.may_be_ready.set()
    await stand.ask()
    stand.host.arrivals.moved(far(1000))
    await asyncio.sleep(0)
    assert isinstance(stand.state(), Ready)
    stand.arrive()
    assert isinstance(stand.state(), Ready)


async def test_where_it_may_not_be_opened_the_engine_waits_until_it_is_here(stand: Stand) -> None:
    stand.host.arrivals.told(said(coming("")))
    lease = stand.ask()
    stand.host.arrivals.moved(far(500, 2.0))
    await stand.until(lambda: isinstance(stand.state(), Starting))
    assert not stand.engine.begun
    stand.arrive()
    await stand.until(lambda: stand.engine.begun)
    stand.engine.may_be_ready.set()
    await lease


async def test_who_waited_long_enough_hears_how_far_it_is(stand: Stand) -> None:
    stand.host.arrivals.told(said(coming("")))
    stand.host.arrivals.moved(far(430, 7.5))
    with pytest.raises(LoadingError, match=r"arriving, 43 %") as caught:
        await stand.ask(wait_s=0.05)
    progress = caught.value.details["loading"]
    assert isinstance(progress, dict)
    assert (progress["fraction"], progress["eta_s"]) == (0.43, 7.5)
    assert caught.value.retry_after_s == 7.5


@pytest.mark.parametrize("path", ["", "/mount/late.gguf"])
async def test_a_pull_that_fails_says_why_to_who_waits_and_to_who_comes_later(
    stand: Stand, path: str
) -> None:
    stand.host.arrivals.told(said(coming(path)))
    lease = stand.ask()
    await stand.until(lambda: isinstance(stand.state(), Starting))
    stand.host.arrivals.told(said(coming(path, "the origin: 404")))
    for waiting in (lease, stand.ask()):
        with pytest.raises(NotDeliveredError, match="late did not arrive: the origin: 404"):
            await waiting
    await stand.until(lambda: stand.engine.ended == stand.engine.begun)
    assert isinstance(stand.state(), Down)
    stand.host.arrivals.told(said())
    with pytest.raises(UnknownModelError):
        stand.host.entries.entry(NAME)


async def test_a_mover_that_dies_ends_the_wait(stand: Stand) -> None:
    stand.host.arrivals.told(said(coming("/mount/late.gguf")))
    lease = stand.ask()
    await stand.until(lambda: stand.engine.begun)
    stand.host.arrivals.told(None)
    with pytest.raises(NotDeliveredError, match="ended"):
        await lease


async def test_a_second_pull_takes_the_place_of_one_that_failed(stand: Stand) -> None:
    stand.host.arrivals.told(said(coming("", "it broke off")))
    with pytest.raises(NotDeliveredError):
        await stand.ask()
    stand.host.arrivals.told(said(coming("", "it broke off"), coming("", pull="p2")))
    assert isinstance(stand.state(), Starting)
    lease = stand.ask()
    stand.arrive()
    stand.engine.may_be_ready.set()
    await lease


async def test_others_are_told_how_long_it_takes_until_it_is_here_and_loaded(stand: Stand) -> None:
    def told() -> list[tuple[Warmth, float]]:
        learning = Learning(SystemClock(), kv_tokens=64, at_work=lambda _: 0)
        place = Place(PopId("pop-0000000000000001"), 1, "", "")
        state = state_of(place, 1, stand.host.statuses(), {}, learning, 1)
        assert DIGEST not in state.artifacts
        return [(each.warmth, each.load_s) for each in state.models if each.name == NAME]

    stand.host.arrivals.told(said(coming("")))
    stand.host.arrivals.moved(far(430, 7.5))
    ((warmth, load_s),) = told()
    assert warmth is Warmth.COLD
    assert load_s == pytest.approx(7.5, abs=0.1)
    stand.host.arrivals.told(said(coming("", "it broke off")))
    assert told() == []
