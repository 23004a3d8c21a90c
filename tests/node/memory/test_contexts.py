"""A model places the passages of a collection, behind all clients, and loses nothing meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from littoral.adapters.memory.embedded import open_collections
from littoral.adapters.stores import open_stores
from littoral.memory.contextual import placing, with_written, written
from littoral.node.memory import contexts as at_work
from littoral.node.memory.contexts import Contexts
from littoral.node.memory.house import House
from littoral.node.memory.opened import Opened
from littoral.node.memory.revising import Batch, Revising, Unit
from littoral.sim.collections import PaperCollections
from littoral.terms.collections import Collections
from littoral.terms.contextual import ContextShown, ContextState, ContextWanted
from littoral.terms.errors import (
    BadRequestError,
    ConflictError,
    EngineFailedError,
    LittoralError,
    NotAllowedError,
    NotFoundError,
    RateLimitedError,
    UnknownModelError,
)
from littoral.terms.ids import KeyId
from littoral.terms.limits import FILING_TRIES_MAX
from littoral.terms.memory import CollectionSpec, Delete, Recall, Record, Scan, Upsert
from littoral.terms.values import Caller
from tests.node.memory.made import ALICE, BOB, MODEL, OPERATOR, vector_of
from tests.node.memory.placing import WRITER, ScriptedDoor

WANTED = ContextWanted(WRITER)
TIDES = tuple(
    Record(
        id=f"t{number}",
        text=f"It was {number} metres, as before.",
        header="Tides > Ebb",
        document="tides.md",
        position=number,
    )
    for number in range(3)
)
SOUP = Record(id="s0", text="Stir it well.", header="Soups", document="soup.md")


@dataclass
class Stand:
    house: House
    door: ScriptedDoor
    contexts: Contexts
    holders: dict[KeyId, Caller]

    async def docs(self, caller: Caller = OPERATOR) -> Opened:
        return await self.house.open("docs", caller)

    async def kept(self, caller: Caller = OPERATOR) -> dict[str, Record]:
        page = await (await self.docs(caller)).scan(Scan(limit=100, with_vectors=True))
        return {record.id: record for record in page.records}

    async def until(self, *states: ContextState, caller: Caller = OPERATOR) -> ContextShown:
        async with asyncio.timeout(10):
            while (shown := await self.contexts.context("docs", caller)).state not in states:
                await asyncio.sleep(0.002)
        return shown

    async def waits(self, held: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not held():
                await asyncio.sleep(0.002)


@asynccontextmanager
async def standing(
    home: Path, drivers: Collections | None = None, *, caller: Caller = OPERATOR
) -> AsyncIterator[Stand]:
    """A PoP's house with the work beside it, as long as the context is open."""
    door, kept = ScriptedDoor(), open_stores(home)
    paper = drivers or PaperCollections()
    house = House({"paper": paper}, door, made_by="paper", embedding=MODEL)
    holders = {each.key_id: each for each in (OPERATOR, ALICE, BOB)}
    contexts = Contexts(house, kept.contexts, door, holders.get)
    if not await house.collections(caller):
        await house.create(CollectionSpec(name="docs", embedding=MODEL), caller)
        await (await house.open("docs", caller)).apply([Upsert((*TIDES, SOUP))])
    work = asyncio.create_task(contexts.run())
    try:
        yield Stand(house, door, contexts, holders)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        house.close()
        kept.close()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are short."""
    monkeypatch.setattr(at_work, "FILING_PAUSE_S", 0.001)
    monkeypatch.setattr(at_work, "CONTEXT_LOOK_S", 0.001)


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with standing(tmp_path) as stand:
        yield stand


@pytest.mark.parametrize("driver", ["paper", "embedded"])
async def test_passages_are_placed_embedded_and_found_by_that(driver: str, tmp_path: Path) -> None:
    drivers = PaperCollections() if driver == "paper" else open_collections(tmp_path / "memory")
    async with standing(tmp_path, drivers) as stand:
        begun = await stand.contexts.write_context("docs", WANTED, OPERATOR)
        assert (begun.state, begun.model) == (ContextState.RUNNING, WRITER)
        shown = await stand.until(ContextState.DONE)
        assert (shown.written, shown.without, shown.left) == (4, 0, 0)
        kept = await stand.kept()
        said = "This passage 2 of tides.md names how deep harbours are."
        assert kept["t2"].header == with_written("Tides > Ebb", said, WRITER)
        assert kept["t2"].vectors[""] == vector_of(f"Tides > Ebb\n{said}\n{TIDES[2].text}")
        found = await stand.house.recall("docs", Recall(text="deep harbours", limit=1), OPERATOR)
        assert found.passages[0].header in {"Tides > Ebb", "Soups"}
        assert all(caller.key_id == OPERATOR.key_id for caller in stand.door.asked_by)


async def test_each_document_is_gone_through_at_once(stand: Stand) -> None:
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    await stand.until(ContextState.DONE)
    documents = [prompt.split("<source 1: ")[1].split(">")[0] for prompt in stand.door.prompts]
    assert documents == ["soup.md", "tides.md", "tides.md", "tides.md"]
    heads = {prompt.split("The passage:")[0] for prompt in stand.door.prompts[1:]}
    assert len(heads) == 1


async def test_what_is_of_no_use_leaves_a_passage_without_and_is_not_asked_again(
    stand: Stand,
) -> None:
    stand.door.answers = ["I cannot say anything about that passage, sorry."] * 2
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    shown = await stand.until(ContextState.DONE)
    assert (shown.written, shown.without) == (2, 2)
    kept = await stand.kept()
    assert sorted(written(record.header) == "" for record in kept.values()) == [
        False, False, True, True,
    ]  # fmt: skip
    assert kept["s0"].vectors[""] == vector_of("Soups\nStir it well.")
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    shown = await stand.until(ContextState.DONE)
    assert (shown.written, shown.without, len(stand.door.prompts)) == (0, 0, 4)
    await stand.contexts.write_context("docs", ContextWanted("other"), OPERATOR)
    shown = await stand.until(ContextState.DONE)
    assert (shown.written, shown.without, len(stand.door.prompts)) == (2, 0, 6)


async def test_nothing_is_asked_while_clients_use_the_model(stand: Stand) -> None:
    stand.door.in_flight = 1
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    await stand.waits(lambda: bool(stand.door.looks > 3))
    shown = await stand.contexts.context("docs", OPERATOR)
    assert (stand.door.prompts, shown.waits) == ([], "clients use the model")
    stand.door.in_flight = 0
    assert (await stand.until(ContextState.DONE)).written == 4


async def test_a_client_that_waits_has_the_model_at_once(stand: Stand) -> None:
    stand.door.hold = asyncio.Event()
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    await stand.waits(lambda: stand.door.working)
    stand.door.waiting = 1
    await stand.waits(lambda: not stand.door.working)
    assert (await stand.contexts.context("docs", OPERATOR)).written == 0
    stand.door.hold.set()
    stand.door.waiting = 0
    assert (await stand.until(ContextState.DONE)).written == 4
    assert len(stand.door.prompts) == 5


async def test_a_pop_that_starts_again_goes_on_where_it_was(tmp_path: Path) -> None:
    drivers = PaperCollections()
    async with standing(tmp_path, drivers) as stand:
        stand.door.hold_after = 2
        await stand.contexts.write_context("docs", WANTED, OPERATOR)
        await stand.waits(lambda: len(stand.door.prompts) == 3)
    async with standing(tmp_path, drivers) as stand:
        shown = await stand.until(ContextState.DONE)
        assert (shown.written, len(stand.door.prompts)) == (4, 2)
        assert all(written(record.header) for record in (await stand.kept()).values())


async def test_what_is_stopped_keeps_what_was_written_and_takes_no_more(stand: Stand) -> None:
    stand.door.hold_after = 1
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    await stand.waits(lambda: len(stand.door.prompts) == 2)
    assert (await stand.contexts.stop_context("docs", OPERATOR)).state is ContextState.STOPPED
    stand.door.hold.set()
    await stand.waits(lambda: not stand.door.working)
    await asyncio.sleep(0)
    kept = await stand.kept()
    assert sum(written(record.header) is not None for record in kept.values()) == 1
    assert (await stand.contexts.context("docs", OPERATOR)).written == 1


@pytest.mark.parametrize("driver", ["paper", "embedded"])
async def test_a_passage_that_changed_meanwhile_is_left_as_it_is(
    driver: str, tmp_path: Path
) -> None:
    drivers = PaperCollections() if driver == "paper" else open_collections(tmp_path / "memory")
    async with standing(tmp_path, drivers) as stand:
        stand.door.hold_after = 1
        await stand.contexts.write_context("docs", WANTED, OPERATOR)
        await stand.waits(lambda: len(stand.door.prompts) == 2)
        docs = await stand.docs()
        forgotten = Delete(("s0", "t0"))  # of t0 a model is being asked
        labelled = msgspec.structs.replace(
            TIDES[1], labels=("staff",), metadata={"year": 2026}, position=7
        )
        reworded = msgspec.structs.replace(TIDES[2], text="It was deeper than ever.")
        await docs.apply([forgotten, Upsert((labelled, reworded))])
        stand.door.hold.set()
        await stand.until(ContextState.DONE)
        kept = await stand.kept()
        assert sorted(kept) == ["t1", "t2"]
        assert (kept["t1"].labels, kept["t1"].position) == (("staff",), 7)
        assert kept["t1"].metadata == {"year": 2026}
        assert written(kept["t1"].header)
        assert kept["t2"].text == "It was deeper than ever."


async def test_a_document_that_is_added_again_keeps_its_contexts(stand: Stand) -> None:
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    await stand.until(ContextState.DONE)
    before = await stand.kept()
    batch = Batch()
    moved = msgspec.structs.replace(TIDES[1], position=0)
    fresh = Record(id="t9", text="New.", header="Tides > Ebb", document="tides.md", position=1)
    batch.add(Unit("tides.md", (moved, TIDES[2], fresh), rows=False, bytes_read=0))
    outcome = await Revising(await stand.docs()).take(batch)
    assert (outcome.fresh, outcome.moved, outcome.unchanged, outcome.gone) == (1, 1, 1, 1)
    after = await stand.kept()
    assert after["t1"] == msgspec.structs.replace(before["t1"], position=0)
    assert after["t2"] == before["t2"]
    assert written(after["t9"].header) is None
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    assert (await stand.until(ContextState.DONE)).written == 1
    assert placing((await stand.kept())["t9"].header) == "Tides > Ebb"


async def test_what_stands_in_the_way_is_waited_for(stand: Stand) -> None:
    stand.door.fails = [
        RateLimitedError("too many requests", retry_after_s=0.001) for _ in range(20)
    ]
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    assert (await stand.until(ContextState.DONE)).written == 4
    assert stand.door.fails == []


@pytest.mark.parametrize(
    ("error", "times"),
    [(EngineFailedError("it broke"), FILING_TRIES_MAX), (NotAllowedError("no"), 1)],
)
async def test_what_breaks_again_and_again_is_said(
    stand: Stand, error: LittoralError, times: int
) -> None:
    stand.door.fails = [error] * 50
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    shown = await stand.until(ContextState.FAILED)
    assert error.message in shown.message
    assert len(stand.door.fails) == 50 - times


async def test_a_passage_that_a_model_refuses_does_not_hold_up_the_others(stand: Stand) -> None:
    stand.door.fails = [BadRequestError("not that one")]
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    assert (await stand.until(ContextState.DONE)).written == 4
    assert len(stand.door.prompts) == 5


async def test_for_a_key_that_is_no_longer_good_nothing_is_done(tmp_path: Path) -> None:
    async with standing(tmp_path, caller=ALICE) as stand:
        stand.door.in_flight = 1
        await stand.contexts.write_context("docs", WANTED, ALICE)
        del stand.holders[ALICE.key_id]
        stand.door.in_flight = 0
        shown = await stand.until(ContextState.FAILED, caller=ALICE)
        assert "no longer good" in shown.message
        assert stand.door.prompts == []


async def test_what_an_operator_asked_for_is_done_though_the_key_was_of_a_run_before(
    stand: Stand,
) -> None:
    del stand.holders[OPERATOR.key_id]
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    assert (await stand.until(ContextState.DONE)).written == 4


async def test_how_many_passages_there_are_is_told_to_who_may_see_them_all(stand: Stand) -> None:
    secret = msgspec.structs.replace(TIDES[0], labels=("board",))
    await (await stand.docs()).apply([Upsert((secret,))])
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    assert (await stand.until(ContextState.DONE)).written == 4
    shown = await stand.contexts.context("docs", BOB)
    assert (shown.state, shown.model) == (ContextState.DONE, WRITER)
    assert (shown.written, shown.without, shown.left) == (0, 0, None)


async def test_no_collection_that_has_come_under_the_name_is_written_to_instead(
    stand: Stand,
) -> None:
    clerk = replace(OPERATOR, tenant="acme")
    stand.holders[OPERATOR.key_id] = clerk
    stand.door.in_flight = 1
    await stand.contexts.write_context("docs", WANTED, clerk)
    await stand.house.create(CollectionSpec(name="docs", embedding=MODEL), ALICE)
    await (await stand.docs(ALICE)).apply([Upsert(tuple(TIDES))])
    stand.door.in_flight = 0
    shown = await stand.until(ContextState.FAILED, caller=BOB)
    assert "gone" in shown.message
    assert stand.door.prompts == []


async def test_the_work_is_forgotten_with_its_collection(stand: Stand) -> None:
    stand.door.in_flight = 1
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    await stand.house.drop("docs", OPERATOR)
    with pytest.raises(NotFoundError):
        await stand.contexts.context("docs", OPERATOR)
    await stand.house.create(CollectionSpec(name="docs", embedding=MODEL), OPERATOR)
    assert (await stand.contexts.context("docs", OPERATOR)).state is ContextState.NONE


async def test_only_who_may_write_has_contexts_written_and_by_a_model_that_chats(
    stand: Stand,
) -> None:
    for refused in (
        stand.contexts.write_context("docs", WANTED, BOB),
        stand.contexts.stop_context("docs", BOB),
    ):
        with pytest.raises(NotAllowedError):
            await refused
    with pytest.raises(UnknownModelError):
        await stand.contexts.write_context("docs", ContextWanted(MODEL), OPERATOR)
    with pytest.raises(UnknownModelError):
        await stand.contexts.write_context("docs", ContextWanted("nobody"), OPERATOR)
    stand.door.in_flight = 1
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    await stand.contexts.write_context("docs", WANTED, OPERATOR)
    with pytest.raises(ConflictError):
        await stand.contexts.write_context("docs", ContextWanted("other"), OPERATOR)
