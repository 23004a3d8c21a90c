"""Files and texts become passages, and only what differs is embedded again."""

import asyncio
from pathlib import Path

import pytest

from littoral.node.memory.shelf import passages_of
from littoral.node.memory.taking import Adding
from littoral.node.memory.threads import Threads
from littoral.terms.errors import BadRequestError
from littoral.terms.memory import Scan
from littoral.terms.stores import (
    Cut,
    FileFault,
    FileState,
    FileWanted,
    Paging,
    StoreFile,
    StoreWanted,
    UploadWanted,
)
from littoral.web.mcp.tools import Told
from tests.node.memory.made import ALICE, MODEL
from tests.node.memory.stored import StoresStand, stores_stand

ALL = Paging(limit=100, descending=False)
MORE = b"There is more to say of it. " * 20
GUIDE = (
    b"# Guide\n\n## Tides\n\nThe tide turns twice a day. "
    + MORE
    + b"\n\n## Bread\n\nBread rises with yeast. "
    + MORE
)


async def put(stand: StoresStand, name: str, data: bytes, cut: Cut | None = None) -> FileWanted:
    wanted = UploadWanted(filename=name, purpose="assistants", data=memoryview(data))
    upload = await stand.stored.uploads.send(wanted, ALICE)
    return FileWanted(file_id=upload.id, cut=cut, attributes={"name": name})


async def filed(stand: StoresStand, *files: FileWanted) -> list[StoreFile]:
    """The files of a new store, once nothing is owed of them."""
    store = (await stand.stored.stores.create(StoreWanted(files=files), ALICE)).store.id
    async with asyncio.timeout(30):
        while stand.kept.stores.owing():
            await asyncio.sleep(0.005)
    return list((await stand.stored.files.files(store, None, ALL, ALICE)).rows)


async def test_files_are_read_by_their_kind_and_what_is_none_is_told(tmp_path: Path) -> None:
    async with stores_stand(tmp_path, reads=True) as stand:
        guide, page, broken, binary, rows, columns, empty, gone = [
            await put(stand, "guide.md", GUIDE),
            await put(stand, "page.html", b"<html><body><p>Salt is dear.</p></body></html>"),
            await put(stand, "broken.pdf", b"%PDF-1.4\nnothing of a PDF follows"),
            await put(stand, "binary", b"\x00\x01\x02" * 50),
            await put(stand, "rows.jsonl", b'{"text": "a"}\n'),
            await put(stand, "rows.parquet", b"PAR1" + bytes(50)),
            await put(stand, "empty.txt", b" "),
            await put(stand, "gone.txt", b"gone"),
        ]
        upload = stand.kept.uploads.find(gone.file_id)
        assert upload is not None
        stand.kept.vault.drop(upload.digest)
        files = await filed(stand, guide, page, broken, binary, rows, columns, empty, gone)
        states = {file.filename: (file.state, file.fault) for file in files}
        assert states == {
            "guide.md": (FileState.COMPLETED, None),
            "page.html": (FileState.COMPLETED, None),
            "broken.pdf": (FileState.FAILED, FileFault.INVALID),
            "binary": (FileState.FAILED, FileFault.UNSUPPORTED),
            "rows.jsonl": (FileState.COMPLETED, None),
            "rows.parquet": (FileState.FAILED, FileFault.UNSUPPORTED),
            "empty.txt": (FileState.FAILED, FileFault.INVALID),
            "gone.txt": (FileState.FAILED, FileFault.INVALID),
        }
        store = files[0].store
        opened = await stand.house.open(store, ALICE)
        where = passages_of(f"{guide.file_id}/guide.md")
        records_of = (await opened.scan(Scan(where=where))).records
        headers = {record.header for record in records_of if "Bread" in record.text}
        assert headers == {"Guide"}
        assert all(record.metadata == {"name": "guide.md"} for record in records_of)
        assert files[0].usage_bytes > len(GUIDE)
        texts = await stand.stored.contents.passages(store, guide.file_id, ALICE)
        assert "The tide" in texts[0]
        assert len(texts) == len(records_of) > 1
        embedded = len(stand.door.batches)
        await stand.stored.files.add(store, guide, ALICE)
        async with asyncio.timeout(30):
            while stand.kept.stores.owing():
                await asyncio.sleep(0.005)
        assert len(stand.door.batches) == embedded, "what is there is not embedded again"


async def test_a_static_strategy_says_how_long_passages_are(tmp_path: Path) -> None:
    async with stores_stand(tmp_path, reads=True) as stand:
        text = " ".join(f"word{number}." for number in range(600)).encode()
        short = await put(stand, "a.txt", text, Cut(tokens_max=100, overlap_tokens=0))
        lapped = await put(stand, "b.txt", text, Cut(tokens_max=100, overlap_tokens=50))
        files = await filed(stand, short, lapped)
        assert [file.state for file in files] == [FileState.COMPLETED] * 2
        counts = []
        for file in files:
            texts = await stand.stored.contents.passages(file.store, file.file_id, ALICE)
            assert max(map(len, texts)) <= 400
            counts.append(len(texts))
        assert counts[1] > 1.5 * counts[0]


async def test_what_an_agent_tells_is_kept_cut_and_replaced(tmp_path: Path) -> None:
    threads = Threads()
    async with stores_stand(tmp_path, works=False) as stand:
        adding = Adding(stand.house, threads, lambda _: None, MODEL)
        long = "\n\n".join(f"Paragraph {number} says something else. " * 10 for number in range(9))
        told = [
            Told(text=long, id="notes", title="Notes", metadata={"by": "me"}),
            Told(text="Salt is dear."),
        ]
        added = await adding("mine", told, ALICE)
        assert added.documents[0] == "notes"
        assert added.documents[1].startswith("text-")
        assert added.passages > 3
        opened = await stand.house.open("mine", ALICE)
        records = (await opened.scan(Scan())).records
        assert len(records) == added.passages
        assert {record.header for record in records if record.document == "notes"} == {"Notes"}
        again = await adding("mine", [Told(text="Short now.", id="notes")], ALICE)
        assert again.passages == 1
        texts = {record.text for record in (await opened.scan(Scan())).records}
        assert texts == {"Short now.", "Salt is dear."}
        with pytest.raises(BadRequestError):
            await adding("mine", [Told(text="  \n ")], ALICE)
    threads.close()
