"""Drivers that ask servers: they answer as the collections on paper do, whatever the server is.

Postgres and Milvus are real. Qdrant is the stand-in that its own client has: no server of it could
be had.
"""

import socket
import threading
from collections.abc import Iterator

import psutil
import psycopg
import pytest
from qdrant_client import QdrantClient

from littoral.adapters.memory.milvus import MilvusCollections
from littoral.adapters.memory.pgvector import Link, PgvectorCollections
from littoral.adapters.memory.qdrant import QdrantCollections, connected
from littoral.sim.collections import PaperCollections
from littoral.terms.collections import Collections
from littoral.terms.errors import (
    BadRequestError,
    ConfigError,
    ConflictError,
    LittoralError,
    NotFoundError,
    UnsupportedError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from littoral.terms.filters import Is
from littoral.terms.memory import (
    Ability,
    Applied,
    CollectionSpec,
    FieldKind,
    Metric,
    Nearest,
    Patch,
    Record,
    Search,
    Sparse,
    SparseNearest,
    Upsert,
    VectorField,
    Words,
)
from tests.contract import test_collections as suite
from tests.contract.beside_paper import Drill, packed, spec_for
from tests.contract.test_collections import (  # noqa: F401 - the suite runs here too, on Postgres
    collection,
    test_a_change_that_cannot_be_made_undoes_all_of_its_call,
    test_a_collection_is_made_once_listed_and_forgotten,
    test_a_driver_says_what_it_can_do,
    test_a_record_comes_back_as_it_was,
    test_each_search_sees_every_change_before_it,
    test_numbers_of_changes_grow_by_what_was_changed,
    test_of_equal_scores_the_lower_id_comes_first,
    test_texts_that_are_no_unicode_are_refused_and_found_nowhere,
    test_the_same_collection_is_the_same_object,
    test_what_makes_no_sense_is_refused,
    test_wide_and_deep_filters_mean_what_they_say,
    test_words_find_the_texts_and_headers_that_have_one_of_them,
)
from tests.stores import Milvus, Postgres, free_ports

DOT = CollectionSpec(
    name="dots",
    vectors=(VectorField(2, Metric.DOT),),
    fields={"number": FieldKind.INTEGER, "kind": FieldKind.KEYWORD},
)


def dots(count: int, **metadata: object) -> Upsert:
    return Upsert(
        tuple(
            Record(
                id=f"{number:04}",
                vectors={"": packed((number, 1))},
                text=f"number {number}",
                metadata={"number": number, **metadata},
            )
            for number in range(count)
        )
    )


@pytest.fixture
def driver(postgres: Postgres) -> Iterator[Collections]:
    made = PgvectorCollections(Link(postgres.address, ""))
    yield made
    for each in made.describe():
        made.drop(each.spec.name, each.spec.scope)
    made.close()


@pytest.fixture(scope="module")
def milvus_driver(milvus: str) -> Iterator[MilvusCollections]:
    made = MilvusCollections(milvus, "")
    yield made
    made.close()


@pytest.fixture
def qdrant_driver() -> Iterator[QdrantCollections]:
    made = QdrantCollections(QdrantClient(":memory:"), stand_in=True)
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(3))
def test_changes_and_searches_by_chance_give_what_they_give_on_paper(
    driver: Collections, seed: int
) -> None:
    suite.test_changes_and_searches_by_chance_give_what_they_give_on_paper(driver, seed)


