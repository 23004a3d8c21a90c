"""A replica that takes batches of changes, whenever it asks, comes to have the whole collection."""

import random
from pathlib import Path

import pytest

from littoral.adapters.memory.embedded import (
    Changes,
    EmbeddedCollection,
    Since,
    changing,
    open_collections,
)
from littoral.sim.collections import PaperCollection
from littoral.terms.filters import Has
from littoral.terms.memory import Delete, DeleteWhere, Patch, Record, Scan, Upsert
from tests.contract.collections_made import SPEC, write_made


class Replica:
    """A copy on paper, brought on by batches."""

    def __init__(self) -> None:
        self.copy = PaperCollection(SPEC)
        self.since = Since()
        self.begun = 0

    def take(self, changes: Changes) -> None:
        if changes.anew:
            self.copy = PaperCollection(SPEC)
            self.begun += 1
        self.copy.apply([Delete(changes.forgotten), Upsert(changes.records)])
        self.since = changes.next

    def catch_up(self, collection: EmbeddedCollection, limit: int) -> None:
        while True:
            changes = collection.changes(self.since, limit)
            assert len(changes.records) <= limit
            self.take(changes)
            if self.since.after == changes.through:
                return


@pytest.fixture
def collection(tmp_path: Path) -> EmbeddedCollection:
    collections = open_collections(tmp_path)
    collections.create(SPEC)
    return collections.open(SPEC.name)


def everything(collection: EmbeddedCollection | PaperCollection) -> tuple[Record, ...]:
    return collection.scan(Scan(limit=10_000, with_vectors=True)).records


@pytest.mark.parametrize("seed", range(6))
def test_a_replica_has_what_the_collection_has_however_it_asks(
    collection: EmbeddedCollection, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changing, "TOMBSTONES_MIN", (5, 10_000)[seed % 2])
    chance = random.Random(seed)
    replica, slow = Replica(), Replica()
    for _ in range(40):
        collection.apply([write_made(chance) for _ in range(2)])
        if chance.random() < 0.5:
            replica.catch_up(collection, 1 + chance.randrange(9))
            assert everything(replica.copy) == everything(collection)
        slow.take(collection.changes(slow.since, 1 + chance.randrange(9)))
    slow.catch_up(collection, 3)
    assert everything(slow.copy) == everything(collection)
    if seed % 2:
        assert max(replica.begun, slow.begun) <= 2, "while it is empty, and once after"


def test_what_is_forgotten_ships_as_its_id_alone(collection: EmbeddedCollection) -> None:
    records = tuple(Record(id=f"{number}", text="moss " * 50) for number in range(100))
    collection.apply([Upsert(records)])
    replica = Replica()
    replica.catch_up(collection, 1_000)
    collection.apply([Delete(("7", "8")), Patch(where=Has("none"), metadata={"x": 1})])
    changes = collection.changes(replica.since)
    assert (changes.anew, changes.forgotten, changes.records) == (False, ("7", "8"), ())
    assert collection.changes(changes.next).forgotten == ()


def test_a_replica_from_before_the_oldest_tombstone_is_told_to_begin_anew(
    collection: EmbeddedCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changing, "TOMBSTONES_MIN", 10)
    metadata = {"size": 1}
    collection.apply([Upsert(tuple(Record(id=f"{n}", metadata=metadata) for n in range(100)))])
    replica = Replica()
    replica.catch_up(collection, 1_000)
    collection.apply([DeleteWhere(Has("size")), Upsert((Record(id="new"),))])
    changes = collection.changes(replica.since)
    assert changes.anew
    assert [each.id for each in changes.records] == ["new"]
    replica.catch_up(collection, 1_000)
    assert everything(replica.copy) == everything(collection)
