"""Files into a collection: what is written, what is left alone, and what happens when it fails."""

import asyncio
import base64
import json
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.documents import Job, Reader, Said, Still, found_sources
from littoral.memory.passages import Cutting
from littoral.node.memory import revising
from littoral.node.memory.house import House
from littoral.node.memory.importing import Importer, Progress, Wish, take_file, tokenizer_of
from littoral.node.memory.opened import Opened
from littoral.sim.collections import PaperCollections
from littoral.terms.errors import (
    DiskShortError,
    LittoralError,
    LoadingError,
    NotAllowedError,
    UnsupportedError,
)
from littoral.terms.memory import (
    Applied,
    CollectionSpec,
    DeleteWhere,
    Record,
    Scan,
    Upsert,
    VectorField,
    Write,
)
from littoral.terms.values import ModelEntry
from tests.node.memory.made import ALICE, DIMENSIONS, MODEL, OPERATOR, CountingDoor, vector_of

READERS: list[Reader] = []
SPEC = CollectionSpec(name="docs", embedding=MODEL)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def door() -> CountingDoor:
    return CountingDoor()


@pytest.fixture
def house(door: CountingDoor) -> Iterator[House]:
    house = House({"paper": PaperCollections()}, door, made_by="paper")
    yield house
    house.close()


@pytest.fixture
async def docs(house: House) -> Opened:
    await house.create(SPEC, OPERATOR)
    return await house.open("docs", OPERATOR)


@pytest.fixture(scope="module", autouse=True)
def reader() -> Iterator[Reader]:
    """One for all tests, as a PoP has it; `READERS` has it too."""
    READERS.append(Reader())
    yield READERS[0]
    READERS.pop().close()


async def taken(collection: object, *files: str, **wish: object) -> Progress:
    importer = Importer(
        collection,  # type: ignore[arg-type]
        Wish(**wish),  # type: ignore[arg-type]
        clock=SystemClock(),
        reader=READERS[0],
    )
    return await importer.run(found_sources(files).files)


async def kept(collection: Opened) -> list[Record]:
    page = await collection.scan(Scan(limit=10_000, with_vectors=True))
    return sorted(page.records, key=lambda record: (record.document, record.position))


def embedded(door: CountingDoor) -> list[str]:
    found = sorted(text for batch in door.batches for text in batch)
    door.batches.clear()
    return found


class Told:
    """A collection that says what it is asked for, and fails when it is told to."""

    def __init__(self, collection: Opened) -> None:
        self._collection = collection
        self.spec = collection.spec
        self.fetch, self.scan, self.count = collection.fetch, collection.scan, collection.count
        self.search = collection.search
        self.applied: list[Sequence[Write]] = []
        self.failing: Callable[[Sequence[Write]], Awaitable[None]] | None = None

    async def apply(self, writes: Sequence[Write]) -> Applied:
        if self.failing is not None:
            await self.failing(writes)
        self.applied.append(writes)
        return await self._collection.apply(writes)


async def test_files_become_passages_with_vectors(
    here: Path, docs: Opened, door: CountingDoor
) -> None:
    (here / "tides.md").write_text("# Tides\n\n## Ebb\n\nWater leaves.\n")
    (here / "notes.txt").write_text("A note.")
    done = await taken(docs, "tides.md", "notes.txt", metadata={"year": 2026}, labels=("staff",))
    assert (done.files_done, done.passages, done.failed) == (2, 2, 0)
    assert done.bytes_done == done.bytes_total
    note, tide = await kept(docs)
    assert (note.document, note.header, note.text) == ("notes.txt", "notes", "A note.")
    assert tide.text.endswith("Water leaves.")
    assert (tide.metadata, tide.labels) == ({"year": 2026}, ("staff",))
    assert note.vectors[""] != tide.vectors[""]
    assert "notes\nA note." in embedded(door)


async def test_what_is_unchanged_is_neither_embedded_nor_written(
    here: Path, docs: Opened, door: CountingDoor
) -> None:
    (here / "a.md").write_text("One.")
    (here / "b.jsonl").write_text('{"id": "b", "text": "Two."}\n')
    await taken(docs, "a.md", "b.jsonl")
    door.batches.clear()
    told = Told(docs)
    done = await taken(told, "a.md", "b.jsonl")
    assert (done.unchanged, done.passages, told.applied) == (2, 0, [])
    assert embedded(door) == []


