"""One suite that every driver of collections passes; the one on paper says what is right.

Another driver joins by a row in `DRIVERS`.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from littoral.adapters.memory.embedded import open_collections
from littoral.sim.collections import PaperCollections
from littoral.terms.collections import Collection, Collections
from littoral.terms.errors import BadRequestError, ConflictError, NotFoundError
from littoral.terms.filters import All, Any, Filter, Has, Is, Not
from littoral.terms.memory import (
    Ability,
    Applied,
    Branch,
    CollectionSpec,
    Delete,
    DeleteWhere,
    FieldKind,
    Found,
    Fused,
    Metric,
    Nearest,
    Patch,
    Record,
    Scan,
    Search,
    Sparse,
    SparseNearest,
    Upsert,
    VectorField,
    Words,
)
from tests.contract.collections_made import (
    SPEC,
    filter_made,
    packed,
    search_made,
    write_made,
)

DRIVERS: dict[str, Callable[[Path], Collections]] = {
    "paper": lambda _: PaperCollections(),
    "embedded": open_collections,
}


@pytest.fixture(params=list(DRIVERS))
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Collections]:
    made = DRIVERS[request.param](tmp_path)
    yield made
    made.close()


@pytest.fixture
def collection(driver: Collections) -> Collection:
    driver.create(SPEC)
    return driver.open(SPEC.name)


def plain(*ids: str, **metadata: object) -> Upsert:
    return Upsert(tuple(Record(id=each, metadata=metadata) for each in ids))


def ids_of(found: Found) -> list[str]:
    return [hit.record.id for hit in found.hits]


def everything(collection: Collection, where: Filter | None = None) -> list[Record]:
    records: list[Record] = []
    after = ""
    while True:
        page = collection.scan(Scan(where=where, after=after, limit=7, with_vectors=True))
        records += page.records
        if not page.next:
            return records
        after = page.next


def assert_same(found: Found, right: Found) -> None:
    assert [hit.score for hit in found.hits] == pytest.approx([hit.score for hit in right.hits])
    assert [hit.record for hit in found.hits] == [hit.record for hit in right.hits]


@pytest.mark.parametrize("seed", range(8))
def test_changes_and_searches_by_chance_give_what_they_give_on_paper(
    driver: Collections, seed: int
) -> None:
    chance = random.Random(seed)
    paper = PaperCollections()
    for each in (driver, paper):
        each.create(SPEC)
    collection, right = driver.open(SPEC.name), paper.open(SPEC.name)
    for _ in range(12):
        writes = [write_made(chance) for _ in range(1 + chance.randrange(3))]
        assert collection.apply(writes) == right.apply(writes)
        assert everything(collection) == everything(right)
        for _ in range(12):
            where = filter_made(chance)
            assert collection.count(where) == right.count(where), where
            assert everything(collection, where) == everything(right, where), where
            search = search_made(chance)
            assert_same(collection.search(search), right.search(search))
    ids = [f"id-{chance.randrange(60)}" for _ in range(30)]
    assert collection.fetch(ids, with_vectors=True) == right.fetch(ids, with_vectors=True)
    assert collection.fetch(ids) == right.fetch(ids)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_asked_again_after_each_change_is_given_as_it_is_on_paper(
    driver: Collections, seed: int
) -> None:
    chance = random.Random(100 + seed)
    paper = PaperCollections()
    for each in (driver, paper):
        each.create(SPEC)
    collection, right = driver.open(SPEC.name), paper.open(SPEC.name)
    searches = [search_made(chance) for _ in range(4)]
    for where in (None, *(filter_made(chance) for _ in range(4))):
        query = Nearest(packed(*(chance.choice((-1.0, 0.0, 0.5)) for _ in range(3))))
        searches += [
            Search(query=query, where=where, limit=5, with_content=content)
            for content in (False, True)
        ]
    for _ in range(8):
        writes = [write_made(chance) for _ in range(1 + chance.randrange(2))]
        assert collection.apply(writes) == right.apply(writes)
        for search in searches:
            expected = right.search(search)
            for _ in range(2):
                assert_same(collection.search(search), expected)


def test_a_collection_is_made_once_listed_and_forgotten(driver: Collections) -> None:
    driver.create(SPEC)
    driver.create(CollectionSpec(name="MADE"))
    driver.create(CollectionSpec(name="made", scope="somebody"))
    with pytest.raises(ConflictError):
        driver.create(CollectionSpec(name="made"))
    driver.open("made").apply([plain("a", "b")])
    shown = [(each.spec.scope, each.spec.name, each.records) for each in driver.describe()]
    assert shown == [("", "MADE", 0), ("", "made", 2), ("somebody", "made", 0)]
    assert driver.describe()[1].spec == SPEC
    driver.drop("made")
    for forgotten in (driver.open, driver.drop):
        with pytest.raises(NotFoundError):
            forgotten("made")
    driver.create(CollectionSpec(name="made"))
    assert driver.open("made").count() == 0
    assert driver.open("made", "somebody").count() == 0


def test_the_same_collection_is_the_same_object(driver: Collections) -> None:
    driver.create(SPEC)
    assert driver.open("made") is driver.open("made")


def test_a_change_that_cannot_be_made_undoes_all_of_its_call(collection: Collection) -> None:
    collection.apply([plain("a")])
    bad = (
        Record(id=""),
        Record(id="x" * 513),
        Record(id="b", vectors={"": packed(1, 2)}),
        Record(id="b", vectors={"": packed(1, 2, float("nan"))}),
        Record(id="b", vectors={"unknown": packed(1)}),
        Record(id="b", sparse={"terms": Sparse((1, 1), (1.0, 2.0))}),
        Record(id="b", metadata={"big": "x" * 300_000}),
        Record(id="b", metadata={"number": float("inf")}),
        Record(id="b", metadata={"number": 2**64}),
        Record(id="b", metadata={"object": object()}),
        Record(id="b", text="x" * 300_000),
        Record(id="b", labels=tuple(map(str, range(65)))),
    )
    for record in bad:
        with pytest.raises(BadRequestError):
            collection.apply([Delete(("a",)), plain("c"), Upsert((record,))])
        assert [each.id for each in everything(collection)] == ["a"]
    with pytest.raises(BadRequestError):
        collection.apply([plain("c"), DeleteWhere(Has("$none"))])
    assert collection.count() == 1


def test_numbers_of_changes_grow_by_what_was_changed(collection: Collection) -> None:
    assert collection.apply([]) == Applied(0, 0)
    assert collection.apply([plain("a", "b", "a")]) == Applied(2, 2)
    assert collection.apply([Delete(("b", "b", "c"))]) == Applied(3, 1)
    patch = Patch(where=Has("none"), metadata={"x": 1})
    assert collection.apply([patch, plain("a"), plain("a")]) == Applied(5, 2)
    search = Search(query=Nearest(packed(1, 1, 1)))
    assert collection.search(search).through == 5


def test_each_search_sees_every_change_before_it(collection: Collection) -> None:
    search = Search(query=Nearest(packed(1, 0, 0)), limit=3)
    for number in range(30):
        vectors = {"": packed(number, 0, 0)}
        collection.apply([Upsert((Record(id=f"{number:03}", vectors=vectors),))])
        assert ids_of(collection.search(search))[0] == f"{number:03}"
        if number % 3 == 2:
            collection.apply([Delete((f"{number:03}",))])
            assert ids_of(collection.search(search))[0] == f"{number - 1:03}"


def test_of_equal_scores_the_lower_id_comes_first(collection: Collection) -> None:
    ids = [f"{number:02}" for number in range(50)]
    vectors = {"": packed(1, 2, 3), "tokens": packed(1, 2, 3, 4)}
    sparse = {"terms": Sparse((1,), (1.0,))}
    shuffled = random.Random(1).sample(ids, 50)
    records = [Record(id=e, vectors=vectors, sparse=sparse, text="moss") for e in shuffled]
    collection.apply([Upsert(tuple(records))])
    queries = (
        Nearest(packed(1, 0, 0)),
        Nearest(packed(1, 0), "tokens"),
        SparseNearest(Sparse((1,), (1.0,)), "terms"),
        Words("moss"),
    )
    for query in (*queries, Fused(tuple(Branch(query) for query in queries))):
        found = collection.search(Search(query=query, limit=5, offset=3))
        assert ids_of(found) == ids[3:8]


def test_words_find_the_texts_and_headers_that_have_one_of_them(collection: Collection) -> None:
    records = (
        Record(id="a", text="Peat bogs keep water and carbon.", labels=("x",)),
        Record(id="b", text="A ship carries sand.", header="Harbours > Water"),
        Record(id="c", text="Nothing of that kind."),
        Record(id="d", text="water water water"),
    )
    collection.apply([Upsert(records)])
    found = collection.search(Search(query=Words("water, carbon!")))
    assert set(ids_of(found)) == {"a", "b", "d"}
    assert ids_of(found)[0] == "a"
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)
    labelled = Search(query=Words("water"), where=Is("$labels", ("x",)))
    assert ids_of(collection.search(labelled)) == ["a"]
    for odd in ("NOT", '"', "a* OR (b", "text: water AND NEAR(x y)", "';--", "🙂", "- +", "\0"):
        collection.search(Search(query=Words(odd)))
    many = " ".join(f"word{number}" for number in range(1_000))
    assert collection.search(Search(query=Words(f"water {many}"))).hits
    collection.apply([Upsert((Record(id="a", text="dry"),)), Delete(("b",))])
    assert ids_of(collection.search(Search(query=Words("water carbon harbours")))) == ["d"]


def test_a_record_comes_back_as_it_was(collection: Collection) -> None:
    record = Record(
        id="ä \0 \U0001f600 ' \" %",
        vectors={"": packed(1, -2, 0.5), "tokens": packed(1, 2, 3, 4)},
        sparse={"terms": Sparse((9, 3), (0.25, -1.0))},
        text="line\nline \0 end",
        header="h > i",
        metadata={"a": [1, {"b": None}], "c": {"d": 1.5}, "": True, "big": 2**64 - 1},
        document="file.md",
        position=7,
        labels=("x", ""),
    )
    collection.apply([Upsert((record,))])
    assert collection.fetch([record.id], with_vectors=True) == [record]
    assert everything(collection) == [record]
    (bare,) = collection.fetch([record.id])
    assert (bare.vectors, bare.sparse, bare.metadata) == ({}, {}, record.metadata)
    search = Search(query=Nearest(packed(1, 0, 0)), with_content=False)
    assert [hit.record for hit in collection.search(search).hits] == [Record(id=record.id)]
    assert collection.fetch(["none"]) == []


def test_wide_and_deep_filters_mean_what_they_say(collection: Collection) -> None:
    collection.apply([Upsert(tuple(Record(id=f"{n}", metadata={"size": n}) for n in range(50)))])
    wide = Any(tuple(Is("size", (number,)) for number in range(0, 8_000, 2)))
    assert collection.count(wide) == 25
    assert collection.count(Is("size", tuple(range(0, 10_000, 5)))) == 10
    assert collection.count(All(tuple(Has("size") for _ in range(1_000)))) == 50
    many = Any(tuple(Is("size", tuple(range(at, 10_000))) for at in (40, 41, 42, 43)))
    assert collection.count(many) == 10
    deep: Filter = Has("size")
    for _ in range(16):
        deep = Not(deep)
    assert collection.count(deep) == 50
    with pytest.raises(BadRequestError):
        collection.count(Not(deep))


def test_what_makes_no_sense_is_refused(driver: Collections, collection: Collection) -> None:
    searches = (
        Search(query=Nearest(packed(1, 2))),
        Search(query=Nearest(packed(1, 2, 3), "unknown")),
        Search(query=SparseNearest(Sparse((1,), (1.0,)), "unknown")),
        Search(query=Words(" ")),
        Search(query=Fused(())),
        Search(query=Words("x"), where=Is("", ("x",))),
    )
    for search in searches:
        with pytest.raises(BadRequestError):
            collection.search(search)
    with pytest.raises(BadRequestError):
        driver.create(CollectionSpec(name="x", vectors=(VectorField(3), VectorField(4))))
    with pytest.raises(BadRequestError):
        driver.create(CollectionSpec(name="x", fields={"$x": FieldKind.KEYWORD}))


def test_texts_that_are_no_unicode_are_refused_and_found_nowhere(driver: Collections) -> None:
    driver.create(CollectionSpec(name="x", vectors=(VectorField(2, metric=Metric.L2),)))
    collection = driver.open("x")
    if type(collection).__module__.startswith("littoral.sim"):
        return
    half = "\ud800"
    for record in (Record(id="a", text=half), Record(id="a", metadata={half: half})):
        with pytest.raises(BadRequestError):
            collection.apply([Upsert((record,))])
    assert collection.count() == 0


def test_a_driver_says_what_it_can_do(driver: Collections) -> None:
    assert driver.abilities <= frozenset(Ability)
