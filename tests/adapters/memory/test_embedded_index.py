"""The index of the embedded driver: in step with the truth, made again whatever happens to it."""

import itertools
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from littoral.adapters.memory.embedded import (
    EmbeddedCollection,
    EmbeddedCollections,
    indexing,
    open_collections,
    quick,
)
from littoral.adapters.memory.embedded.indexing import FieldIndex
from littoral.adapters.memory.scan.building import building_alone
from littoral.terms.filters import All, Any, Between, Filter, Is, Not
from littoral.terms.memory import (
    CollectionSpec,
    Delete,
    DeleteWhere,
    FieldKind,
    Metric,
    Nearest,
    Patch,
    Record,
    Search,
    Upsert,
    VectorField,
)
from tests.contract.collections_made import packed

Vectors = NDArray[np.float32]
Flags = NDArray[np.bool_]

DIMENSIONS = 64
COUNT = 4_500
"""Vectors from which there are codes, and some more."""

SPEC = CollectionSpec(
    name="index",
    vectors=(VectorField(DIMENSIONS, metric=Metric.L2),),
    fields={"tenth": FieldKind.INTEGER},
)


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    """Of few directions, as those of texts are."""
    chance = np.random.default_rng(1)
    plain = chance.normal(size=(2 * COUNT, 8)) @ chance.normal(size=(8, DIMENSIONS))
    return (plain + 0.1 * chance.normal(size=plain.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory,
    vectors: Vectors,
) -> Path:
    """A home with a collection that is indexed; tests take copies."""
    home = tmp_path_factory.mktemp("filled")
    collections = open_collections(home)
    collections.create(SPEC)
    collection = collections.open(SPEC.name)
    collection.apply([Upsert(tuple(record(number, vectors[number]) for number in range(COUNT)))])
    found(collection, vectors[0])
    assert settled(collections)
    assert "codes scanned" in plan(collection, vectors[0])
    collections.close()
    return home


@pytest.fixture
def home(tmp_path: Path, filled: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "home"))


@pytest.fixture
def collections(home: Path) -> Iterator[EmbeddedCollections]:
    made = open_collections(home)
    yield made
    made.close()


@pytest.fixture
def collection(collections: EmbeddedCollections) -> EmbeddedCollection:
    return collections.open(SPEC.name)


def record(number: int, vector: Vectors) -> Record:
    return Record(
        id=f"{number:05}", vectors={"": vector.tobytes()}, metadata={"tenth": number % 10}
    )


def found(
    collection: EmbeddedCollection,
    query: Vectors,
    where: Filter | None = None,
    *,
    content: bool = False,
) -> list[str]:
    search = Search(query=Nearest(query.tobytes()), where=where, with_content=content)
    return [hit.record.id for hit in collection.search(search).hits]


def at_once(
    collection: EmbeddedCollection, query: Vectors, where: Filter | None = None, limit: int = 10
) -> list[str] | None:
    """What is found without a thread; None where one is needed."""
    query_of = Nearest(query.tobytes())
    search = Search(query=query_of, limit=limit, where=where, with_content=False)
    given = collection.at_once(search)
    return None if given is None else [hit.record.id for hit in given.hits]


def plan(collection: EmbeddedCollection, query: Vectors) -> str:
    return " ".join(collection.search(Search(query=Nearest(query.tobytes()))).plan)


def settled(collections: EmbeddedCollections) -> bool:
    assert collections._upkeep is not None
    return collections._upkeep.settle(60)


def index_of(collection: EmbeddedCollection) -> FieldIndex:
    return collection._indexes[""]


def folder_of(home: Path) -> Path:
    (folder,) = home.glob("memory/*/index-0-*")
    return folder


def assert_found(
    collection: EmbeddedCollection,
    vectors: Vectors,
    alive: Flags,
    where: Filter | None = None,
) -> None:
    """Nearly all of the nearest are found, and nothing that is not there."""
    hit = wanted = 0
    for at in range(0, 40, 4):
        query = vectors[at] + np.float32(0.3)
        apart = np.where(alive, ((vectors - query) ** 2).sum(axis=1), np.inf)
        right = {f"{number:05}" for number in np.argsort(apart)[:10]}
        got = found(collection, query, where, content=bool(at % 8))
        assert all(alive[int(each)] for each in got)
        hit += len(right & set(got))
        wanted += 10
    assert hit >= 0.97 * wanted