async def test_a_changed_document_is_changed_in_one_step_and_only_where_it_differs(
    here: Path, docs: Opened, door: CountingDoor
) -> None:
    (here / "b.txt").write_text("Another document.")
    wish = {"cutting": Cutting(chars=50)}
    (here / "a.txt").write_text(
        "\n\n".join(f"Part {word} of the whole document." for word in "abcd")
    )
    await taken(docs, "a.txt", "b.txt", **wish)
    before = {record.text: record for record in await kept(docs)}
    door.batches.clear()
    (here / "a.txt").write_text(
        "\n\n".join(f"Part {word} of the whole document." for word in "axcd")
    )
    told = Told(docs)
    done = await taken(told, "a.txt", "b.txt", **wish)
    assert (done.passages, done.gone, done.unchanged, done.moved) == (1, 1, 4, 0)
    assert embedded(door) == ["a\nPart x of the whole document."]
    ((forgotten, written),) = told.applied
    assert isinstance(forgotten, DeleteWhere)
    assert isinstance(written, Upsert)
    assert len(written.records) == 1
    after = await kept(docs)
    assert [record.text[5] for record in after if record.document == "a.txt"] == [
        "a",
        "x",
        "c",
        "d",
    ]

    (here / "a.txt").write_text(
        "\n\n".join(f"Part {word} of the whole document." for word in "xcd")
    )
    done = await taken(docs, "a.txt", **wish)
    assert (done.passages, done.gone, done.moved) == (0, 1, 3)
    assert embedded(door) == []
    assert [record.position for record in (await kept(docs))[:3]] == [0, 1, 2]
    assert (await kept(docs))[1].vectors == before["Part c of the whole document."].vectors


@pytest.mark.parametrize("left", ["Part 3 stays as it was, and no other.", "---\n***\n", ""])
async def test_a_document_that_shrank_loses_what_it_has_no_more(
    here: Path, docs: Opened, left: str
) -> None:
    wish = {"cutting": Cutting(chars=50)}
    parts = [f"Part {number} stays as it was, and no other." for number in range(600)]
    (here / "a.md").write_text("\n\n".join(parts))
    (here / "b.md").write_text("\n\n".join(parts[:2]))
    await taken(docs, "a.md", "b.md", **wish)
    assert len(await kept(docs)) == 602
    (here / "a.md").write_text(left)
    done = await taken(docs, "a.md", **wish)
    now = [record.text for record in await kept(docs) if record.document == "a.md"]
    assert now == [text for text in parts if text == left]
    assert (done.passages, done.gone) == (0, 600 - len(now))
    assert len(await kept(docs)) == 2 + len(now), "another document's stay"
    said = [str(error) for _, error in done.failures]
    assert bool(said) is not bool(now), "that it is empty is told all the same"
    assert done.bytes_done == done.bytes_total


async def test_a_file_that_can_not_be_read_keeps_its_passages(here: Path, docs: Opened) -> None:
    (here / "a.md").write_text("Words.")
    (here / "b.jsonl").write_text('{"id": "b", "text": "Two.", "document": "b.jsonl"}\n')
    await taken(docs, "a.md", "b.jsonl")
    (here / "a.md").write_bytes(b"Words in \xff no encoding.")
    (here / "b.jsonl").write_text("")
    files = found_sources(["a.md", "b.jsonl"]).files
    done = await Importer(docs, Wish(), clock=SystemClock(), reader=READERS[0]).run(files)
    assert (done.failed, done.gone, len(await kept(docs))) == (2, 0, 2)
    (here / "a.md").unlink()
    done = await Importer(docs, Wish(), clock=SystemClock(), reader=READERS[0]).run(files)
    assert (done.failed, done.gone, len(await kept(docs))) == (2, 0, 2)


async def test_a_long_document_comes_in_parts_and_the_old_goes_with_the_last(
    here: Path, docs: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revising, "IMPORT_PASSAGES", 3)
    wish = {"cutting": Cutting(chars=50)}
    for era in ("old", "new"):
        parts = (f"Part {number} of the {era} version, told at length." for number in range(7))
        (here / "a.txt").write_text("\n\n".join(parts))
        told = Told(docs)
        await taken(told, "a.txt", **wish)
        assert [sum(isinstance(each, Upsert) for each in writes) for writes in told.applied] == [
            1
        ] * 3
    first, second, last = told.applied
    assert [type(write) for writes in (first, second) for write in writes] == [Upsert, Upsert]
    assert [type(write) for write in last] == [DeleteWhere, Upsert]
    assert all("new" in record.text for record in await kept(docs))


