"""How commands speak: one place for tables, JSON, errors and exit codes.

Rules
- With `--json`, standard output holds exactly one JSON document; everything for people goes to
  standard error. Without it, results go to standard output, notes and progress to standard error.
- Colours and progress bars appear only on a terminal.
- A `LittoralError` becomes one line with its advice, and the process exits with its code; the codes
  are in docs/commands.md. Anything else is a defect and shows its trace.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from littoral.terms.errors import LittoralError
from littoral.terms.values import ModelEntry

__all__ = ["HomeOption", "JsonOption", "Show", "command", "entry_document", "sized"]

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
HomeOption = Annotated[
    str | None, typer.Option("--home", help="State directory (default: ~/.littoral).")
]


class Show:
    """Where one command prints."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.out = Console(highlight=False, soft_wrap=True)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)

    def line(self, text: str = "", *, style: str | None = None) -> None:
        """One line of result for a person; nothing with --json."""
        if not self.as_json:
            self.out.print(text, style=style, markup=False)

    def note(self, text: str, *, style: str | None = "dim") -> None:
        """One line beside the result, on standard error."""
        self.err.print(text, style=style, markup=False)

    def data(self, value: object) -> None:
        """The result for machines; nothing without --json."""
        if self.as_json:
            sys.stdout.write(msgspec.json.encode(value).decode() + "\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of result for a person; nothing with --json.

        Cells are never cut or folded, whatever the terminal's width: ids are there to be copied.
        """
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        self.line(_aligned(columns, widths), style="bold")
        for row in rows:
            self.line(_aligned(row, widths))


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


@contextmanager
def command(*, as_json: bool) -> Iterator[Show]:
    """Run a command's body; turn our errors into one line and an exit code."""
    show = Show(as_json=as_json)
    try:
        yield show
    except LittoralError as error:
        show.data(error_document(error))
        if not as_json:
            show.err.print(f"error: {error}", style="red", markup=False)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def sized(count: int) -> str:
    """A number of bytes, for a person."""
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"


def error_document(error: LittoralError) -> Mapping[str, object]:
    """An error as `--json` prints it."""
    return {
        "error": {
            "code": error.code,
            "message": error.message,
            "advice": error.advice,
            "exit_code": error.exit_code,
            **error.details,
        }
    }


def entry_document(entry: ModelEntry) -> Mapping[str, object]:
    """A model's entry as `--json` prints it."""
    return {field: getattr(entry, field) for field in ModelEntry.__dataclass_fields__}
