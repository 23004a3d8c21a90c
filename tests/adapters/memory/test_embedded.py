"""The embedded driver beside its contract: what lies on disk, who may read, what may go wrong."""

import random
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import msgspec
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.adapters.memory.embedded import (
    EmbeddedCollection,
    EmbeddedCollections,
    open_collections,
    place,
)
from littoral.terms.errors import (
    BadRequestError,
    ConflictError,
    DiskShortError,
    NotAllowedError,
    NotFoundError,
    StoreError,
)
from littoral.terms.filters import Between, Has, Is, Matches
from littoral.terms.memory import (
    CollectionSpec,
    Delete,
    DeleteWhere,
    FieldKind,
    Metric,
    Nearest,
    Patch,
    Record,
    Scan,
    Search,
    Upsert,
    VectorField,
    Words,
)
from tests.contract.collections_made import packed

SPEC = CollectionSpec(
    name="notes",
    vectors=(VectorField(2, metric=Metric.L2),),
    fields={"size": FieldKind.INTEGER, "body": FieldKind.TEXT},
)


@pytest.fixture
def collections(tmp_path: Path) -> Iterator[EmbeddedCollections]:
    made = open_collections(tmp_path)
    made.create(SPEC)
    yield made
    made.close()


@pytest.fixture
def collection(collections: EmbeddedCollections) -> EmbeddedCollection:
    return collections.open(SPEC.name)


def numbered(start: int, end: int, text: str = "") -> Upsert:
    return Upsert(
        tuple(
            Record(id=f"{n:05}", vectors={"": packed(n, 0)}, text=text, metadata={"size": n})
            for n in range(start, end)
        )
    )


def nearest(collection: EmbeddedCollection, number: float) -> str:
    found = collection.search(Search(query=Nearest(packed(number, 0)), limit=1))
    return found.hits[0].record.id


def ids(collection: EmbeddedCollection) -> list[str]:
    return [each.id for each in collection.scan(Scan(limit=10_000)).records]


def truth_of(home: Path) -> Path:
    (found,) = home.glob("memory/*/truth.sqlite")
    return found


def test_all_that_lies_on_disk_is_for_the_owner_alone(
    tmp_path: Path, collection: EmbeddedCollection
) -> None:
    collection.apply([numbered(0, 10)])
    nearest(collection, 1)
    for each in (tmp_path / "memory").rglob("*"):
        wanted = 0o700 if each.is_dir() else 0o600
        assert stat.S_IMODE(each.stat().st_mode) == wanted, each
    assert stat.S_IMODE((tmp_path / "memory").stat().st_mode) == 0o700


def test_names_and_scopes_of_all_kinds_have_folders_of_their_own(tmp_path: Path) -> None:
    collections = open_collections(tmp_path)
    named = [
        ("a", ""),
        ("A", ""),
        ("a", "A"),
        ("a.b", ""),
        ("a-b", ""),
        ("a", "../../x"),
        ("x" * 128, ""),
    ]
    for name, scope in named:
        collections.create(CollectionSpec(name=name, scope=scope))
        collections.open(name, scope).apply([Upsert((Record(id=f"{scope}/{name}"),))])
    for name, scope in named:
        assert ids(collections.open(name, scope)) == [f"{scope}/{name}"]
    assert not (tmp_path / "x").exists()
    collections.close()


def test_what_was_written_is_there_again_when_it_is_opened_again(
    tmp_path: Path, collections: EmbeddedCollections
) -> None:
    collections.open(SPEC.name).apply([numbered(0, 20), Delete(("00003",))])
    collections.close()
    again = open_collections(tmp_path)
    collection = again.open(SPEC.name)
    assert len(ids(collection)) == 19
    assert nearest(collection, 3.4) == "00004"
    assert collection.apply([Delete(("00004",))]).through == 22
    again.close()


def test_what_a_crash_leaves_of_a_creation_or_a_drop_goes(tmp_path: Path) -> None:
    for name in (".making-x", ".going-y"):
        (tmp_path / "memory" / name).mkdir(parents=True)
        (tmp_path / "memory" / name / "truth.sqlite").write_bytes(b"x")
    collections = open_collections(tmp_path)
    assert [each.name for each in (tmp_path / "memory").iterdir()] == [".lock"]
    assert collections.describe() == []
    collections.close()


def test_two_processes_that_create_the_same_collection_make_one(tmp_path: Path) -> None:
    one, other = open_collections(tmp_path), open_collections(tmp_path)
    one.create(SPEC)
    with pytest.raises(ConflictError):
        other.create(SPEC)
    other.open(SPEC.name).apply([numbered(0, 3)])
    one.open(SPEC.name).apply([numbered(3, 5)])
    assert ids(one.open(SPEC.name)) == ids(other.open(SPEC.name)) == [f"{n:05}" for n in range(5)]
    one.drop(SPEC.name)
    with pytest.raises(NotFoundError):
        other.open(SPEC.name)
    one.close()
    other.close()


