"""`littoral memory add`, as it is typed, with a server that has its collections on paper."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from littoral.cli import memory, memory_add
from littoral.node.home import Home, RunningPop
from littoral.node.memory.house import House
from littoral.node.memory.importing import Importer
from littoral.sim.collections import PaperCollections
from littoral.terms.memory import Record, Scan, Upsert
from littoral.web.app import App, Desks
from tests.node.memory.made import MODEL, CountingDoor
from tests.web.fake_door import OPERATOR_KEY, FakeDoor, FakeStatus
from tests.web.raw import serving

app = typer.Typer()
memory.register(app)


@pytest.fixture
def paper() -> PaperCollections:
    return PaperCollections()


@pytest.fixture
def home(
    tmp_path: Path, paper: PaperCollections, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A home that a server runs on, in a thread of its own; files are named from beside it."""
    home = Home(tmp_path / "home")
    home.path.mkdir()
    home.run.mkdir()
    ready, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        house = House({"paper": paper}, CountingDoor(), made_by="paper")
        handling = App(FakeDoor(), FakeStatus(), Desks(memory=house))
        async with serving(handling.handler(), gate=handling.gate()) as served:
            home.announce(RunningPop(0, served.server.url, OPERATOR_KEY))
            ready.set()
            await over.wait()
        house.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    with home.held():
        thread.start()
        try:
            assert ready.wait(10)
            monkeypatch.chdir(tmp_path)
            yield home.path
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join(10)
    loop.close()


def add(home: Path, *arguments: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "240"})
    return runner.invoke(app, ["memory", "add", *arguments, "--home", str(home)])


def kept(paper: PaperCollections, name: str = "docs") -> list[Record]:
    return [*paper.open(name).scan(Scan()).records]


def test_a_folder_is_added_and_added_again_it_is_left_alone(
    home: Path, paper: PaperCollections
) -> None:
    (home.parent / "docs").mkdir()
    (home.parent / "docs/a.md").write_text("# Keys\n\nMake one first.")
    (home.parent / "docs/b.html").write_text("<html><title>Tides</title><p>Water.</p></html>")
    (home.parent / "docs/c.bin").write_text("?")
    first = add(
        home, "docs", "docs", "--model", MODEL, "--label", "staff", "--metadata", "year=2026"
    )
    assert first.exit_code == 0, first.output
    assert f"made the collection docs; {MODEL} embeds what is added" in first.stderr
    assert "passed over: 1 files" in first.stderr
    assert "docs: 2 of 2 files; 2 new passages" in first.stdout
    assert "passages a second" in first.stdout
    found = kept(paper)
    assert {record.document for record in found} == {"docs/a.md", "docs/b.html"}
    assert {record.labels for record in found} == {("staff",)}
    assert found[0].metadata == {"year": 2026}
    again = add(home, "docs", "docs", "--label", "staff", "--metadata", "year=2026")
    assert "docs: 2 of 2 files; 2 unchanged" in again.stdout


def test_files_that_fail_are_told_and_end_in_a_code(home: Path, paper: PaperCollections) -> None:
    (home.parent / "a.md").write_text("Good.")
    (home.parent / "b.pdf").write_text("Bad.")
    result = add(home, "docs", "a.md", "b.pdf", "--model", MODEL, "--json")
    assert result.exit_code == 5
    said = json.loads(result.stdout)
    assert (said["files"], said["files_done"], said["passages"], said["failed"]) == (2, 1, 1, 1)
    assert said["failures"][0]["file"] == "b.pdf"
    assert said["failures"][0]["code"] == "invalid_request"
    assert "not taken: b.pdf is called a PDF file and is none" in result.stderr
    assert len(kept(paper)) == 1