class TestPgvector:
    @pytest.mark.parametrize("metric", Metric)
    @pytest.mark.parametrize("index_from", [10**6, 1])
    def test_answers_as_paper_does(
        self, postgres: Postgres, driver: Collections, metric: Metric, index_from: int
    ) -> None:
        graphs = PgvectorCollections(Link(postgres.address, ""), index_from=index_from)
        Drill(graphs, spec_for(driver.abilities, metric), seed=index_from).run(steps=8, asked=4)
        graphs.close()

    def test_makes_a_graph_when_a_collection_has_grown_to_it_and_compares_what_few_filters_leave(
        self, postgres: Postgres, driver: Collections
    ) -> None:
        graphs = PgvectorCollections(Link(postgres.address, ""), index_from=1_000)
        paper = PaperCollections()
        for each in (graphs, paper):
            each.create(DOT)
            each.open("dots").apply([dots(1_000, kind="a"), Upsert((Record(id="x"),))])
        assert graphs.describe()[0].index == "graph (HNSW)"
        compared, read = "Postgres compared every vector", "Postgres read its graph"
        for where, plan in ((None, read), (Is("number", (3, 500, 7)), compared)):
            search = Search(query=Nearest(packed((1, 0))), limit=3, where=where)
            found, right = (each.open("dots").search(search) for each in (graphs, paper))
            assert found.hits == right.hits
            assert found.plan[0].startswith(plan)
        exact = graphs.open("dots").search(Search(query=Nearest(packed((1, 0)), exact=True)))
        assert exact.plan[0].startswith(compared)
        graphs.close()

    def test_two_pops_write_to_one_collection_and_read_each_others_changes(
        self, postgres: Postgres, driver: Collections
    ) -> None:
        other = PgvectorCollections(Link(postgres.address, ""))
        driver.create(DOT)
        applied: list[Applied] = []

        def write(collections: Collections, start: int) -> None:
            for number in range(start, start + 20):
                record = Record(id=f"{number}", vectors={"": packed((number, 0))})
                applied.append(collections.open("dots").apply([Upsert((record,))]))
                assert collections.open("dots").fetch([f"{number}"])

        pairs = ((driver, 0), (driver, 100), (other, 200), (other, 300))
        threads = [threading.Thread(target=write, args=pair) for pair in pairs]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sorted(each.through for each in applied) == list(range(1, 81))
        assert driver.open("dots").count() == other.open("dots").count() == 80
        other.drop("dots")
        with pytest.raises(NotFoundError):
            driver.open("dots")
        other.close()

    def test_a_collection_that_another_has_dropped_is_no_longer_there(
        self, postgres: Postgres, driver: Collections
    ) -> None:
        driver.create(DOT)
        held = driver.open("dots")
        other = PgvectorCollections(Link(postgres.address, ""))
        other.drop("dots")
        other.close()
        for call in (held.count, lambda: held.apply([dots(1)])):
            with pytest.raises(NotFoundError):
                call()

    def test_a_server_that_stops_answering_costs_its_time_and_the_next_call_works(
        self, postgres: Postgres, driver: Collections
    ) -> None:
        driver.create(DOT)
        quick = PgvectorCollections(Link(postgres.address, "", answer_s=0.3))
        held = quick.open("dots")
        with psycopg.connect(postgres.address) as locking:
            locking.execute("LOCK TABLE littoral.collections")
            with pytest.raises(UpstreamTimeoutError):
                held.apply([dots(1)])
        assert held.apply([dots(1)]).changed == 1
        quick.close()

    def test_a_connection_that_is_cut_undoes_the_change_and_is_made_anew(
        self, postgres: Postgres, driver: Collections
    ) -> None:
        driver.create(DOT)
        held = driver.open("dots")
        cutting = (
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE application_name = %s"
        )
        failed: list[LittoralError] = []

        def apply() -> None:
            try:
                held.apply([dots(1)])
            except LittoralError as error:
                failed.append(error)

        with psycopg.connect(postgres.address) as locking:
            locking.execute("LOCK TABLE littoral.collections")
            writing = threading.Thread(target=apply)
            writing.start()
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while not (locking.execute(waiting).fetchone() or (0,))[0]:
                writing.join(timeout=0.01)
            locking.execute(cutting, ("littoral",))
            writing.join()
        assert isinstance(failed[0], UpstreamFailedError)
        assert held.count() == 0
        with psycopg.connect(postgres.address, autocommit=True) as other:
            other.execute(cutting, ("littoral",))
        assert held.apply([dots(1)]) == Applied(1, 1)

    def test_says_what_the_operator_has_to_mend_and_no_password(
        self, postgres: Postgres, driver: Collections
    ) -> None:
        with psycopg.connect(postgres.address, autocommit=True) as operator:
            operator.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
        locked = postgres.address.replace("postgres@", "locked@")
        for address, password in ((locked, "wr0ng"), (locked, ""), (locked + "x", "right")):
            with pytest.raises(ConfigError) as caught:
                PgvectorCollections(Link(address, password)).describe()
            assert "wr0ng" not in str(caught.value)
        let_in = PgvectorCollections(Link(locked, "right"))
        with pytest.raises(ConfigError, match="grant CREATE"):
            let_in.create(DOT)
        let_in.close()
        for address in (locked.replace("locked", "locked:right"), "nothing of the kind"):
            with pytest.raises(ConfigError):
                Link(address, "")
        (port,) = free_ports(1)
        nobody = PgvectorCollections(Link(f"postgresql://postgres@127.0.0.1:{port}/x", ""))
        with pytest.raises(UpstreamFailedError, match="can't be reached"):
            nobody.describe()


