"""Collections that move from one driver to another: whole, once, whatever breaks off."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from random import Random

import pytest

from littoral.adapters.memory.embedded import open_collections
from littoral.adapters.memory.milvus import MilvusCollections
from littoral.adapters.memory.pgvector import Link, PgvectorCollections
from littoral.node.memory.moving import Journal, Move, hidden, move
from littoral.sim.collections import PaperCollection, PaperCollections
from littoral.terms.collections import Collections
from littoral.terms.errors import (
    ConflictError,
    NotFoundError,
    StoreError,
    UnsupportedError,
    UpstreamFailedError,
)
from littoral.terms.memory import Applied, CollectionSpec, Delete, Record, Scan, Upsert, Write
from tests.contract.collections_made import SPEC, record_made
from tests.stores import Postgres

THERE = Move("made", "", "here", "there")


@pytest.fixture
def records() -> tuple[Record, ...]:
    chance = Random(5)
    made = (record_made(chance, ids=900) for _ in range(1_400))
    return tuple({each.id: each for each in made}.values())


@pytest.fixture
def here(records: tuple[Record, ...]) -> PaperCollections:
    paper = PaperCollections()
    paper.create(SPEC)
    paper.open("made").apply([Upsert(records)])
    return paper


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


def everything(collections: Collections) -> Sequence[Record]:
    return collections.open("made").scan(Scan(limit=10_000, with_vectors=True)).records


class Meddled(PaperCollections):
    """A target that does something before each write."""

    def __init__(self, before: Callable[[], None]) -> None:
        super().__init__()
        self._before = before

    def open(self, name: str, scope: str = "") -> PaperCollection:
        found = super().open(name, scope)
        apply = type(found).apply

        def meddled(writes: Sequence[Write]) -> Applied:
            self._before()
            return apply(found, writes)

        found.apply = meddled  # type: ignore[method-assign]
        return found


def test_a_collection_moves_to_postgres_and_back_and_is_the_same(
    here: PaperCollections, postgres: Postgres, tmp_path: Path, journal: Journal
) -> None:
    before = everything(here)
    server = PgvectorCollections(Link(postgres.address, ""))
    embedded = open_collections(tmp_path)
    drivers: dict[str, Collections] = {"here": here, "pgvector": server, "embedded": embedded}
    told: list[tuple[int, int]] = []
    digests = []
    for source, target in (("here", "embedded"), ("embedded", "pgvector"), ("pgvector", "here")):
        moved = move(
            drivers,
            Move("made", "", source, target),
            journal,
            told=lambda done, every: told.append((done, every)),
        )
        assert moved.records == len(before)
        digests.append(moved.digest)
        with pytest.raises(NotFoundError):
            drivers[source].open("made")
    assert everything(here) == before
    assert len(set(digests)) == 1
    assert told[-1] == (len(before), len(before))
    assert journal.moves() == []
    server.close()
    embedded.close()


def test_a_move_that_broke_off_goes_on_and_meanwhile_the_source_is_the_collection(
    here: PaperCollections, journal: Journal
) -> None:
    before, left = everything(here), iter((None,))

    def break_off() -> None:
        if next(left, "none") == "none":
            raise UpstreamFailedError("the server has gone")

    there = Meddled(break_off)
    drivers: dict[str, Collections] = {"here": here, "there": there}
    with pytest.raises(UpstreamFailedError):
        move(drivers, THERE, journal)
    assert 0 < there.open("made").count() < len(before)
    assert hidden(journal.moves()) == {("there", "", "made")}
    with pytest.raises(ConflictError, match="on the move"):
        move({**drivers, "else": PaperCollections()}, Move("made", "", "here", "else"), journal)
    left = iter((None,) * 100)
    move(drivers, THERE, journal)
    assert everything(there) == before
    assert hidden(journal.moves()) == set()


def test_what_changes_meanwhile_is_caught_up_with(here: PaperCollections, journal: Journal) -> None:
    source, changes = here.open("made"), iter(range(3))

    def change() -> None:
        for number in changes:
            late = Record(id=f"late {number}")
            source.apply([Upsert((late,)), Delete((everything(here)[0].id,))])
            break

    there = Meddled(change)
    moved = move({"here": here, "there": there}, THERE, journal, still=nullcontext)
    assert moved.passes > 2
    assert {each.id for each in everything(there)} >= {"late 0", "late 1", "late 2"}


def test_a_move_that_was_killed_when_all_was_proven_only_lets_the_source_go(
    here: PaperCollections, journal: Journal
) -> None:
    class Stubborn(PaperCollections):
        def drop(self, name: str, scope: str = "") -> None:
            raise StoreError("killed")

    source = Stubborn()
    source.create(SPEC)
    source.open("made").apply([Upsert((Record(id="a"),))])
    there = PaperCollections()
    with pytest.raises(StoreError):
        move({"here": source, "there": there}, THERE, journal)
    assert hidden(journal.moves()) == {("here", "", "made")}
    there.open("made").apply([Upsert((Record(id="since then"),))])
    assert move({"here": here, "there": there}, THERE, journal).records == 2
    assert here.describe() == []


def test_what_the_target_cannot_keep_or_has_already_is_said_before_anything_is_made(
    here: PaperCollections, journal: Journal, milvus: str
) -> None:
    server = MilvusCollections(milvus, "")
    with pytest.raises(UnsupportedError):
        move({"here": here, "there": server}, THERE, journal)
    server.close()
    other = PaperCollections()
    other.create(CollectionSpec(name="made"))
    with pytest.raises(ConflictError):
        move({"here": here, "there": other}, THERE, journal)
    with pytest.raises(NotFoundError):
        move({"here": here, "there": other}, Move("none", "", "here", "there"), journal)
    assert journal.moves() == []


def test_a_target_that_gives_back_something_else_never_becomes_the_collection(
    here: PaperCollections, journal: Journal
) -> None:
    class Forgetful(PaperCollection):
        def scan(self, scan: Scan) -> object:  # type: ignore[override]
            page = super().scan(scan)
            return type(page)(tuple(Record(id=each.id) for each in page.records), page.next)

    class There(PaperCollections):
        def open(self, name: str, scope: str = "") -> PaperCollection:
            found = super().open(name, scope)
            found.__class__ = Forgetful
            return found

    with pytest.raises(StoreError, match="does not give back"):
        move({"here": here, "there": There()}, THERE, journal)
    assert hidden(journal.moves()) == {("there", "", "made")}
    assert here.open("made").count() == len(everything(here))