def test_a_folder_is_mirrored_and_each_document_that_goes_is_told(
    home: Path, paper: PaperCollections
) -> None:
    docs = home.parent / "docs"
    docs.mkdir()
    for name in ("a.md", "b.md", "c.md", "rows.jsonl"):
        (docs / name).write_text(json.dumps({"id": name, "text": f"Words of {name}."}))
    add(home, "docs", "docs", "--model", MODEL)
    other = Record(
        id="other", text="By an API.", document="docs/b.md", vectors=kept(paper)[0].vectors
    )
    paper.open("docs").apply([Upsert((other,))])
    for name in ("a.md", "b.md", "rows.jsonl"):
        (docs / name).unlink()
    would = add(home, "docs", "docs", "--prune", "--dry-run")
    assert would.exit_code == 0, would.output
    assert "would drop docs/a.md: 1 passages\n" in would.stdout
    assert "docs: 2 documents whose files are gone would be dropped, 2 passages" in would.stdout
    assert len(kept(paper)) == 5
    result = add(home, "docs", "docs", "--prune", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["dropped"] == [
        {"document": "docs/a.md", "passages": 1},
        {"document": "docs/b.md", "passages": 1},
    ]
    assert said["stay"] == [{"document": "docs/b.md", "records": 1, "why": ""}]
    assert "docs/b.md: 1 records that came in another way stay" in result.stderr
    assert "docs/rows.jsonl is gone; its records have ids of their own, and stay" in result.stderr
    assert {record.id for record in kept(paper)} > {"other", "rows.jsonl"}
    assert {record.document for record in kept(paper)} == {"docs/b.md", "docs/c.md", ""}
    nothing = add(home, "docs", "docs", "--prune")
    assert "docs: 0 documents whose files are gone dropped, 0 passages" in nothing.stdout


def test_an_import_that_ends_early_drops_nothing_and_goes_on_later(
    home: Path, paper: PaperCollections, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = home.parent / "docs"
    docs.mkdir()
    for name in ("a.md", "b.md"):
        (docs / name).write_text(f"Words of {name}.")
    add(home, "docs", "docs", "--model", MODEL)
    (docs / "a.md").unlink()
    (docs / "c.md").write_text("New words.")

    async def interrupted(_: Importer, files: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Importer, "run", interrupted)
        assert add(home, "docs", "docs", "--prune").exit_code == 130
    assert {record.document for record in kept(paper)} == {"docs/a.md", "docs/b.md"}
    result = add(home, "docs", "docs", "--prune")
    assert "dropped docs/a.md: 1 passages" in result.stdout
    assert {record.document for record in kept(paper)} == {"docs/b.md", "docs/c.md"}


def test_another_model_than_the_collections_own_is_refused(home: Path) -> None:
    (home.parent / "a.md").write_text("Good.")
    add(home, "docs", "a.md", "--model", MODEL)
    result = add(home, "docs", "a.md", "--model", "other")
    assert result.exit_code == 5
    assert f"docs is embedded by {MODEL}: leave --model out" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("docs", "none.md"), "there is no file none.md"),
        (("docs", "."), "no file of a kind that is read"),
        (("docs", "a.md", "--metadata", "year"), "is not KEY=VALUE"),
        (("docs", "a.md", "--chunk", "100", "--overlap", "60"), "--overlap of at most 50"),
        (("../docs", "a.md"), "name"),
        (("docs", "a.md", "--prune"), "no folder is named"),
        (("docs", "none", "--prune"), "there is no file none"),
        (("docs", "a.md", "--dry-run"), "what --prune would drop"),
    ],
)
def test_what_makes_no_sense_is_refused(home: Path, arguments: tuple[str, ...], said: str) -> None:
    if "a.md" in arguments:
        (home.parent / "a.md").write_text("Good.")
    result = add(home, *arguments, "--model", MODEL)
    assert result.exit_code == 5
    assert said in result.stderr


def test_metadata_is_read_as_numbers_and_truths_where_it_is_such() -> None:
    read = memory_add._metadata(["a=1", "b=1.5", "c=true", "d=x=y", "e=", "f=[1]"])
    assert read == {"a": 1, "b": 1.5, "c": True, "d": "x=y", "e": "", "f": "[1]"}
