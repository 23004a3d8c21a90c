"""Who may use which collection, and what happens to texts on the way."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from littoral.adapters.memory.embedded import open_collections
from littoral.node.memory.house import House
from littoral.sim.collections import PaperCollections
from littoral.terms.errors import (
    BadRequestError,
    ConflictError,
    NotAllowedError,
    NotFoundError,
    UnsupportedError,
)
from littoral.terms.filters import Ids, Is
from littoral.terms.ids import ModelName, PopId
from littoral.terms.limits import PREFETCHES_MAX, RECORD_TEXT_BYTES_MAX
from littoral.terms.memory import (
    Branch,
    CollectionSpec,
    Delete,
    DeleteWhere,
    Fused,
    Like,
    Patch,
    Recall,
    Record,
    Scan,
    Search,
    Upsert,
    VectorField,
)
from littoral.terms.values import Hop
from tests.node.memory.made import ALICE, BOB, DIMENSIONS, MODEL, OPERATOR, CountingDoor, vector_of

SPEC = CollectionSpec(name="docs", embedding=MODEL)
CLERK = replace(BOB, labels=("finance",))


@pytest.fixture
def door() -> CountingDoor:
    return CountingDoor()


@pytest.fixture
def house(door: CountingDoor) -> Iterator[House]:
    house = House({"paper": PaperCollections()}, door, made_by="paper", embedding=MODEL)
    yield house
    house.close()


def text(record_id: str, said: str, **more: object) -> Record:
    return Record(id=record_id, text=said, **more)  # type: ignore[arg-type]


async def test_a_collection_of_an_operator_is_read_by_every_key_and_written_by_none_else(
    house: House,
) -> None:
    await house.create(SPEC, OPERATOR)
    opened = await house.open("docs", OPERATOR)
    await opened.apply([Upsert((text("a", "a machine joins"),))])
    assert [each.spec.name for each in await house.collections(BOB)] == ["docs"]
    read = await house.open("docs", BOB)
    assert await read.count() == 1
    with pytest.raises(NotAllowedError, match="only reads"):
        await read.apply([Delete(("a",))])
    with pytest.raises(NotAllowedError):
        await house.drop("docs", BOB)
    assert await read.count() == 1


async def test_a_collection_of_a_key_is_seen_by_its_tenant_alone(house: House) -> None:
    await house.create(SPEC, ALICE)
    colleague = replace(BOB, tenant="acme")
    assert await (await house.open("docs", colleague)).count() == 0
    assert not await house.collections(BOB)
    with pytest.raises(NotFoundError):
        await house.open("docs", BOB)
    assert len(await house.collections(OPERATOR)) == 1


async def test_ones_own_collection_goes_before_the_pops_of_the_same_name(house: House) -> None:
    await house.create(SPEC, OPERATOR)
    await house.create(SPEC, BOB)
    with pytest.raises(ConflictError):
        await house.create(SPEC, BOB)
    await (await house.open("docs", BOB)).apply([Upsert((text("mine", "mine alone"),))])
    assert await (await house.open("docs", OPERATOR)).count() == 0
    await house.drop("docs", BOB)
    assert (await house.open("docs", BOB)).spec.scope == ""


async def test_a_collection_that_is_made_anew_has_nothing_of_the_one_before(
    door: CountingDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    drivers = PaperCollections()
    drivers.create(msgspec.structs.replace(SPEC, vectors=(VectorField(DIMENSIONS),)))
    drivers.open("docs").apply([Upsert((text("old", "said before"),))])
    house = House({"paper": drivers}, door, made_by="paper")
    run, reached, may = house.threads.run, asyncio.Event(), asyncio.Event()

    async def held(work: Callable[[], object]) -> object:
        """The first who opens it is given it when it is gone."""
        given = await run(work)
        if not reached.is_set() and not isinstance(given, list):
            reached.set()
            await may.wait()
        return given

    monkeypatch.setattr(house.threads, "run", held)
    opening = asyncio.create_task(house.open("docs", BOB))
    await reached.wait()
    await house.drop("docs", OPERATOR)
    may.set()
    await opening
    await house.create(SPEC, OPERATOR)
    assert await (await house.open("docs", BOB)).count() == 0
    house.close()


async def test_other_pops_requests_use_no_collection(house: House) -> None:
    await house.create(SPEC, OPERATOR)
    guest = replace(BOB, hop=Hop((PopId("pop-0123456789abcdef"),)))
    for work in (house.open("docs", guest), house.collections(guest), house.create(SPEC, guest)):
        with pytest.raises(NotAllowedError):
            await work


async def test_texts_are_embedded_with_their_headers_unless_a_vector_came_along(
    house: House, door: CountingDoor
) -> None:
    await house.create(SPEC, BOB)
    opened = await house.open("docs", BOB)
    own = vector_of("another")
    await opened.apply(
        [Upsert((text("a", "said", header="Title"), text("b", "other", vectors={"": own})))]
    )
    a, b = await opened.fetch(["a", "b"], with_vectors=True)
    assert a.vectors[""] == vector_of("Title\nsaid")
    assert b.vectors[""] == own
    assert door.batches == [["Title\nsaid"]]


async def test_a_key_that_may_use_no_model_may_use_its_collections_model(
    house: House, door: CountingDoor
) -> None:
    await house.create(SPEC, ALICE)
    opened = await house.open("docs", ALICE)
    await opened.apply([Upsert((text("a", "the sea"), text("b", "the land")))])
    found = await opened.search(Search(query=Like("sea"), limit=1))
    assert [hit.record.id for hit in found.hits] == ["a"]
    assert {caller.key_id for caller in door.callers} == {ALICE.key_id}


async def test_a_key_makes_collections_with_the_models_that_it_names_and_the_pops_choice(
    house: House, door: CountingDoor
) -> None:
    other = ModelName("other")
    with pytest.raises(NotAllowedError, match="may not use other") as refused:
        await house.create(CollectionSpec(name="mine", embedding=other), ALICE)
    assert "counting" in refused.value.advice
    assert not door.batches, "it was not asked for anything"
    assert not await house.collections(ALICE)
    named = replace(BOB, models=(MODEL,))
    for name, caller in (("one", named), ("two", ALICE), ("three", BOB)):
        await house.create(CollectionSpec(name=name, embedding=MODEL), caller)


async def test_the_length_of_vectors_is_asked_for_where_the_model_does_not_say() -> None:
    door = CountingDoor(says_dimensions=False)
    house = House({"paper": PaperCollections()}, door, made_by="paper")
    shown = await house.create(SPEC, OPERATOR)
    assert shown.spec.vectors == (VectorField(DIMENSIONS),)
    wrong = CollectionSpec(name="other", embedding=MODEL, vectors=(VectorField(3),))
    with pytest.raises(BadRequestError, match="dimensions"):
        await house.create(wrong, OPERATOR)
    house.close()


async def test_what_labels_do_not_allow_is_not_there_for_a_key(house: House) -> None:
    await house.create(SPEC, OPERATOR)
    records = (
        text("open", "profit for all"),
        text("closed", "profit of finance", labels=("finance", "board")),
    )
    await (await house.open("docs", OPERATOR)).apply([Upsert(records)])
    expected = {OPERATOR: ["closed", "open"], BOB: ["open"], CLERK: ["closed", "open"]}
    for caller, ids in expected.items():
        opened = await house.open("docs", caller)
        found = await opened.search(Search(query=Like("profit")))
        assert sorted(hit.record.id for hit in found.hits) == ids
        assert [record.id for record in (await opened.scan(Scan())).records] == ids
        assert sorted(record.id for record in await opened.fetch(["open", "closed"])) == ids
        assert await opened.count() == len(ids)
        recalled = await house.recall("docs", Recall(text="profit"), caller)
        assert sorted(passage.id for passage in recalled.passages) == ids


async def test_what_labels_do_not_allow_is_not_counted_by_what_tells_of_collections(
    house: House,
) -> None:
    await house.create(SPEC, OPERATOR)
    boss = await house.open("docs", OPERATOR)
    await boss.apply([Upsert((text("open", "profit for all"),))])
    (shown,) = await house.collections(BOB)
    assert shown.records == 1
    closed = [text(str(n), "profit", labels=("finance",)) for n in range(7)]
    await boss.apply([Upsert(tuple(closed))])
    for caller, records in ((OPERATOR, 8), (BOB, 1), (CLERK, 8)):
        (shown,) = await house.collections(caller)
        assert shown.records == records
        found = await (await house.open("docs", caller)).search(Search(query=Like("profit")))
        assert caller.operator or "8" not in repr(found.plan)
        assert caller.operator or (shown.disk_bytes, shown.index) == (None, "")


async def test_a_collection_that_is_damaged_is_shown_to_operators_alone(
    door: CountingDoor, tmp_path: Path
) -> None:
    drivers = open_collections(tmp_path)
    house = House({"embedded": drivers}, door, made_by="embedded", embedding=MODEL)
    await house.create(SPEC, ALICE)
    await house.create(SPEC, OPERATOR)
    spec = next((tmp_path / "memory").glob("*/spec.json"))
    spec.write_bytes(b"{")
    assert len(await house.collections(OPERATOR)) == 2
    for caller in (BOB, ALICE):
        for each in await house.collections(caller):
            assert (each.spec.name, each.records) == ("docs", 0)
            assert "spec.json" not in each.index
    house.close()


async def test_on_a_server_another_pop_may_bring_the_first_labels(door: CountingDoor) -> None:
    server = PaperCollections()
    here, there = (House({"server": server}, door, made_by="server") for _ in range(2))
    await here.create(SPEC, OPERATOR)
    bob = await here.open("docs", BOB)
    assert await bob.count() == 0
    closed = text("closed", "profit", labels=("finance",))
    await (await there.open("docs", OPERATOR)).apply([Upsert((closed,))])
    assert await bob.count() == 0
    assert not (await bob.search(Search(query=Like("profit")))).hits
    assert not (await bob.scan(Scan())).records
    assert not await bob.fetch(["closed"])
    for house in (here, there):
        house.close()


async def test_labels_that_come_while_it_is_looked_hide_what_has_them(
    house: House, door: CountingDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.create(SPEC, OPERATOR)
    boss, bob = await house.open("docs", OPERATOR), await house.open("docs", BOB)
    await boss.apply([Upsert((text("open", "profit of all"),))])
    kept = await house.pops_own("docs")
    run, first = house.threads.run, [True]

    async def after_a_write(work: Callable[[], object]) -> object:
        """The first labels come when a caller has been found to need no filter."""
        if first and kept.labelled is not True:
            first.clear()
            closed = text(
                "closed", "profit", labels=("finance",), vectors={"": vector_of("profit")}
            )
            await boss.apply([Upsert((closed,))])
        return await run(work)

    looks: list[Callable[[], Awaitable[object]]] = [
        lambda: bob.search(Search(query=Like("profit"))),
        lambda: bob.fetch(["open", "closed"]),
        lambda: bob.scan(Scan()),
        bob.count,
    ]
    for labelled, look in itertools.product((None, False), looks):
        await boss.apply([Delete(("closed",))])
        kept.labelled = labelled
        first[:] = [True]
        with monkeypatch.context() as patched:
            patched.setattr(house.threads, "run", after_a_write)
            found = await look()
        assert not first, "it was written meanwhile"
        assert found == 1 or "closed" not in repr(found)
        assert kept.labelled


async def test_what_labels_do_not_allow_is_neither_changed_nor_replaced(house: House) -> None:
    await house.create(SPEC, BOB)
    secret = text("closed", "profit", labels=("finance",), metadata={"n": 1})
    await (await house.open("docs", CLERK)).apply([Upsert((secret,))])
    opened = await house.open("docs", BOB)
    await opened.apply(
        [
            Delete(("closed",)),
            DeleteWhere(Is("n", (1,))),
            Patch(where=Ids(("closed",)), metadata={"n": 2}),
        ]
    )
    with pytest.raises(NotAllowedError):
        await opened.apply([Upsert((text("closed", "mine now"),))])
    (kept,) = await (await house.open("docs", CLERK)).fetch(["closed"])
    assert (kept.text, kept.metadata) == ("profit", {"n": 1})


async def test_a_question_finds_what_means_the_same_and_what_says_the_same(house: House) -> None:
    await house.create(SPEC, OPERATOR)
    passages = [
        text(f"{number}", said, document=f"d{number // 2}", position=number)
        for number, said in enumerate(
            ["join a second machine", "join a machine twice", "cook a soup", "sail the sea"]
        )
    ]
    await (await house.open("docs", OPERATOR)).apply([Upsert(tuple(passages))])
    question = Recall(text="how do I join a second machine", limit=3)
    recalled = await house.recall("docs", question, BOB)
    first = recalled.passages[0]
    assert (first.id, first.document, first.position) == ("0", "d0", 0)
    assert first.digest.startswith("blake3:")
    once = await house.recall("docs", Recall(text="join a machine", limit=3, per_document=1), BOB)
    assert len({passage.document for passage in once.passages}) == len(once.passages)
    varied = await house.recall("docs", Recall(text="join a machine", limit=2, variety=0.9), BOB)
    assert {passage.document for passage in varied.passages} != {"d0"}


async def test_a_search_of_too_many_questions_is_refused_before_any_is_embedded(
    house: House, door: CountingDoor
) -> None:
    await house.create(SPEC, BOB)
    opened = await house.open("docs", BOB)
    several = tuple(Branch(Like(f"question {number}")) for number in range(PREFETCHES_MAX + 1))
    with pytest.raises(BadRequestError, match="at most"):
        await opened.search(Search(query=Fused(several)))
    assert not door.batches
    await opened.search(Search(query=Fused(several[1:])))
    long = "word " * RECORD_TEXT_BYTES_MAX
    with pytest.raises(BadRequestError, match="too long"):
        await house.recall("docs", Recall(text=long), BOB)


async def test_what_can_not_be_asked_is_refused_with_what_to_do(house: House) -> None:
    with pytest.raises(NotFoundError, match="littoral memory"):
        await house.open("docs", BOB)
    await house.create(CollectionSpec(name="bare", vectors=(VectorField(2),)), BOB)
    bare = await house.open("bare", BOB)
    with pytest.raises(BadRequestError, match="no model"):
        await bare.search(Search(query=Like("text")))
    await house.create(SPEC, BOB)
    with pytest.raises(BadRequestError, match="empty"):
        await house.recall("docs", Recall(text=" "), BOB)
    with pytest.raises(UnsupportedError):
        await house.recall("docs", Recall(text="x", rerank=ModelName("none")), BOB)
