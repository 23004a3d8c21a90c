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


def test_folders_are_those_that_were_named_themselves() -> None:
    found = found_sources(["./docs/", "docs/../docs", "README.md", "do*", "docs/**/*.html"])
    assert found.folders == ("docs",)
    assert found_sources(["."]).folders == (".",)


def test_a_file_is_gone_where_nothing_is_or_a_folder(here: Path) -> None:
    (here / "link.md").symlink_to(here / "nowhere")
    assert not finding.is_gone(finding.place_of("link.md"))
    assert not finding.is_gone(finding.place_of("docs/../README.md"))
    for name in ("none.md", "docs", "README.md/inside.md", "none/none.md"):
        assert finding.is_gone(finding.place_of(name))
    with pytest.raises(OSError, match="too long"):
        finding.is_gone(finding.place_of("a" * 300))


def test_an_empty_folder_above_a_place_is_found(here: Path) -> None:
    (here / "docs/empty").mkdir()
    empty = str(here / "docs/empty")
    assert finding.empty_above(f"{empty}/a/b/c.md", str(here)) == empty
    assert finding.empty_above(f"{empty}/c.md", empty) == empty
    assert finding.empty_above(str(here / "docs/deep/none/c.md"), str(here)) == ""


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "IMPORT_FILES_MAX", 2)
    with pytest.raises(BadRequestError, match="over 2 files"):
        names("docs", "README.md")