class TestMilvus:
    @pytest.mark.parametrize("metric", Metric)
    def test_answers_as_paper_does(self, milvus_driver: MilvusCollections, metric: Metric) -> None:
        spec = spec_for(milvus_driver.abilities, metric, f"drill.{metric.value}")
        Drill(milvus_driver, spec, seed=7).run(steps=4, asked=3)
        milvus_driver.drop(spec.name)

    def test_keeps_long_records_exact_searches_and_numbers_and_says_what_it_lacks(
        self, milvus_driver: MilvusCollections
    ) -> None:
        milvus_driver.create(DOT)
        with pytest.raises(ConflictError):
            milvus_driver.create(DOT)
        held = milvus_driver.open("dots")
        assert held is milvus_driver.open("dots")
        long = Record(id='ä \0 " \\ %', text="ö" * 200_000, metadata={"": "\\" * 60_000})
        assert held.apply([dots(300), Upsert((long,))]) == Applied(301, 301)
        assert held.fetch([long.id]) == [long]
        found = held.search(Search(query=Nearest(packed((1, 0)), exact=True), limit=2))
        assert [hit.record.id for hit in found.hits] == ["0299", "0298"]
        assert found.through == 301
        (shown,) = milvus_driver.describe()
        assert (shown.spec, shown.records, shown.through) == (DOT, 301, 301)
        lacking = (
            lambda: held.apply([Patch(where=Is("number", (1,)), metadata={"x": 1})]),
            lambda: held.search(Search(query=Words("number"))),
            lambda: milvus_driver.create(CollectionSpec(name="s", sparse=("s",))),
            lambda: milvus_driver.create(
                CollectionSpec(name="two", vectors=(VectorField(2), VectorField(2, name="b")))
            ),
        )
        for call in lacking:
            with pytest.raises(UnsupportedError):
                call()
        many = Record(id="many", metadata={"kind": [str(number) for number in range(5_000)]})
        with pytest.raises(BadRequestError):
            held.apply([dots(1), Upsert((many,))])
        MilvusCollections(milvus_driver.address, "").drop("dots")
        for gone in (held.count, lambda: milvus_driver.open("dots")):
            with pytest.raises(NotFoundError):
                gone()

    def test_a_server_that_stops_answering_costs_its_time_and_the_next_call_works(
        self, starting: Milvus, milvus: str
    ) -> None:
        quick = MilvusCollections(milvus, "", answer_s=0.5)
        quick.describe()
        process = psutil.Process(starting.process.pid)
        process.suspend()
        try:
            while process.status() != psutil.STATUS_STOPPED:
                pass
            with pytest.raises(UpstreamTimeoutError):
                quick.describe()
        finally:
            process.resume()
        assert quick.describe() == []
        quick.close()

    def test_says_when_it_cannot_be_reached(self) -> None:
        (port,) = free_ports(1)
        with pytest.raises(UpstreamFailedError):
            MilvusCollections(f"http://127.0.0.1:{port}", "").describe()


@pytest.mark.filterwarnings("ignore:Local mode")
class TestQdrant:
    @pytest.mark.parametrize("metric", Metric)
    def test_answers_as_paper_does(self, qdrant_driver: QdrantCollections, metric: Metric) -> None:
        spec = spec_for(qdrant_driver.abilities, metric)
        Drill(qdrant_driver, spec, seed=3).run(steps=8, asked=4)

    def test_says_what_it_lacks_before_anything_is_made(
        self, qdrant_driver: QdrantCollections
    ) -> None:
        many = VectorField(2, Metric.L2, multi=True)
        with pytest.raises(UnsupportedError):
            qdrant_driver.create(CollectionSpec(name="x", vectors=(many,)))
        assert qdrant_driver.describe() == []
        spec = CollectionSpec(name="x", sparse=("s",))
        qdrant_driver.create(spec)
        with pytest.raises(ConflictError):
            qdrant_driver.create(spec)
        held = qdrant_driver.open("x")
        record = Record(id="a", sparse={"s": Sparse((1,), (0.5,))})
        assert held.apply([Upsert((record,))]) == Applied(1, 1)
        found = held.search(Search(query=SparseNearest(Sparse((1,), (2.0,)), "s")))
        assert (found.hits[0].score, found.through) == (1.0, 1)
        with pytest.raises(UnsupportedError):
            held.search(Search(query=Words("a")))
        qdrant_driver.drop("x")
        with pytest.raises(NotFoundError):
            held.count()

    def test_says_when_it_cannot_be_reached_or_falls_silent_or_would_show_its_key(self) -> None:
        (port,) = free_ports(1)
        with pytest.raises(UpstreamFailedError):
            QdrantCollections(connected(f"http://127.0.0.1:{port}", "")).describe()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with pytest.raises(UpstreamTimeoutError):
                QdrantCollections(connected(address, "", answer_s=1)).describe()
        with pytest.raises(ConfigError):
            connected("http://qdrant.example:6333", "secret")


def test_drivers_say_only_what_they_can(
    driver: Collections, milvus_driver: MilvusCollections, qdrant_driver: QdrantCollections
) -> None:
    assert driver.abilities == frozenset(Ability)
    assert Ability.WORDS not in milvus_driver.abilities | qdrant_driver.abilities
