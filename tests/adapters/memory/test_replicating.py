"""A copy follows a collection: whatever was changed in between, it ends with the same records."""

from array import array
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.adapters.identity import verify
from littoral.adapters.memory.embedded import EmbeddedCollection, changing, open_collections
from littoral.memory.replicas import opened, sealed
from littoral.terms.errors import ConflictError, RecordRejectedError
from littoral.terms.filters import Ids
from littoral.terms.memory import (
    CollectionSpec,
    Delete,
    Patch,
    Record,
    Scan,
    Sparse,
    Upsert,
    VectorField,
    Write,
)
from littoral.terms.replicas import Changes
from littoral.trust.names import pop_id
from tests.trust.made import SIGNER, STRANGER

SPEC = CollectionSpec(name="c", vectors=(VectorField(3),), sparse=("s",))
FIRST, SECOND = "1" * 32, "2" * 32


def record(record_id: str, number: int = 0) -> Record:
    return Record(
        id=record_id,
        vectors={"": array("f", [number, 1, 2]).tobytes()},
        sparse={"s": Sparse((number,), (0.5,))},
        text=f"text {number} of {record_id}",
        header="Header",
        metadata={"n": number, "list": [1, None, {"x": True}]},
        document="d.md",
        position=number,
        labels=("one",) if number % 2 else (),
    )


@pytest.fixture
def home(tmp_path: Path) -> Iterator[EmbeddedCollection]:
    yield from made(tmp_path / "home")


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[EmbeddedCollection]:
    yield from made(tmp_path / "copy")


def made(folder: Path) -> Iterator[EmbeddedCollection]:
    collections = open_collections(folder)
    collections.create(SPEC)
    yield collections.open("c")
    collections.close()


def caught_up(
    home: EmbeddedCollection, copy: EmbeddedCollection, incarnation: str = FIRST, size: int = 10**6
) -> list[Changes]:
    """All that was sent until the copy had everything."""
    sent: list[Changes] = []
    while True:
        at = copy.followed()
        after = at.through if at.incarnation == incarnation else 0
        changes = home.changes(after, size, begun=at.begun if after else 0, era=at.era)
        if sent and not changes.records and not changes.gone and changes.last:
            return sent
        sent.append(changes)
        copy.follow(changes, incarnation)


def held(collection: EmbeddedCollection) -> list[Record]:
    return list(collection.scan(Scan(limit=10_000, with_vectors=True)).records)


def test_a_copy_has_all_there_is_and_then_what_changes_alone(
    home: EmbeddedCollection, copy: EmbeddedCollection
) -> None:
    home.apply([Upsert(tuple(record(f"r{number}", number) for number in range(50)))])
    caught_up(home, copy)
    assert held(copy) == held(home)
    assert copy.followed().ever
    home.apply([Delete(("r3",)), Upsert((record("r4", 90), record("new")))])
    home.apply([Patch(where=Ids(("r5",)), metadata={"n": 5, "more": 1})])
    (sent,) = caught_up(home, copy)
    assert {each.id for each in sent.records} == {"r4", "r5", "new"}
    assert (sent.gone, sent.whole) == (("r3",), False)
    assert held(copy) == held(home)


def test_what_is_large_comes_in_parts_and_the_copy_is_whole_at_the_end(
    home: EmbeddedCollection, copy: EmbeddedCollection
) -> None:
    home.apply([Upsert(tuple(record(f"r{number}", number) for number in range(40)))])
    sent = caught_up(home, copy, size=500)
    assert len(sent) > 5
    assert all(part.whole for part in sent)
    assert held(copy) == held(home)


def test_a_part_is_no_larger_for_what_is_not_text(home: EmbeddedCollection) -> None:
    """Metadata counts too: a part of too many bytes can be taken by nobody."""
    for size in (100, 5_000):
        rows = tuple(Record(id=f"{size}-{n:03}", metadata={"x": "y" * size}) for n in range(250))
        home.apply([Upsert(rows)])
    after, sizes, found = 0, list[int](), list[str]()
    era = home.changes(0, 1).era
    while True:
        part = home.changes(after, 20_000, era=era)
        sizes.append(len(sealed(part, FIRST, SIGNER)))
        found += [record.id for record in part.records]
        after = part.through
        if part.last:
            break
    assert max(sizes) < 2 * 20_000
    assert found == [record.id for record in held_by_change(home)]


def held_by_change(collection: EmbeddedCollection) -> list[Record]:
    """All that is in it, the first changed first."""
    return list(collection.changes(0, 10**9).records)


def test_a_copy_that_was_away_too_long_begins_anew_and_has_its_old_records_until_it_is_whole(
    home: EmbeddedCollection, copy: EmbeddedCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changing, "TOMBSTONES_MIN", 4)
    home.apply([Upsert(tuple(record(f"r{number}", number) for number in range(30)))])
    caught_up(home, copy)
    home.apply([Delete(tuple(f"r{number}" for number in range(20)))])
    at = copy.followed()
    first = home.changes(at.through, 200, era=at.era)
    assert (first.whole, first.after) == (True, 0)
    copy.follow(first, FIRST)
    assert copy.count() == 30, "nothing is dropped before all is there"
    caught_up(home, copy, size=200)
    assert held(copy) == held(home)