def test_what_is_written_and_forgotten_is_seen_through_the_index(
    collections: EmbeddedCollections,
    collection: EmbeddedCollection,
    vectors: Vectors,
) -> None:
    chance = random.Random(2)
    alive = np.arange(2 * COUNT) < COUNT
    for _ in range(3):
        gone = chance.sample(range(COUNT), 100)
        new = chance.sample(range(COUNT, 2 * COUNT), 1_000)
        alive[gone], alive[new] = False, True
        collection.apply(
            [
                Delete(tuple(f"{number:05}" for number in gone)),
                Upsert(tuple(record(number, vectors[number]) for number in new)),
            ]
        )
        assert_found(collection, vectors, alive)
        odd = np.arange(2 * COUNT) % 10 == 3
        assert_found(collection, vectors, alive & odd, Is("tenth", (3,)))
        many = Any((Is("tenth", (1, 2)), Between("tenth", gte=5)))
        tenths = np.arange(2 * COUNT) % 10
        assert_found(
            collection, vectors, alive & ((tenths >= 5) | (tenths == 1) | (tenths == 2)), many
        )
    assert settled(collections)
    assert_found(collection, vectors, alive)
    assert "codes scanned" in plan(collection, vectors[0])


def test_an_import_is_indexed_without_waiting_for_a_search(
    tmp_path: Path, vectors: Vectors
) -> None:
    collections = open_collections(tmp_path)
    collections.create(SPEC)
    collection = collections.open(SPEC.name)
    for start in range(0, COUNT, 1_000):
        new = tuple(record(number, vectors[number]) for number in range(start, start + 1_000))
        collection.apply([Upsert(new)])
    assert settled(collections)
    assert list(folder_of(tmp_path).glob("g-*/codes.u8"))
    assert "codes scanned" in plan(collection, vectors[0])
    collections.close()


def test_filters_that_are_kept_follow_what_is_written(
    collection: EmbeddedCollection,
    vectors: Vectors,
) -> None:
    where = All((Is("tenth", (7,)), Not(Is("seen", (True,)))))
    near = found(collection, vectors[7], where)
    assert near[0] == "00007"
    collection.apply([Patch(where=Is("tenth", (7,)), metadata={"seen": True})])
    assert found(collection, vectors[7], where) == []
    for number in (7, 17, 27):
        collection.apply([Upsert((record(number, vectors[number]),))])
    assert set(found(collection, vectors[7], where)) == {"00007", "00017", "00027"}
    collection.apply([Delete(("00017",))])
    assert set(found(collection, vectors[7], where)) == {"00007", "00027"}
    collection.apply([DeleteWhere(Is("tenth", (7,)))])
    assert found(collection, vectors[7], where) == []


@pytest.mark.parametrize("damage", ["missing", "no codes", "garbage", "nowhere"])
def test_an_index_that_is_missing_or_damaged_is_made_again_and_fails_no_search(
    home: Path,
    vectors: Vectors,
    damage: str,
) -> None:
    folder = folder_of(home)
    match damage:
        case "missing":
            shutil.rmtree(folder)
        case "no codes":
            next(folder.glob("g-*/codes.u8")).unlink()
        case "garbage":
            next(folder.glob("g-*/codes.u8")).write_bytes(b"x" * 1_000)
        case _:
            shutil.rmtree(folder)
            folder.write_bytes(b"a file, where the folder was")
    collections = open_collections(home)
    collection = collections.open(SPEC.name)
    assert_found(collection, vectors, np.arange(2 * COUNT) < COUNT)
    assert settled(collections)
    if damage == "nowhere":
        assert "compared" in collection.shown().index
        folder.unlink()
        for _ in range(100):
            found(collection, vectors[0])
        assert settled(collections)
    assert_found(collection, vectors, np.arange(2 * COUNT) < COUNT)
    assert "codes scanned" in plan(collection, vectors[0])
    assert collection.shown().index == "vectors: 4,500 vectors"
    collections.close()


def test_an_index_that_goes_while_it_is_used_fails_no_search(
    home: Path,
    collection: EmbeddedCollection,
    vectors: Vectors,
) -> None:
    alive = np.arange(2 * COUNT) < COUNT
    assert_found(collection, vectors, alive)
    shutil.rmtree(folder_of(home))
    collection.apply([Upsert((record(COUNT, vectors[COUNT]),))])
    alive[COUNT] = True
    assert_found(collection, vectors, alive)
    assert found(collection, vectors[COUNT])[0] == f"{COUNT:05}"


