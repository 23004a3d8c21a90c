"""The PoP's side of a mover: it is started when it is needed, told of the fleet, and outlived."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import psutil
import pytest

from littoral.node.arrivals import Arrivals
from littoral.node.config import load_config
from littoral.node.delivery.office import Office
from littoral.node.delivery.words import Dealing
from littoral.node.drive import owned_tasks
from littoral.node.home import Home
from littoral.routing.fleet import Fleet, Known, PopState
from littoral.terms.delivery import PullStage, PullWanted
from littoral.terms.errors import DrainingError, LittoralError
from littoral.terms.facts import Fact, WorkerDied
from littoral.terms.values import Instant
from tests.node.delivery.made import CLOCK, identity, member, pop
from tests.processes import mover_under


@dataclass
class Stand:
    office: Office
    home: Path
    facts: list[Fact]
    changes: int = 0

    def mover(self) -> psutil.Process | None:
        return mover_under(os.getpid())


@asynccontextmanager
async def an_office() -> AsyncIterator[Stand]:
    with TemporaryDirectory(prefix="lit-") as folder:  # sockets want short paths
        home = Path(folder)
        Home(home).make()
        identity(home.parent, home.name)
        facts: list[Fact] = []

        def changed() -> None:
            stand.changes += 1

        async with owned_tasks() as tasks:
            config = load_config({"home": str(home)}, {})
            office = Office(config, CLOCK, facts.append, tasks, changed, lambda: 0, Arrivals())
            stand = Stand(office, home, facts)
            try:
                yield stand
            finally:
                office.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.02)


async def test_nothing_runs_before_something_is_asked_and_nothing_after_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with an_office() as stand:
        assert stand.mover() is None
        assert stand.office.said is None
        with monkeypatch.context() as patch:
            patch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=3_700_000_000))
            assert stand.office.room_bytes() == 3_000_000_000
        assert (await stand.office.store()).artifacts == ()
        assert stand.mover() is not None
        await until(lambda: stand.office.said is not None)
        assert stand.changes
    await until(lambda: stand.mover() is None)


async def test_a_mover_that_dies_is_started_again_and_told_again() -> None:
    async with an_office() as stand:
        file = stand.home / "weights.bin"
        file.write_bytes(os.urandom(300_000))
        begun = await stand.office.pull(PullWanted(f"file:{file}"))
        while not (shown := await stand.office.pulled(begun.id)).stage.over:
            await asyncio.sleep(0.02)
        assert shown.stage is PullStage.DONE, shown.error
        await until(lambda: bool(stand.office.said and stand.office.said.deliveries))
        dead = stand.mover()
        assert dead is not None
        dead.send_signal(signal.SIGKILL)
        await until(lambda: stand.office.said is None)
        await until(lambda: bool(stand.office.said and stand.office.said.deliveries))
        (row,) = (await stand.office.store()).artifacts
        assert row.here_bytes == row.size_bytes
        deaths = [fact for fact in stand.facts if isinstance(fact, WorkerDied)]
        assert len(deaths) == 1


async def test_one_that_can_not_start_says_why_each_time_it_is_asked() -> None:
    async with an_office() as stand:
        (stand.home / "artifacts").write_text("in the way")
        for _ in range(2):
            with pytest.raises(LittoralError, match="mover"):
                await stand.office.store()
        (stand.home / "artifacts").unlink()
        assert (await stand.office.store()).artifacts == ()


async def test_a_fleet_starts_the_mover_of_a_pop_that_has_something() -> None:
    async with an_office() as stand:
        me, friend = member(pop(5)), member(pop(1))
        state = PopState(friend.pop, 1, 1)
        fleet = Fleet({friend.pop: Known(friend, state, Instant(0))})
        follow = stand.office.follower(me, lambda _: Dealing(), None, tuple)
        follow(fleet)
        await asyncio.sleep(0)
        assert stand.mover() is None, "it has nothing to pass on"
        (stand.home / "artifacts" / "files").mkdir(parents=True)
        follow(Fleet({}))
        follow(fleet)
        await until(lambda: stand.mover() is not None)


async def test_nothing_is_started_any_more_once_the_pop_ends() -> None:
    async with an_office() as stand:
        (stand.home / "artifacts" / "files").mkdir(parents=True)
        friend = member(pop(1))
        fleet = Fleet({friend.pop: Known(friend, PopState(friend.pop, 1, 1), Instant(0))})
        follow = stand.office.follower(member(pop(5)), lambda _: Dealing(), None, tuple)
        stand.office.close()
        with pytest.raises(DrainingError):
            await stand.office.keep(stand.home / "segments", "collection:x@1.2")
        follow(fleet)
        await asyncio.sleep(0)
        assert stand.mover() is None
