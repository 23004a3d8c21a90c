"""Write the reference tables in docs/ from the code, so that they cannot drift from it.

Each document has one place between two marker lines; the text around it is written by hand.
`make docs` rewrites the places, and a tidy test fails while one differs from its code.
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from typer.core import TyperArgument, TyperGroup, TyperOption
from typer.main import get_command

from littoral.cli.main import command_line
from littoral.node.metrics import METERED, Form
from littoral.node.setting import Setting
from littoral.node.settings import SETTINGS, grouped
from littoral.terms import errors, limits

__all__ = ["DOCUMENTS", "ROOT", "leaf_errors", "main", "rewritten"]

ROOT: Final = Path(__file__).resolve().parent.parent
BEGIN: Final = "<!-- from the code: `make docs` writes everything up to the end mark -->"
END: Final = "<!-- end -->"
KIB: Final = 1024


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def settings() -> str:
    """One table for each group; a setting's flag, variable, default, unit and help."""
    head = ("Flag", "Variable", "Default", "Unit", "What it is")
    return "\n\n".join(
        f"## {group.capitalize()}\n\n{table(head, [setting_row(row) for row in rows])}"
        for group, rows in grouped()
    )


def setting_row(row: Setting) -> tuple[str, ...]:
    """How one setting is given, what it is otherwise, and its help."""
    default = str(row.default).lower() if isinstance(row.default, bool) else str(row.default)
    shown = f"`{default}`" if default else "none"
    return f"`{row.flag}`", f"`{row.environment}`", shown, row.unit, row.help


def leaf_errors(family: type[errors.LittoralError]) -> Iterator[type[errors.LittoralError]]:
    """The classes of a family that are raised, in the order they are written."""
    for child in family.__subclasses__():
        if child.__subclasses__():
            yield from leaf_errors(child)
        elif child.__module__ == errors.__name__:
            yield child


def error_codes() -> str:
    """One table for each family: whose fault it is."""
    parts = []
    for family in errors.LittoralError.__subclasses__():
        rows = [
            (
                f"`{error.code}`",
                str(error.status),
                str(error.exit_code),
                sentence(error),
                error.default_advice,
            )
            for error in leaf_errors(family)
        ]
        head = ("Code", "HTTP status", "Exit code", "What it says", "What to do")
        parts.append(f"## {family.__name__}\n\n{sentence(family)}\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def sentence(thing: type) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def bounds() -> str:
    """One row for each constant of terms/limits.py: its value, unit and reason."""
    body = ast.parse(inspect.getsource(limits)).body
    rows = []
    for statement, reason in pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name, text = statement.target.id, literal_text(reason)
            rows.append(
                (f"`{name}`", quantity(name, getattr(limits, name)), " ".join(text.split()))
            )
    return table(("Limit", "Value", "What it bounds, and why"), rows)


def literal_text(statement: ast.stmt) -> str:
    """The text of a statement that is a lone string, or nothing."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return text
        case _:
            return ""


def quantity(name: str, value: float) -> str:
    """A number with the unit that its name ends in."""
    if "BYTES" in name and isinstance(value, int):
        for unit, size in (("GiB", KIB**3), ("MiB", KIB**2), ("KiB", KIB)):
            if value >= size and value % size == 0:
                return f"{value // size} {unit}"
    if name.removesuffix("_MAX").endswith("_S"):
        return f"{value:g} s"
    return f"{value:,}"


def commands() -> str:
    """One section for each command, with every argument and option."""
    root = get_command(command_line())
    return "\n\n".join(sections(root, "littoral"))


def sections(node: object, path: str) -> Iterator[str]:
    """A command and, if it is a group, what is in it."""
    assert hasattr(node, "params")
    parameters = [
        each
        for each in node.params
        if isinstance(each, (TyperArgument, TyperOption)) and not getattr(each, "hidden", False)
    ]
    text = [f"## `{path}`", " ".join((getattr(node, "help", "") or "").split())]
    names = {row.name for row in SETTINGS}
    if names <= {each.name for each in parameters}:
        parameters = [each for each in parameters if each.name not in names]
        text.append("Every [setting](settings.md) is an option too.")
    if parameters:
        rows = [parameter_row(each) for each in parameters]
        text.append(table(("Argument or option", "Default", "What it is"), rows))
    yield "\n\n".join(part for part in text if part)
    if isinstance(node, TyperGroup):
        for name, child in node.commands.items():
            yield from sections(child, f"{path} {name}")


def parameter_row(parameter: TyperArgument | TyperOption) -> tuple[str, str, str]:
    """How one argument or option is written, what it is otherwise, and its help."""
    if isinstance(parameter, TyperArgument):
        written = (parameter.metavar or parameter.name or "").upper()
    else:
        written = ", ".join([*parameter.opts, *parameter.secondary_opts])
    default = parameter.default
    shown = "required" if parameter.required else ""
    if default not in (None, False, "", ()) and not callable(default):
        shown = f"`{default}`"
    return f"`{written}`", shown, " ".join((parameter.help or "").split())


def metrics() -> str:
    """One row for each metric: its name as scraped, type, labels and help."""
    rows = []
    for metered in METERED:
        kind = metered.form.value.split()[0]
        name = f"{metered.name}_total" if metered.form is Form.COUNTER else metered.name
        labels = ", ".join(f"`{label}`" for label in metered.labels)
        rows.append((f"`{name}`", kind, labels, metered.says))
    return table(("Metric", "Type", "Labels", "What it says"), sorted(rows))


DOCUMENTS: Final[dict[str, Callable[[], str]]] = {
    "docs/settings.md": settings,
    "docs/errors.md": error_codes,
    "docs/limits.md": bounds,
    "docs/commands.md": commands,
    "docs/metrics.md": metrics,
}


def rewritten(text: str, reference: str) -> str:
    """The document with its marked place filled by the reference.

    Raises:
        ValueError: it has no such place, or more than one.
    """
    place = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}\n", re.DOTALL)
    if len(place.findall(text)) != 1:
        raise ValueError("the document needs one begin mark and one end mark")
    return place.sub(lambda _: f"{BEGIN}\n\n{reference}\n\n{END}\n", text)


def main() -> None:
    """Rewrite every document that differs, and name it."""
    for name, make in DOCUMENTS.items():
        path = ROOT / name
        before = path.read_text()
        after = rewritten(before, make())
        if after != before:
            path.write_text(after)
            sys.stderr.write(f"rewrote {name}\n")


if __name__ == "__main__":
    main()