READING = """
import sys
from pathlib import Path
from littoral.adapters.memory.embedded import open_collections
from littoral.terms.memory import Nearest, Search
from tests.contract.collections_made import packed
collection = open_collections(Path(sys.argv[1]), read_only=True).open("notes")
for line in sys.stdin:
    search = Search(query=Nearest(packed(float(line), 0)), limit=1, with_content=False)
    found = collection.search(search)
    hit = found.hits[0].record.id if found.hits else "none"
    print(hit, collection.count(), found.through, flush=True)
"""


def test_another_process_reads_and_sees_each_change_at_once(
    tmp_path: Path, collection: EmbeddedCollection
) -> None:
    command = [sys.executable, "-c", READING, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        asks, answers = reader.stdin, reader.stdout
        assert asks is not None
        assert answers is not None

        def asked(number: float) -> list[str]:
            asks.write(f"{number}\n")
            asks.flush()
            return answers.readline().split()

        assert asked(1) == ["none", "0", "0"]
        for number in range(1, 60):
            collection.apply([numbered(number, number + 1)])
            through = collection.apply([Delete((f"{number - 2:05}",))]).through
            for _ in range(2):
                near, count, seen = asked(number + 0.2)
                assert (near, int(seen)) == (f"{number:05}", through)
                assert int(count) == collection.count()
        asks.close()


def test_a_process_that_reads_only_changes_nothing(
    tmp_path: Path, collection: EmbeddedCollection
) -> None:
    collection.apply([numbered(0, 3)])
    reading = open_collections(tmp_path, read_only=True)
    for forbidden in (
        lambda: reading.create(CollectionSpec(name="other")),
        lambda: reading.drop(SPEC.name),
        lambda: reading.open(SPEC.name).apply([numbered(3, 4)]),
    ):
        with pytest.raises(NotAllowedError):
            forbidden()
    assert [each.records for each in reading.describe()] == [3]
    reading.close()
    assert open_collections(tmp_path / "none", read_only=True).describe() == []


def test_readers_on_many_threads_see_whole_writes_while_one_writes(
    collection: EmbeddedCollection,
) -> None:
    wrong: list[object] = []
    done = False

    def read() -> None:
        seen = 0
        while not done:
            found = collection.search(
                Search(query=Nearest(packed(0, 0)), limit=100, with_content=bool(seen % 2))
            )
            if len(found.hits) % 10 or found.through < seen:
                wrong.append(found)
            seen = max(seen, found.through)

    threads = [Thread(target=read) for _ in range(12)]
    for thread in threads:
        thread.start()
    for start in range(0, 300, 10):
        collection.apply([numbered(start, start + 10)])
        if start % 50 == 40:
            collection.apply([DeleteWhere(Between("size", lt=start - 30.0))])
    done = True
    for thread in threads:
        thread.join()
    assert not wrong


def test_of_many_collections_those_not_used_lately_hold_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "COLLECTIONS_AWAKE_MAX", 3)
    collections = open_collections(tmp_path)
    names = [f"c{number}" for number in range(12)]
    for name in names:
        collections.create(msgspec.structs.replace(SPEC, name=name))
        collections.open(name).apply([numbered(0, 5)])
        assert nearest(collections.open(name), 3) == "00003"
    opened = psutil.Process().open_files()
    held = {Path(each.path).parent for each in opened if each.path.endswith("truth.sqlite")}
    assert len(held & set((tmp_path / "memory").iterdir())) == 3
    kept = [collections.open(name) for name in names]
    for each in kept:
        each.apply([numbered(5, 6)])
        assert nearest(each, 5) == "00005"
    collections.close()
    for each in kept:
        with pytest.raises(StoreError, match="closed"):
            each.apply([numbered(6, 7)])
        with pytest.raises(StoreError, match="closed"):
            nearest(each, 1)


def test_a_full_disk_is_said_and_loses_nothing(collection: EmbeddedCollection) -> None:
    collection.apply([numbered(0, 50)])
    with collection._written() as writer:
        database = writer.database
    ((pages,),) = database.read("PRAGMA page_count")
    database.read(f"PRAGMA max_page_count = {pages + 4}")
    before = collection.scan(Scan(limit=10_000, with_vectors=True))
    with pytest.raises(DiskShortError, match="disk is full"):
        collection.apply([Delete(("00001",)), numbered(50, 2_000, "moss and fern " * 20)])
    assert collection.scan(Scan(limit=10_000, with_vectors=True)) == before
    assert nearest(collection, 1) == "00001"
    database.read("PRAGMA max_page_count = 1000000")
    collection.apply([numbered(50, 60)])
    assert collection.count() == 60
    assert nearest(collection, 55.2) == "00055"


