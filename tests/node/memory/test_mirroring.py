"""Folders that a collection mirrors: what goes when files do, and all that stays."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.documents import Reader, finding, found_sources
from littoral.adapters.documents.added import added_book
from littoral.node.memory import mirroring
from littoral.node.memory.house import House
from littoral.node.memory.importing import Importer, Wish
from littoral.node.memory.mirroring import Gone, Mirror, check_folders
from littoral.node.memory.opened import Opened
from littoral.sim.collections import PaperCollections
from littoral.terms.errors import BadRequestError
from littoral.terms.filters import Is
from littoral.terms.memory import CollectionSpec, DeleteWhere, Patch, Record, Scan, Upsert
from tests.node.memory.made import MODEL, OPERATOR, CountingDoor

READERS: list[Reader] = []


@pytest.fixture(scope="module", autouse=True)
def reader() -> Iterator[Reader]:
    READERS.append(Reader())
    yield READERS[0]
    READERS.pop().close()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("docs/a.md", "docs/b.md", "docs/deep/c.md", "more/a.md"):
        written(tmp_path / "here" / name)
    return tmp_path / "here"


@pytest.fixture
async def docs() -> object:
    house = House({"paper": PaperCollections()}, CountingDoor(), made_by="paper")
    await house.create(CollectionSpec(name="docs", embedding=MODEL), OPERATOR)
    yield await house.open("docs", OPERATOR)
    house.close()


def written(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or f"# One\n\nAbout {path.name}.\n\n# Two\n\nMore.\n")


def home() -> Path:
    above = (Path.cwd(), *Path.cwd().parents)
    return next(each for each in above if (each / "here").is_dir()) / "home"


async def added(docs: Opened, *named: str, prune: bool = True, dry: bool = False) -> list[Gone]:
    """What was dropped as the command would."""
    sources = found_sources(named)
    if prune:
        check_folders(sources)
    with added_book(home()) as book:
        mirror = Mirror(docs, book, sources)
        if not dry:
            mirror.begin()
            importer = Importer(docs, Wish(), clock=SystemClock(), reader=READERS[0])
            await importer.run(sources.files)
            mirror.keep(importer.taken)
        return [gone async for gone in mirror.drop(dry=dry)] if prune else []


async def kept(docs: Opened) -> set[str]:
    return {record.document for record in (await docs.scan(Scan(limit=1_000))).records}


async def test_documents_of_a_folder_go_with_their_files(here: Path, docs: Opened) -> None:
    assert await added(docs, "docs", "more") == []
    (here / "docs/a.md").unlink()
    shutil.rmtree(here / "docs/deep")
    (here / "docs/b.md").rename(here / "docs/d.md")
    gone = [Gone("docs/a.md", 1), Gone("docs/b.md", 1), Gone("docs/deep/c.md", 1)]
    assert await added(docs, "docs", prune=False) == []
    assert await kept(docs) >= {"docs/a.md", "docs/b.md", "docs/deep/c.md"}
    assert await added(docs, "docs", dry=True) == gone
    assert await kept(docs) >= {"docs/a.md", "docs/b.md", "docs/deep/c.md"}
    assert await added(docs, "docs") == gone
    assert await kept(docs) == {"docs/d.md", "more/a.md"}
    assert await added(docs, "docs") == []


async def test_only_the_folders_that_are_named_are_mirrored(here: Path, docs: Opened) -> None:
    await added(docs, "docs", "more", prune=False)
    (here / "docs/a.md").unlink()
    (here / "docs/deep/c.md").unlink()
    (here / "docs/deep/d.md").write_text("Other.")
    assert await added(docs, "more") == []
    assert await added(docs, "docs/deep") == [Gone("docs/deep/c.md", 1)]
    assert "docs/a.md" in await kept(docs)


async def test_a_folder_of_the_same_name_elsewhere_is_another(
    here: Path, docs: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    await added(docs, "docs")
    elsewhere = here.parent / "elsewhere"
    written(elsewhere / "docs/b.md", "Other words.")
    monkeypatch.chdir(elsewhere)
    assert await added(docs, "docs") == []
    assert await kept(docs) == {"docs/a.md", "docs/b.md", "docs/deep/c.md"}
    monkeypatch.chdir(here)
    (here / "docs/a.md").unlink()
    (here / "docs/b.md").unlink()
    assert await added(docs, "docs") == [Gone("docs/a.md", 1)], "b is the other folder's now"
    assert "docs/b.md" in await kept(docs)
    monkeypatch.chdir(here.parent)
    (here / "docs/deep/c.md").unlink()
    (here / "docs/deep/d.md").write_text("Words.")
    assert await added(docs, "here/docs") == [], "c is called otherwise from here"


async def test_what_another_folder_was_about_to_take_is_of_neither(
    here: Path, docs: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    await added(docs, "docs")
    elsewhere = here.parent / "elsewhere"
    written(elsewhere / "docs/a.md")
    monkeypatch.chdir(elsewhere)
    with added_book(home()) as book:
        Mirror(docs, book, found_sources(["docs"])).begin()  # and it was broken off
    monkeypatch.chdir(here)
    (here / "docs/a.md").unlink()
    assert await added(docs, "docs") == []
    assert "docs/a.md" in await kept(docs)


async def test_the_folder_that_one_is_in_is_mirrored_too(
    here: Path, docs: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here / "docs")
    await added(docs, ".")
    (here / "docs/a.md").unlink()
    assert await added(docs, ".") == [Gone("a.md", 1)]
    assert await added(docs, "../docs") == []
    assert await kept(docs) == {"b.md", "deep/c.md", "../docs/b.md", "../docs/deep/c.md"}


async def test_what_came_in_by_an_api_stays(here: Path, docs: Opened) -> None:
    await added(docs, "docs")
    records = (await docs.scan(Scan(where=Is("$document", ("docs/b.md",))))).records
    other = Record(id="other", text="By an API.", document="docs/a.md")
    never = Record(id="never", text="No file.", document="docs/never.md")
    await docs.apply([Upsert((other, never))])
    await docs.apply([Patch(where=Is("$document", ("docs/b.md",)), header="A header of ours.")])
    for name in ("docs/a.md", "docs/b.md"):
        (here / name).unlink()
    gone = await added(docs, "docs")
    assert gone == [Gone("docs/a.md", 1, 1), Gone("docs/b.md", 0, len(records))]
    assert await kept(docs) >= {"docs/a.md", "docs/b.md", "docs/never.md"}
    assert await added(docs, "docs") == [], "they are of no file any more"


async def test_contexts_that_a_model_wrote_do_not_keep_passages(here: Path, docs: Opened) -> None:
    await added(docs, "docs")
    ((record,)) = (await docs.scan(Scan(where=Is("$document", ("docs/a.md",))))).records
    header = f"{record.header}\n\u2063It stands at the beginning."
    await docs.apply([Patch(where=Is("$document", ("docs/a.md",)), header=header)])
    (here / "docs/a.md").unlink()
    assert await added(docs, "docs") == [Gone("docs/a.md", 1)]


async def test_rows_stay_and_that_is_told(here: Path, docs: Opened) -> None:
    (here / "docs/rows.jsonl").write_text('{"id": "r", "text": "A row."}\n')
    await added(docs, "docs")
    (here / "docs/rows.jsonl").unlink()
    assert await added(docs, "docs") == [Gone("docs/rows.jsonl", records=True)]
    assert "" in await kept(docs)


async def test_a_file_that_is_there_and_not_taken_stays(here: Path, docs: Opened) -> None:
    (here / "docs/code.py").write_text("print()")
    (here / "docs/bad.md").write_text("Words.")
    await added(docs, "docs", "docs/code.py")
    (here / "docs/bad.md").write_bytes(b"\xff\xff\xff")
    (here / "docs/b.md").unlink()
    (here / "docs/b.md").symlink_to(here / "nowhere")
    assert await added(docs, "docs") == []
    assert await kept(docs) >= {"docs/code.py", "docs/bad.md", "docs/b.md"}


async def test_a_file_that_became_a_folder_is_gone(here: Path, docs: Opened) -> None:
    await added(docs, "docs")
    (here / "docs/a.md").unlink()
    written(here / "docs/a.md/inside.md")
    assert await added(docs, "docs") == [Gone("docs/a.md", 1)]
    assert "docs/a.md/inside.md" in await kept(docs)


async def test_what_can_not_be_looked_at_stays(
    here: Path, docs: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    await added(docs, "docs")
    (here / "docs/a.md").unlink()

    def refusing(place: str) -> bool:
        if place.endswith("a.md"):
            raise PermissionError(13, "Permission denied")
        return finding.is_gone(place)

    monkeypatch.setattr(mirroring, "is_gone", refusing)
    assert await added(docs, "docs") == [Gone("docs/a.md", why_not="Permission denied")]
    assert "docs/a.md" in await kept(docs)


async def test_what_is_in_a_folder_that_can_not_be_listed_stays(
    here: Path, docs: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    await added(docs, "docs")
    (here / "docs/deep/c.md").unlink()
    walk = os.walk

    def refused(top: Path, onerror: object) -> object:
        onerror(PermissionError(13, "Permission denied", str(top / "deep")))  # type: ignore[operator]
        return ((at, inside, files) for at, inside, files in walk(top) if at == str(top))

    monkeypatch.setattr(os, "walk", refused)
    (gone,) = await added(docs, "docs")
    assert gone.why_not == "docs/deep can't be listed: Permission denied"
    assert found_sources(["docs"]).unlisted == (("docs/deep", "Permission denied"),)


async def test_an_empty_folder_drops_nothing(here: Path, docs: Opened) -> None:
    await added(docs, "docs", "more")
    (here / "docs/deep/c.md").unlink()
    (gone,) = await added(docs, "docs")
    assert gone.why_not.startswith(f"{here}/docs/deep is empty; remove it, unless")
    (here / "docs/deep").rmdir()
    assert await added(docs, "docs") == [Gone("docs/deep/c.md", 1)]
    shutil.rmtree(here / "docs")
    (here / "docs").mkdir()
    with pytest.raises(BadRequestError, match="docs has no file that is read, and all that came"):
        await added(docs, "more", "docs")
    shutil.rmtree(here / "docs")
    with pytest.raises(BadRequestError, match="there is no file docs"):
        await added(docs, "more", "docs")
    assert await kept(docs) == {"docs/a.md", "docs/b.md", "more/a.md"}


async def test_a_folder_that_goes_while_files_are_taken_drops_nothing(
    here: Path, docs: Opened
) -> None:
    await added(docs, "docs")
    sources = found_sources(["docs"])
    (here / "docs").rename(here / "away")
    with added_book(home()) as book:
        mirror = Mirror(docs, book, sources)
        with pytest.raises(BadRequestError, match="are gone since this began; nothing is dropped"):
            [gone async for gone in mirror.drop()]
    assert len(await kept(docs)) == 3


@pytest.mark.parametrize("named", [("docs/a.md",), ("docs/*.md",), ("do*",)])
async def test_files_and_patterns_are_no_folder_to_mirror(
    docs: Opened, named: tuple[str, ...]
) -> None:
    with pytest.raises(BadRequestError, match="no folder is named"):
        await added(docs, *named)


async def test_many_documents_go_in_parts_and_those_that_went_are_forgotten(
    here: Path, docs: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirroring, "_DOCUMENTS", 2)
    monkeypatch.setattr(mirroring, "_IDS", 1)
    names = [f"docs/{number}.md" for number in range(5)]
    for name in names:
        written(here / name)
    await added(docs, "docs")
    for name in names:
        (here / name).unlink()
    await docs.apply([DeleteWhere(Is("$document", (names[0],)))])
    gone = await added(docs, "docs")
    assert gone == [Gone(names[0]), *(Gone(name, 1) for name in names[1:])]
    with added_book(home()) as book:
        assert sorted(book.inside("", "docs", str(here))) == sorted(await kept(docs))