def test_another_collection_of_the_same_name_takes_the_place_of_the_first(
    home: EmbeddedCollection, copy: EmbeddedCollection, tmp_path: Path
) -> None:
    home.apply([Upsert((record("old"), record("both", 1)))])
    caught_up(home, copy)
    collections = open_collections(tmp_path / "other")
    collections.create(SPEC)
    again = collections.open("c")
    again.apply([Upsert((record("both", 2), record("young")))])
    caught_up(again, copy, SECOND)
    assert held(copy) == held(again)
    collections.close()


def test_changes_that_are_not_the_next_are_refused_and_nothing_is_done(
    home: EmbeddedCollection, copy: EmbeddedCollection
) -> None:
    home.apply([Upsert((record("a"), record("b"), record("c")))])
    caught_up(home, copy)
    before = held(copy), copy.followed()
    through = copy.followed().through
    for after, incarnation in ((through - 1, FIRST), (through + 1, FIRST), (through, SECOND)):
        end = through + 5
        late = Changes(after=after, through=end, latest=end, gone=("a",), era=copy.followed().era)
        with pytest.raises(ConflictError):
            copy.follow(late, incarnation)
    whole = Changes(after=through, through=9, latest=9, whole=True, gone=("a",))
    with pytest.raises(ConflictError):
        copy.follow(whole, FIRST)
    assert (held(copy), copy.followed()) == before


IDS = st.sampled_from("abcdef")
WRITES: st.SearchStrategy[list[Write]] = st.lists(
    st.one_of(
        st.builds(lambda key, n: Upsert((record(key, n),)), IDS, st.integers(0, 9)),
        st.builds(lambda key: Delete((key,)), IDS),
        st.builds(
            lambda key, n: Patch(where=Ids((key,)), metadata={"n": n}), IDS, st.integers(0, 9)
        ),
    ),
    max_size=6,
)


@settings(max_examples=25)
@given(st.lists(st.tuples(WRITES, st.booleans(), st.sampled_from([1, 200, 10**6])), max_size=6))
def test_whenever_a_copy_asks_it_ends_with_what_its_home_has(
    rounds: list[tuple[list[Write], bool, int]],
) -> None:
    with TemporaryDirectory() as folder:
        (home_of, copy_of) = (open_collections(Path(folder) / each) for each in ("home", "copy"))
        home_of.create(SPEC)
        copy_of.create(SPEC)
        home, copy = home_of.open("c"), copy_of.open("c")
        for writes, asks, size in rounds:
            home.apply(writes)
            if asks:
                at = copy.followed()
                changes = home.changes(at.through, size, begun=at.begun, era=at.era)
                copy.follow(changes, FIRST)
        caught_up(home, copy, size=200)
        assert held(copy) == held(home)
        home_of.close()
        copy_of.close()


def test_what_is_sent_is_hardly_more_than_what_is_new() -> None:
    spec = CollectionSpec(name="real", vectors=(VectorField(384),))
    with TemporaryDirectory() as folder:
        collections = open_collections(Path(folder))
        collections.create(spec)
        real = collections.open("real")
        vector = array("f", [0.25] * 384).tobytes()
        rows = [
            Record(id=f"doc-{n}", vectors={"": vector}, text=f"a line of text, number {n}, " * 4)
            for n in range(2_000)
        ]
        real.apply([Upsert(tuple(rows[:1_800]))])
        first = real.changes(0, 10**9)
        before, era = first.through, first.era
        real.apply([Upsert(tuple(rows[1_800:]))])
        new = sum(len(row.id) + len(row.text) + len(vector) for row in rows[1_800:])
        added = sealed(real.changes(before, 10**9, era=era), FIRST, SIGNER)
        assert len(added) <= 1.1 * new
        at = real.changes(before, 10**9, era=era).through
        real.apply([Delete(tuple(row.id for row in rows[:200]))])
        assert len(sealed(real.changes(at, 10**9, era=era), FIRST, SIGNER)) <= 10_000
        collections.close()


def test_what_a_home_has_not_signed_for_this_collection_is_refused() -> None:
    changes = Changes(after=3, through=5, latest=5, records=(record("a", 1),), gone=("b",))
    data = sealed(changes, FIRST, SIGNER)
    home = pop_id(SIGNER.public_key)
    assert opened(data, FIRST, home, verify) == changes
    with pytest.raises(RecordRejectedError, match="does not hold"):
        opened(data, SECOND, home, verify)
    with pytest.raises(RecordRejectedError, match="another"):
        opened(sealed(changes, FIRST, STRANGER), FIRST, home, verify)
    for place in range(0, len(data), 7):
        broken = bytearray(data)
        broken[place] ^= 1
        with pytest.raises(RecordRejectedError):
            opened(bytes(broken), FIRST, home, verify)
    with pytest.raises(RecordRejectedError):
        opened(msgspec.msgpack.encode([1, b"", b"", b""]), FIRST, home, verify)
