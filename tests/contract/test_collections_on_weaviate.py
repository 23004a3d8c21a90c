"""The driver of Weaviate, held to what Weaviate has published (`weaviate_stand`), never to it."""

from collections.abc import Iterator

import pytest

from littoral.adapters.memory.weaviate import opened
from littoral.terms.errors import (
    ConfigError,
    ConflictError,
    NotFoundError,
    UnsupportedError,
    UpstreamFailedError,
)
from littoral.terms.memory import CollectionSpec, Metric, Record, Sparse, Upsert, VectorField
from tests.contract.beside_paper import Drill, spec_for
from tests.contract.weaviate_stand import KEY, Server, served
from tests.stores import free_ports


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def address(server: Server) -> Iterator[str]:
    with served(server) as there:
        yield there
    assert server.wrong == []


@pytest.mark.parametrize("metric", Metric)
def test_it_answers_as_paper_does(address: str, metric: Metric) -> None:
    driver = opened(address, KEY)
    Drill(driver, spec_for(driver.abilities, metric), seed=13).run(steps=5, asked=3)
    driver.close()


def test_it_says_what_it_lacks_and_what_is_not_there(server: Server, address: str) -> None:
    driver = opened(address, KEY)
    for spec in (
        CollectionSpec(name="x", sparse=("s",)),
        CollectionSpec(name="x", vectors=(VectorField(2, multi=True),)),
    ):
        with pytest.raises(UnsupportedError):
            driver.create(spec)
    assert server.classes == {}
    spec = CollectionSpec(name="x.y", scope="somebody")
    driver.create(spec)
    with pytest.raises(ConflictError):
        driver.create(spec)
    held = driver.open("x.y", "somebody")
    record = Record(id="ä \0 '", metadata={"a": [1, {"b": None}]}, labels=("l",))
    assert held.apply([Upsert((record, Record(id="b")))]).changed == 2
    assert held.fetch([record.id]) == [record]
    (shown,) = driver.describe()
    assert (shown.spec, shown.records, shown.through) == (spec, 2, 2)
    assert Sparse((), ()) not in held.fetch(["b"], with_vectors=True)[0].sparse.values()
    driver.drop("x.y", "somebody")
    for gone in (held.count, lambda: driver.open("x.y", "somebody")):
        with pytest.raises(NotFoundError):
            gone()
    driver.close()


def test_it_says_when_it_is_not_let_in_fails_or_is_not_there(server: Server, address: str) -> None:
    stranger = opened(address, "another key")
    with pytest.raises(ConfigError) as caught:
        stranger.describe()
    assert "another key" not in str(caught.value)
    stranger.close()
    driver = opened(address, KEY)
    driver.create(CollectionSpec(name="x"))
    server.refuses = True
    with pytest.raises(UpstreamFailedError):
        driver.open("x")
    driver.close()
    port, other = free_ports(2)
    nobody = opened(f"http://127.0.0.1:{port}?grpc=127.0.0.1:{other}", KEY)
    with pytest.raises(UpstreamFailedError):
        nobody.describe()
    with pytest.raises(ConfigError):
        opened(f"http://127.0.0.1:{port}?grpc=127.0.0.1:{port}", KEY).describe()
    for wrong in ("nothing of the kind", "http://h?grpc=x:y", "http://weaviate.example:8080"):
        with pytest.raises(ConfigError):
            opened(wrong, KEY)
