"""The driver of Pinecone, held to what Pinecone has published (`pinecone_stand`), never to it."""

from collections.abc import Iterator

import pytest

from littoral.adapters.memory.pinecone import opened
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
from littoral.terms.memory import (
    CollectionSpec,
    Metric,
    Nearest,
    Record,
    Search,
    Upsert,
    VectorField,
)
from tests.contract.beside_paper import Drill, packed, spec_for
from tests.contract.pinecone_stand import KEY, Index, served
from tests.stores import free_ports

DOTS = CollectionSpec(name="dots", vectors=(VectorField(2, Metric.DOT),))


@pytest.fixture
def index() -> Index:
    return Index(dimension=2, metric="dotproduct")


@pytest.fixture
def address(index: Index) -> Iterator[str]:
    with served(index) as there:
        yield there
    assert index.wrong == []


@pytest.mark.parametrize("metric", Metric)
def test_it_answers_as_paper_does(metric: Metric) -> None:
    index = Index(6, "euclidean" if metric is Metric.L2 else "dotproduct")
    with served(index) as address:
        driver = opened(address, KEY)
        Drill(driver, spec_for(driver.abilities, metric), seed=11).run(steps=5, asked=2)
        driver.close()
    assert index.wrong == []


def test_a_search_waits_until_what_was_written_is_seen(index: Index, address: str) -> None:
    index.behind = 5
    driver = opened(address, KEY)
    driver.create(DOTS)
    held = driver.open("dots")
    held.apply([Upsert((Record(id="a", vectors={"": packed((1, 2))}),))])
    search = Search(query=Nearest(packed((1, 0))))
    assert [hit.record.id for hit in held.search(search).hits] == ["a"]
    assert index.asked_since == 6
    driver.close()
    index.behind = 1_000_000
    late = opened(address, KEY, answer_s=0.2)
    held = late.open("dots")
    held.apply([Upsert((Record(id="b"),))])
    with pytest.raises(UpstreamTimeoutError, match="caught up"):
        held.search(search)
    late.close()


def test_it_says_what_pinecone_cannot_keep_before_anything_is_made(
    index: Index, address: str
) -> None:
    driver = opened(address, KEY)
    refused = (
        CollectionSpec(name="x", vectors=(VectorField(3, Metric.DOT),)),
        CollectionSpec(name="x", vectors=(VectorField(2, Metric.L2),)),
        CollectionSpec(name="x", vectors=(VectorField(2), VectorField(2, name="b"))),
        CollectionSpec(name="x", sparse=("s",)),
    )
    for spec in refused:
        with pytest.raises(UnsupportedError):
            driver.create(spec)
    assert driver.describe() == []
    driver.create(DOTS)
    with pytest.raises(ConflictError):
        driver.create(DOTS)
    held = driver.open("dots")
    for record in (Record(id="a", text="x" * 41_000), Record(id="i" * 256)):
        with pytest.raises(BadRequestError, match="too large for Pinecone"):
            held.apply([Upsert((Record(id="b"), record))])
    assert held.count() == 0
    driver.drop("dots")
    with pytest.raises(NotFoundError):
        driver.open("dots")
    driver.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequestError),
        (402, ConfigError),
        (403, ConfigError),
        (504, UpstreamTimeoutError),
    ],
)
def test_its_refusals_are_said_in_our_words(
    index: Index, address: str, status: int, error: type[LittoralError]
) -> None:
    index.status = status
    driver = opened(address, KEY)
    with pytest.raises(error):
        driver.describe()
    driver.close()


def test_it_says_when_it_is_not_let_in_or_there_is_nobody(index: Index, address: str) -> None:
    with pytest.raises(ConfigError):
        opened(address, "")
    stranger = opened(address, "another key")
    with pytest.raises(ConfigError) as caught:
        stranger.describe()
    assert "another key" not in str(caught.value)
    stranger.close()
    (port,) = free_ports(1)
    nobody = opened(f"http://127.0.0.1:{port}", KEY)
    with pytest.raises(UpstreamFailedError):
        nobody.describe()
    nobody.close()
