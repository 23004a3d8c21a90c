"""Documents of this repository, added to a real PoP as it is typed, and found again."""

import json
import subprocess
import sys

import pytest

from tests.conftest import EMBED_MODEL, ROOT, RunningPop


def typed(pop: RunningPop, *words: str) -> dict[str, object]:
    """What a command says with `--json`."""
    command = [sys.executable, "-m", "littoral.cli", "memory", *words]
    command += ["--home", str(pop.home), "--json"]
    ran = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    said: dict[str, object] = json.loads(ran.stdout)
    return said


@pytest.mark.model
def test_documents_that_were_added_answer_with_the_right_source(pop: RunningPop) -> None:
    files = ("docs/fabric.md", "docs/pipelines.md")
    added = typed(pop, "add", "documents", *files, "--metadata", "year=2026")
    assert (added["files_done"], added["failed"]) == (2, 0)
    shown = typed(pop, "show", "documents")
    assert shown["records"] == added["passages"]
    assert shown["spec"]["embedding"] == EMBED_MODEL  # type: ignore[index]
    found = typed(pop, "search", "documents", "How do I join a second machine?")
    best = found["passages"][0]  # type: ignore[index]
    assert best["document"] == "docs/fabric.md"
    assert best["metadata"] == {"year": 2026}
    assert best["digest"].startswith("blake3:")
    again = typed(pop, "add", "documents", *files, "--metadata", "year=2026")
    assert (again["passages"], again["unchanged"]) == (0, added["passages"])
