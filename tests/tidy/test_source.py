"""What every source file keeps."""

import ast
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent.parent
LINES_MAX = 400
TEST_LINES_MAX = 500  # a list of sentences is read one by one
LONGER = {
    "src/littoral/terms/errors.py": (540, "one tree of errors is read as one table"),
    "src/littoral/terms/facts.py": (420, "one list of all that can happen"),
    "src/littoral/terms/limits.py": (1_170, "every bound is a row of one table"),
}
FUNCTION_LINES_MAX = 70
LONGER_FUNCTIONS: dict[str, str] = {}
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
FOREIGN = re.compile(
    "|".join(
        [
            r"/(?:root|home/\w+|Users/\w+|work)/",
            r"pypi\." + "org",
            r"python" + "hosted",
            r"registry\.npm" + "js",
            r"deb\.deb" + "ian",
        ]
    )
)
UNNUMBERED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b(?!\(#\d+\))")


@cache
def files() -> list[Path]:
    """Every file that is or would be committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, text=True, capture_output=True).stdout
    return [ROOT / line for line in sorted(listed.splitlines()) if (ROOT / line).is_file()]


def python_files(*folders: str) -> list[Path]:
    return [
        path
        for path in files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders
    ]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


SOURCES = python_files("src")
TESTS = python_files("tests")
PYTHON = python_files("src", "tests", "bench", "tools")
TEXTS = [path for path in files() if path.name not in {"constraints.txt", "LICENSE"}]


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All of a file's tree."""
    return tuple(ast.walk(tree(path)))


@cache
def functions(path: Path) -> tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...]:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return tuple(node for node in nodes(path) if isinstance(node, kinds))


def test_a_file_is_short_enough_to_read_in_one_sitting() -> None:
    long = set()
    for path in PYTHON:
        usual = TEST_LINES_MAX if path in TESTS else LINES_MAX
        most, _reason = LONGER.get(name_of(path), (usual, ""))
        if len(path.read_text().splitlines()) > most:
            long.add(name_of(path))
    assert not long, "look for the missing idea"


def test_a_function_fits_on_a_screen() -> None:
    long = {
        f"{name_of(path)}::{node.name}"
        for path in SOURCES
        for node in functions(path)
        if (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    }
    assert long == set(LONGER_FUNCTIONS)


def test_a_name_says_what_it_is() -> None:
    vague = set()
    for path in PYTHON:
        classes = [node.name for node in nodes(path) if isinstance(node, ast.ClassDef)]
        defined = [*classes, *(node.name for node in functions(path))]
        for name in [*path.relative_to(ROOT).with_suffix("").parts, *defined]:
            if VAGUE & {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name)}:
                vague.add(f"{name_of(path)}::{name}")
    assert not vague, "name the idea instead"


def test_a_module_says_what_it_is_for() -> None:
    modules = [path for path in python_files("src", "bench", "tools") if tree(path).body]
    bare = {name_of(path) for path in modules if ast.get_docstring(tree(path)) is None}
    assert not bare, "begin with a docstring"


@cache
def offered(path: Path) -> set[str] | None:
    """The names in a module's `__all__`, or None when it has none."""
    for node in tree(path).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return set(ast.literal_eval(value))
            case _:
                pass
    return None


def defined(path: Path) -> set[str]:
    """Every name that a module's top level binds."""
    names = set()
    for node in tree(path).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {each.id for each in targets if isinstance(each, ast.Name)}
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= {alias.asname or alias.name for alias in aliases}
            case _:
                pass
    return names


@cache
def module_file(module: str) -> Path | None:
    base = ROOT / "src" / Path(*module.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def hidden_imports(path: Path) -> set[str]:
    """What a file takes of modules that do not offer it."""
    hidden = set()
    for node in nodes(path):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("littoral"):
            continue
        source = module_file(node.module or "")
        if source is None or offered(source) is None:
            continue
        for alias in node.names:
            is_module = module_file(f"{node.module}.{alias.name}") is not None
            if not is_module and alias.name not in (offered(source) or set()):
                hidden.add(f"{name_of(path)}: {node.module}.{alias.name}")
    return hidden


def test_what_others_import_is_offered() -> None:
    hidden = set().union(*map(hidden_imports, SOURCES))
    assert not hidden, "list it in that module's __all__"


def test_what_is_offered_exists() -> None:
    missing = {
        f"{name_of(path)}: {name}"
        for path in SOURCES
        for name in (offered(path) or set()) - defined(path)
    }
    assert not missing


def test_committed_text_names_no_developers_machine_and_no_registry() -> None:
    found = {name_of(path): FOREIGN.findall(path.read_text()) for path in TEXTS}
    assert not {name: words for name, words in found.items() if words}


def test_what_is_left_to_do_has_a_number() -> None:
    found = {name_of(path): UNNUMBERED.findall(path.read_text()) for path in TEXTS}
    unnumbered = {name: words for name, words in found.items() if words}
    assert not unnumbered, "write it with its issue, as in NAME(#12)"


def test_every_exception_to_the_length_is_still_needed() -> None:
    longer = {name for name in LONGER if len((ROOT / name).read_text().splitlines()) > LINES_MAX}
    assert longer == set(LONGER)


def test_constraints_hold_a_pin_for_every_declared_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = [
        *project["project"]["dependencies"],
        *(line for extra in project["project"]["optional-dependencies"].values() for line in extra),
        *(line for group in project["dependency-groups"].values() for line in group),
    ]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split()[0].split("==") for line in lines if re.match(r"[a-z0-9]", line))
    unmet = []
    for line in declared:
        requirement = Requirement(line) if isinstance(line, str) else None
        if requirement is None or requirement.name == "littoral":
            continue
        pinned = pins.get(canonicalize_name(requirement.name))
        if pinned is None or not requirement.specifier.contains(pinned):
            unmet.append(line)
    assert not unmet, "run `make constraints`"


def test_constraints_name_no_host_and_hash_every_pin() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    pins = re.findall(r"^[a-z0-9].*$", text, flags=re.MULTILINE)
    assert pins
    assert all(pin.endswith("\\") for pin in pins), "a pin without a hash"
