"""Which files a person means."""

from pathlib import Path

import pytest

from littoral.adapters.documents import finding, found_sources
from littoral.terms.errors import BadRequestError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        *("README.md", "docs/a.md", "docs/b.txt", "docs/deep/c.html", "docs/code.py"),
        *("docs/.hidden.md", "docs/.git/d.md", "[odd].md"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(*named: str) -> list[str]:
    return [source.name for source in found_sources(named).files]


def test_files_are_called_as_they_were_named() -> None:
    assert names("README.md", "./docs/a.md", "docs/../README.md") == ["README.md", "docs/a.md"]


def test_a_folder_is_every_file_in_it_of_a_kind_that_is_read(here: Path) -> None:
    (here / "docs/link").symlink_to(here)
    found = found_sources(["docs"])
    assert [source.name for source in found.files] == [
        "docs/a.md",
        "docs/b.txt",
        "docs/deep/c.html",
    ]
    assert found.passed_over == 1


def test_a_pattern_is_what_it_matches_and_a_file_of_odd_name_is_itself() -> None:
    assert names("docs/*.md", "docs/**/*.html") == ["docs/a.md", "docs/deep/c.html"]
    assert names("[odd].md") == ["[odd].md"]


def test_a_file_that_is_named_is_taken_whatever_it_is() -> None:
    assert names("docs/code.py") == ["docs/code.py"]


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(BadRequestError, match=r"there is no file none\.md: check the path"):
        names("README.md", "none.md")


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "IMPORT_FILES_MAX", 2)
    with pytest.raises(BadRequestError, match="over 2 files"):
        names("docs", "README.md")