async def test_an_import_that_was_broken_off_goes_on_where_it_was(
    here: Path, docs: Opened, door: CountingDoor
) -> None:
    rows = [json.dumps({"id": f"{number:04}", "text": f"row {number}"}) for number in range(1_000)]
    (here / "rows.jsonl").write_text("\n".join(rows))
    told = Told(docs)

    async def full(_: Sequence[Write]) -> None:
        if len(told.applied) == 2:
            raise DiskShortError("the disk is full")

    told.failing = full
    with pytest.raises(DiskShortError):
        await taken(told, "rows.jsonl")
    there = len(await kept(docs))
    assert 0 < there < 1_000
    door.batches.clear()
    done = await taken(docs, "rows.jsonl")
    assert (done.unchanged, done.passages) == (there, 1_000 - there)
    assert len(embedded(door)) == 1_000 - there
    assert len(await kept(docs)) == 1_000


async def test_an_import_can_be_broken_off_at_any_time_and_leaves_no_process(
    here: Path, docs: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "rows.jsonl").write_text('{"text": "x"}\n' * 100_000)
    told, begun = Told(docs), asyncio.Event()

    async def stuck(_: Sequence[Write]) -> None:
        begun.set()
        await asyncio.Event().wait()

    told.failing = stuck
    own = Importer(told, Wish(), clock=SystemClock())
    task = asyncio.ensure_future(own.run(found_sources(["rows.jsonl"]).files))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    named = [child.cmdline()[-1] for child in psutil.Process().children()]
    assert named.count("littoral.adapters.documents.worker") <= 1, "that of the other tests"


async def test_a_file_that_fails_is_told_and_the_others_are_taken(here: Path, docs: Opened) -> None:
    (here / "a.md").write_text("Good.")
    (here / "b.pdf").write_text("no pdf")
    (here / "c.jsonl").write_text('{"id": "c", "text": "Good too."}\nnonsense\n')
    (here / "d.jsonl").write_text(
        '{"id": "d", "text": "x"}\n{"id": "e", "text": "y", "vector": [1]}\n'
    )
    (here / "f.md").write_text("Last.")
    done = await taken(docs, "a.md", "b.pdf", "c.jsonl", "d.jsonl", "f.md")
    assert (done.files_done, done.failed) == (2, 3)
    said = {name: str(error) for name, error in done.failures}
    assert "is called a PDF file and is none" in said["b.pdf"]
    assert "c.jsonl: row 2 can't be taken" in said["c.jsonl"]
    assert "'e' can't be kept: a vector has 1 dimensions" in said["d.jsonl"]
    assert {record.text for record in await kept(docs)} == {"Good too.", "x", "Good.", "Last."}
    assert done.bytes_done == done.bytes_total


async def test_a_file_whose_name_is_no_text_fails_alone(here: Path, docs: Opened) -> None:
    (here / "docs").mkdir()
    Path(os.fsdecode(b"docs/\xff.md")).write_text("Words.")
    (here / "docs/a.md").write_text("Words.")
    done = await taken(docs, "docs")
    assert (done.files_done, done.failed) == (1, 1)
    ((name, error),) = done.failures
    assert name == "docs/\\udcff.md"
    assert str(error) == f"{name} has a name, or lies in a folder, that is not UTF-8: rename it"


async def test_one_file_can_be_taken_alone_and_fails_as_such(
    here: Path, docs: Opened, reader: Reader
) -> None:
    (here / "a.md").write_text("Good.")
    (file,) = found_sources(["a.md"]).files
    taken_bytes = await take_file(docs, file, Wish(), clock=SystemClock(), reader=reader)
    assert taken_bytes == len("aGood.") + DIMENSIONS * 4
    assert await take_file(docs, file, Wish(), clock=SystemClock(), reader=reader) == taken_bytes
    (here / "a.bin").write_bytes(b"\0\1")
    (file,) = found_sources(["a.bin"]).files
    with pytest.raises(UnsupportedError, match=r"a\.bin is neither text"):
        await take_file(docs, file, Wish(), clock=SystemClock(), reader=reader)


async def test_what_is_no_files_fault_ends_it(here: Path, docs: Opened, house: House) -> None:
    (here / "a.md").write_text("Good.")
    with pytest.raises(NotAllowedError):
        await taken(await house.open("docs", ALICE), "a.md")


async def test_a_machine_that_is_busy_is_asked_again(
    here: Path, docs: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revising, "_AGAIN_S", 0.001)
    (here / "a.md").write_text("Good.")
    told, answers = Told(docs), iter([LoadingError("loading"), LoadingError("loading"), None])

    async def busy(_: Sequence[Write]) -> None:
        error: LittoralError | None = next(answers)
        if error is not None:
            raise error

    told.failing = busy
    assert (await taken(told, "a.md")).passages == 1
    monkeypatch.setattr(revising, "IMPORT_BUSY_S", 0.0)
    (here / "b.md").write_text("Good.")
    answers = iter([LoadingError("loading")])
    with pytest.raises(LoadingError):
        await taken(told, "b.md")


