"""Documents of this repository, added to a real PoP as it is typed, and found again."""

import json
from pathlib import Path

import pytest

from tests.conftest import EMBED_MODEL, ROOT, RunningPop
from tests.typed import typed


def remember(pop: RunningPop, *words: str, cwd: Path = ROOT) -> dict[str, object]:
    """What a command says with `--json`."""
    ran = typed("memory", *words, "--home", str(pop.home), "--json", cwd=cwd)
    assert ran.returncode == 0, ran.stderr
    said: dict[str, object] = json.loads(ran.stdout)
    return said


@pytest.mark.model
def test_documents_that_were_added_answer_with_the_right_source(pop: RunningPop) -> None:
    files = ("docs/fabric.md", "docs/pipelines.md")
    added = remember(pop, "add", "documents", *files, "--metadata", "year=2026")
    assert (added["files_done"], added["failed"]) == (2, 0)
    shown = remember(pop, "show", "documents")
    assert shown["records"] == added["passages"]
    assert shown["spec"]["embedding"] == EMBED_MODEL  # type: ignore[index]
    found = remember(pop, "search", "documents", "How do I join a second machine?")
    best = found["passages"][0]  # type: ignore[index]
    assert best["document"] == "docs/fabric.md"
    assert best["metadata"] == {"year": 2026}
    assert best["digest"].startswith("blake3:")
    again = remember(pop, "add", "documents", *files, "--metadata", "year=2026")
    assert (again["passages"], again["unchanged"]) == (0, added["passages"])


@pytest.mark.model
def test_a_collection_mirrors_a_folder(pop: RunningPop, tmp_path: Path) -> None:
    (tmp_path / "notes/old").mkdir(parents=True)
    for name in ("keys.md", "tides.md", "old/harbour.md"):
        (tmp_path / "notes" / name).write_text(f"# {name}\n\nWhat there is to know of {name}.\n")
    added = remember(pop, "add", "mirrored", "notes", "--prune", cwd=tmp_path)
    assert (added["passages"], added["dropped"]) == (3, [])
    (tmp_path / "notes/tides.md").unlink()
    (tmp_path / "notes/old/harbour.md").rename(tmp_path / "notes/harbour.md")
    (tmp_path / "notes/old").rmdir()
    gone = [{"document": f"notes/{name}", "passages": 1} for name in ("old/harbour.md", "tides.md")]
    again = remember(pop, "add", "mirrored", "notes", "--prune", cwd=tmp_path)
    assert (again["passages"], again["unchanged"], again["dropped"]) == (1, 1, gone)
    found = remember(pop, "search", "mirrored", "What is known of tides?")
    documents = {each["document"] for each in found["passages"]}  # type: ignore[attr-defined]
    assert documents == {"notes/keys.md", "notes/harbour.md"}
