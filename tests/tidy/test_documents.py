"""What the documents keep: they name what there is, and their links lead somewhere."""

import re
import tomllib
from pathlib import Path

import pytest

from littoral.terms.errors import LittoralError
from tests.tidy.test_source import ROOT, files, name_of
from tools.reference import DOCUMENTS, leaf_errors, rewritten

DOCUMENTED = [path for path in files() if path.suffix == ".md"]
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))
DECISION_PARTS = [
    "Context",
    "Options",
    "Decision",
    "What we give up",
    "How we would know it was wrong",
]
ARCHITECTURE_LINES_MAX = 130
DECISION_LINES_MAX = 90


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_reference_table_says_what_the_code_says(name: str) -> None:
    text = (ROOT / name).read_text()
    assert rewritten(text, DOCUMENTS[name]()) == text, "run `make docs`"


def test_every_argument_and_option_says_what_it_is() -> None:
    rows = re.findall(r"^\| (`.*`) \|.*\|  \|$", DOCUMENTS["docs/commands.md"](), re.MULTILINE)
    assert not rows, "give it a help text"


def test_every_error_has_its_own_code_and_a_remedy() -> None:
    leaves = list(leaf_errors(LittoralError))
    assert len({error.code for error in leaves}) == len(leaves)
    assert not [error.__name__ for error in leaves if not error.default_advice]


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = [
        *project["project"]["dependencies"],
        *(line for extra in project["project"]["optional-dependencies"].values() for line in extra),
        *(line for group in project["dependency-groups"].values() for line in group),
    ]
    names = {re.split(r"[^\w-]", line)[0] for line in lines if isinstance(line, str)}
    records = "".join(path.read_text() for path in DECISIONS if path.name[:4] in {"0002", "0022"})
    rows = re.findall(r"^\| `([\w-]+)` \| [\d.]+ MB", records, flags=re.MULTILINE)
    assert sorted(rows) == sorted(names - {"littoral"})


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("path", DECISIONS, ids=name_of)
def test_a_decision_is_one_page_with_its_five_parts(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == DECISION_PARTS
    assert len(text.splitlines()) <= DECISION_LINES_MAX
    assert re.match(rf"# {int(path.name[:4])}\. ", text), "begin with its number"


def test_the_architecture_is_two_pages_and_names_every_room() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert len(text.splitlines()) <= ARCHITECTURE_LINES_MAX
    rooms = {path.parent.name for path in (ROOT / "src/littoral").glob("*/__init__.py")}
    assert {room for room in rooms if f"{room}/" not in text} == set()


@pytest.mark.parametrize("path", DOCUMENTED, ids=name_of)
def test_a_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text())
    broken = [link for link in links if "://" not in link and not leads(path, link)]
    assert not broken


def leads(source: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (source.parent / name) if name else source
    if not target.exists():
        return False
    return not anchor or anchor in {slug(title) for title in titles(target)}


def titles(path: Path) -> list[str]:
    return re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE)


def slug(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