async def test_records_with_vectors_go_where_nothing_embeds(here: Path, house: House) -> None:
    await house.create(CollectionSpec(name="bare", vectors=(VectorField(2),)), OPERATOR)
    bare = await house.open("bare", OPERATOR)
    row = {"id": "a", "vector": [1, 2], "year": 1}
    (here / "a.jsonl").write_text(json.dumps(row) + "\n")
    assert (await taken(bare, "a.jsonl")).passages == 1
    assert (await taken(bare, "a.jsonl")).unchanged == 1
    (here / "a.jsonl").write_text(json.dumps({**row, "vector": [1, 3]}) + "\n")
    assert (await taken(bare, "a.jsonl")).passages == 1
    (here / "a.jsonl").write_text(json.dumps({**row, "vector": [1, 3], "year": 2}) + "\n")
    done = await taken(bare, "a.jsonl")
    assert (done.moved, done.passages) == (1, 0)
    assert (await kept(bare))[0].metadata == {"year": 2}


async def test_of_rows_with_one_id_the_last_counts(here: Path, docs: Opened) -> None:
    rows = [{"id": "same", "text": f"version {number}"} for number in range(600)]
    (here / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    told, under_way = Told(docs), list[str]()

    async def alone(writes: Sequence[Write]) -> None:
        assert not under_way, "the one before is done"
        (written,) = writes
        assert isinstance(written, Upsert)
        under_way.append(written.records[0].text)
        for _ in range(100):
            await asyncio.sleep(0)
        under_way.clear()

    told.failing = alone
    await taken(told, "a.jsonl")
    assert len(told.applied) == 3
    assert [record.text for record in await kept(docs)] == ["version 599"]


async def test_progress_is_told_with_what_is_left(here: Path, docs: Opened) -> None:
    for number in range(3):
        (here / f"{number}.md").write_text("Some words. " * 400)
    heard: list[tuple[int, int, float | None]] = []

    def tell(now: Progress) -> None:
        heard.append((now.files_done, now.passages, now.left_s))

    importer = Importer(docs, Wish(), clock=SystemClock(), tell=tell)
    done = await importer.run(found_sources(["."]).files)
    assert heard[-1] == (3, done.passages, 0.0)
    assert done.rate > 0


async def test_passages_are_short_enough_for_the_models_tokenizer(
    here: Path, docs: Opened, minilm: ModelEntry
) -> None:
    (here / "a.txt").write_text("0123456789abcdef " * 200)
    tokenizer, tokens_max = tokenizer_of(minilm)
    assert tokens_max == 256
    assert (await taken(docs, "a.txt")).passages == 5
    done = await taken(docs, "a.txt", tokenizer=tokenizer, tokens_max=tokens_max)
    assert (done.passages > 6, done.gone) == (True, 4)
    assert tokenizer_of(None) == ("", 0)


async def test_a_file_whose_next_part_comes_as_it_is_broken_off_is_let_go(
    here: Path, docs: Opened
) -> None:
    reads, goes_on, let_go = threading.Event(), threading.Event(), threading.Event()

    class Slow(Reader):
        """Says something in the moment in which nobody listens any more."""

        def read(self, job: Job) -> Generator[Said, None, None]:
            try:
                reads.set()
                goes_on.wait(10)
                yield Still(1, 2)
            finally:
                let_go.set()

        def break_off(self) -> None:
            goes_on.set()

    (here / "a.txt").write_text("words")
    importer = Importer(docs, Wish(), clock=SystemClock(), reader=Slow())
    taking = asyncio.create_task(importer.run(found_sources(["a.txt"]).files))
    assert await asyncio.to_thread(reads.wait, 10)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert await asyncio.to_thread(let_go.wait, 10), "who reads the next file would wait for ever"


async def test_rows_with_more_text_than_the_model_reads_are_counted(
    here: Path, docs: Opened, minilm: ModelEntry
) -> None:
    long = "tide " * 600
    vector = base64.b64encode(vector_of(long)).decode()
    rows = [
        {"id": "fits", "text": "tide " * 500},
        {"id": "long", "text": long},
        {"id": "header", "header": "sea " * 50, "text": "tide " * 480},
        {"id": "own", "text": long, "vector": vector},
    ]
    (here / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tokenizer, _ = tokenizer_of(minilm)
    assert minilm.context_tokens == 512
    done = await taken(docs, "a.jsonl", tokenizer=tokenizer, context_tokens=512)
    assert (done.passages, done.beyond) == (4, 2)
    assert (await taken(docs, "a.jsonl")).beyond == 0, "nothing is known of the model"


@pytest.fixture(autouse=True)
async def _no_task_is_left() -> AsyncIterator[None]:
    yield
    assert len(asyncio.all_tasks()) == 1