def _used(collections: EmbeddedCollections) -> None:
    collection = collections.open(SPEC.name)
    ids(collection)
    collection.apply([numbered(0, 500)])
    collection.search(Search(query=Words("moss")))


def test_a_damaged_truth_is_said_so_and_harms_no_other(
    tmp_path: Path, collections: EmbeddedCollections
) -> None:
    collections.open(SPEC.name).apply([numbered(0, 500, "moss")])
    collections.close()
    path = truth_of(tmp_path)
    whole = path.read_bytes()
    chance = random.Random(5)
    for damage in (b"", whole[: len(whole) // 2], b"x" * len(whole), chance.randbytes(8192)):
        path.write_bytes(damage)
        again = open_collections(tmp_path)
        again.create(CollectionSpec(name="other"))
        again.open("other").apply([Upsert((Record(id="a"),))])
        with pytest.raises(StoreError):
            _used(again)
        shown = {each.spec.name: each for each in again.describe()}
        assert shown["other"].records == 1
        assert "notes" in shown
        again.drop("other")
        again.close()
        for log in path.parent.glob("truth.sqlite-*"):
            log.unlink()
    path.write_bytes(whole)
    again = open_collections(tmp_path)
    assert len(ids(again.open(SPEC.name))) == 500
    again.close()


def test_a_collection_whose_description_is_damaged_is_shown_as_that(
    tmp_path: Path, collections: EmbeddedCollections
) -> None:
    (path,) = tmp_path.glob("memory/*/spec.json")
    path.write_bytes(b"{")
    (shown,) = collections.describe()
    assert "spec.json can't be read" in shown.index
    with pytest.raises(StoreError):
        collections.open(SPEC.name)


def test_rounds_of_forgetting_all_and_keeping_it_again_take_no_more_room(
    tmp_path: Path,
) -> None:
    collections = open_collections(tmp_path)
    fields = {"size": FieldKind.INTEGER}
    collections.create(
        CollectionSpec(name="room", vectors=(VectorField(dimensions=768),), fields=fields)
    )
    collection = collections.open("room")
    vector = packed(*range(768))

    def kept(turn: int) -> tuple[Record, ...]:
        return tuple(
            Record(
                id=f"{number}",
                vectors={"": vector},
                text=f"moss {turn} and fern {number} " * 3,
                metadata={"size": number},
            )
            for number in range(400)
        )

    for turn in range(50):
        every = Delete(tuple(map(str, range(400))))
        collection.apply([DeleteWhere(Has("size")) if turn % 2 else every])
        collection.apply([Upsert(kept(turn))])
    collections.close()
    raw = sum(len(each.text) + len(each.vectors[""]) for each in kept(0))
    tombstones = 20 * 12_500
    assert truth_of(tmp_path).stat().st_size <= 1.5 * raw + tombstones
    collections = open_collections(tmp_path)
    collections.open("room").apply(
        [Upsert(tuple(Record(id=f"x{n}", vectors={"": vector}) for n in range(500)))]
    )
    full = truth_of(tmp_path).stat().st_size
    collections.open("room").apply(
        [DeleteWhere(Has("size")), Delete(tuple(f"x{n}" for n in range(500)))]
    )
    collections.close()
    assert truth_of(tmp_path).stat().st_size < full / 2


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCollection]:
    collections = open_collections(tmp_path_factory.mktemp("shared"))
    collections.create(SPEC)
    yield collections.open(SPEC.name)
    collections.close()


@given(text=st.text(min_size=1))
@settings(max_examples=60, deadline=None)
def test_no_text_is_anything_but_a_text(shared: EmbeddedCollection, text: str) -> None:
    collection = shared
    record = Record(id="a", text=text, header=text, metadata={"size": text, "body": text, text: 1})
    try:
        collection.apply([Delete(("a",)), Upsert((record, Record(id="b")))])
    except BadRequestError:
        return
    assert collection.fetch(["a"]) == [record]
    assert collection.count(Is("size", (text,))) == 1
    assert collection.count(Is("other", (text,))) == 0
    for field in ("size", "body", text):
        with suppress(BadRequestError):
            collection.count(Has(field))
            collection.count(Matches(field, text))
            collection.search(Search(query=Words(text), where=Is(field, (text, 1))))
    collection.apply([Patch(where=Is("size", (text,)), without=(text,), metadata={"x": text})])
    assert collection.count(Is("x", (text,))) == 1
    assert collection.fetch(["b"])