def test_a_truth_from_a_backup_is_believed_and_its_index_is_not(
    home: Path, vectors: Vectors
) -> None:
    (truth,) = home.glob("memory/*/truth.sqlite")
    backup = truth.read_bytes()
    collections = open_collections(home)
    collection = collections.open(SPEC.name)
    new = tuple(record(number, vectors[number]) for number in range(COUNT, 2 * COUNT))
    collection.apply([Upsert(new)])
    found(collection, vectors[0])
    assert settled(collections)
    collections.close()
    truth.write_bytes(backup)
    collections = open_collections(home)
    assert_found(collections.open(SPEC.name), vectors, np.arange(2 * COUNT) < COUNT)
    collections.close()


def test_after_a_power_cut_numbers_that_are_used_again_fool_no_index(
    home: Path, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    (truth,) = home.glob("memory/*/truth.sqlite")
    backup = truth.read_bytes()
    collections = open_collections(home)
    collection = collections.open(SPEC.name)
    seen = collection.changes(0, 10**9)
    collection.apply([Upsert((record(COUNT, vectors[COUNT]),))])
    found(collection, vectors[0])
    collection._indexes[""]._rebuild()
    collections.close()
    truth.write_bytes(backup)  # what was committed last is lost, the index is not
    monkeypatch.setattr("littoral.adapters.memory.embedded.era._BOOT_FILE", home / "none")
    monkeypatch.setattr("littoral.adapters.memory.embedded.collection.left_open", bool)
    collections = open_collections(home)
    collection = collections.open(SPEC.name)
    collection.apply([Upsert((record(COUNT + 1, vectors[COUNT + 1]),))])
    alive = np.arange(2 * COUNT) < COUNT
    alive[COUNT + 1] = True
    assert_found(collection, vectors, alive)
    assert found(collection, vectors[COUNT + 1])[0] == f"{COUNT + 1:05}"
    anew = collection.changes(seen.through, 10**9, era=seen.era)
    assert (anew.after, anew.whole) == (0, True)
    collections.close()


def test_a_process_that_reads_only_uses_the_index_and_follows_the_truth(
    home: Path,
    collections: EmbeddedCollections,
    collection: EmbeddedCollection,
    vectors: Vectors,
) -> None:
    reading = open_collections(home, read_only=True)
    other = reading.open(SPEC.name)
    alive = np.arange(2 * COUNT) < COUNT
    assert_found(other, vectors, alive)
    assert "codes scanned" in plan(other, vectors[0])
    for start in range(COUNT, 2 * COUNT, 1_500):
        new = range(start, start + 1_500)
        collection.apply([Upsert(tuple(record(number, vectors[number]) for number in new))])
        alive[start : start + 1_500] = True
        assert_found(other, vectors, alive)
        found(collection, vectors[0])
        assert settled(collections)
    assert_found(other, vectors, alive)
    reading.close()


def test_what_has_come_is_built_in_when_nothing_is_written_for_a_while(
    collections: EmbeddedCollections,
    collection: EmbeddedCollection,
    vectors: Vectors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(indexing, "MEMORY_QUIET_S", 3_600.0)
    found(collection, vectors[0])
    some = range(COUNT, COUNT + 600)
    collection.apply([Upsert(tuple(record(number, vectors[number]) for number in some))])
    assert settled(collections)
    waits = "5,100 vectors, to be built when nothing is written: 600 vectors have come to 4,500"
    assert collection.shown().index == f"vectors: {waits}"
    monkeypatch.setattr(indexing, "MEMORY_QUIET_S", 0.0)
    collection.apply([Delete((f"{0:05}",)), Upsert((record(5_100, vectors[5_100]),))])
    assert collections._upkeep is not None
    assert collections._upkeep.settle(60, later=True)
    assert collection.shown().index == "vectors: 5,100 vectors"
    alive = np.arange(2 * COUNT) <= COUNT + 600
    alive[0] = False
    assert_found(collection, vectors, alive)
    assert_found(collection, vectors, alive & (np.arange(2 * COUNT) % 10 == 3), Is("tenth", (3,)))


def test_what_another_process_builds_is_gone_on_with_though_nothing_is_written(
    home: Path,
    collections: EmbeddedCollections,
    collection: EmbeddedCollection,
    vectors: Vectors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = open_collections(home)
    some = range(COUNT, COUNT + 600)
    collection.apply([Upsert(tuple(record(number, vectors[number]) for number in some))])
    monkeypatch.setattr(indexing, "MEMORY_QUIET_S", 0.01)
    with building_alone(folder_of(home)) as alone:
        assert alone
        found(other.open(SPEC.name), vectors[0])
        for _ in range(3):
            assert settled(other)
        assert "to be built" in other.open(SPEC.name).shown().index
    assert other._upkeep is not None
    assert other._upkeep.settle(60, later=True)
    assert other.open(SPEC.name).shown().index == "vectors: 5,100 vectors"
    other.close()


def test_of_equal_scores_the_lower_id_comes_first_also_from_memory(
    collection: EmbeddedCollection, vectors: Vectors
) -> None:
    names = ["b", "d", "a", "c"]
    same = [
        Record(id=name, vectors={"": (vectors[0] + 50).tobytes()}, metadata={"tenth": 11})
        for name in names
    ]
    collection.apply([Upsert(tuple(same))])
    for where in (None, Is("tenth", (11,))):
        for _ in range(2):
            assert found(collection, vectors[0] + 50, where)[:4] == sorted(names)
        for offset, limit in ((0, 2), (1, 2), (3, 1)):
            query = Nearest((vectors[0] + 50).tobytes())
            search = Search(
                query=query, where=where, offset=offset, limit=limit, with_content=False
            )
            hits = collection.search(search).hits
            assert [hit.record.id for hit in hits] == sorted(names)[offset : offset + limit]
            assert collection.at_once(search) == collection.search(search)


def test_numbers_that_an_index_cannot_compare_are_compared_all_the_same(tmp_path: Path) -> None:
    collections = open_collections(tmp_path)
    collections.create(CollectionSpec(name="x", vectors=(VectorField(2, metric=Metric.DOT),)))
    collection = collections.open("x")
    collection.apply([Upsert((Record(id="a", vectors={"": packed(1, 0)}),))])
    huge = Search(query=Nearest(packed(1e30, 0)), with_content=False)
    for _ in range(2):
        assert collection.search(huge).hits[0].score == pytest.approx(1e30)
    collection.apply([Upsert((Record(id="b", vectors={"": packed(1e30, 0)}),))])
    search = Search(query=Nearest(packed(1, 0)), with_content=False)
    assert [hit.record.id for hit in collection.search(search).hits] == ["b", "a"]
    collections.close()


def test_a_search_that_takes_little_is_answered_at_once_as_any_other(
    collection: EmbeddedCollection, vectors: Vectors
) -> None:
    assert at_once(collection, vectors[0]) is None, "nothing is in memory yet"
    for at in range(0, 40, 4):
        expected = found(collection, vectors[at])
        assert at_once(collection, vectors[at]) == expected
    collection.apply([Delete((f"{0:05}",))])
    expected = found(collection, vectors[0])
    assert at_once(collection, vectors[0]) == expected
    assert f"{0:05}" not in expected


def test_a_search_that_takes_more_is_left_to_a_thread(
    collection: EmbeddedCollection, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenth = Is("tenth", (3,))
    found(collection, vectors[0])
    expected = found(collection, vectors[0], tenth)
    assert at_once(collection, vectors[0], tenth) == expected
    assert at_once(collection, vectors[0], Is("tenth", (4,))) is None, "its rows are not known"
    query = Nearest(vectors[0].tobytes())
    assert collection.at_once(Search(query=query)) is None, "texts are on the disk"
    half = Between("tenth", lt=5)
    assert at_once(collection, vectors[0], half) is None, "their codes are not gathered yet"
    search = Search(query=query, where=half, with_content=False)
    expected = found(collection, vectors[0], half)
    assert "codes scanned" in " ".join(collection.search(search).plan)
    assert at_once(collection, vectors[0], half) == expected
    collection.apply([Delete((expected[0],))])
    assert at_once(collection, vectors[0], half) is None
    assert expected[0] not in found(collection, vectors[0], half)
    assert at_once(collection, vectors[0], half) == found(collection, vectors[0], half)
    monkeypatch.setattr(indexing, "MEMORY_AT_ONCE_BYTES", COUNT * DIMENSIONS // 8)
    assert at_once(collection, vectors[0]) is None


def test_after_a_search_that_read_from_the_disk_the_next_ones_are_left_to_threads(
    collection: EmbeddedCollection, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = found(collection, vectors[0])
    pages = itertools.count()
    monkeypatch.setattr(quick, "_pages_read", lambda: next(pages))
    assert at_once(collection, vectors[0]) == expected
    monkeypatch.setattr(quick, "_pages_read", lambda: 0)
    given = [at_once(collection, vectors[0]) for _ in range(quick._LEFT_TO_THREADS + 1)]
    assert given[-1] == expected
    assert not any(given[:-1])
