"""What both stories of `littoral demo` are told with: headings, paragraphs, tables, a spinner."""

import textwrap
from collections.abc import Sequence
from typing import Final, Self

from rich.status import Status

from littoral.cli.show import Show

__all__ = ["Telling", "named", "without_time"]

_WIDTH: Final = 80


class Telling:
    """Prints it as it comes; a context that leaves the terminal as it was."""

    def __init__(
        self, show: Show, beginning: str, headings: Sequence[str], work: Sequence[str]
    ) -> None:
        """Print nothing yet.

        Args:
            show: prints.
            beginning: what is said before the first step.
            headings: of each step.
            work: what is said on a terminal while a step takes longer; empty: nothing.
        """
        self._show = show
        self._beginning = beginning
        self._headings = headings
        self._work = work
        self._working: Status | None = None
        self._names: dict[str, str] = {}
        """Of machines, by the names of their PoPs."""

    def __enter__(self) -> Self:
        """Print from here on."""
        self._show.line(self._beginning, style="dim")
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""
        self._rest()

    def _begin(self, number: int) -> None:
        heading = self._headings[number - 1]
        if self._show.as_json:
            self._show.note(f"{number}  {heading}")
            return
        self._show.line()
        self._show.line(f"{number}  {heading}", style="bold")
        if (work := self._work[number - 1]) and self._show.err.is_terminal:
            self._working = self._show.err.status(f"  [dim]{work}[/dim]", spinner="line")
            self._working.start()

    def _rest(self) -> None:
        if self._working is not None:
            self._working.stop()
            self._working = None

    def _say(self, text: str, *, deep: bool = False, style: str | None = None) -> None:
        indent = " " * (5 if deep else 3)
        for line in textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=indent,
            subsequent_indent=f"{indent}  " if deep else indent,
            break_long_words=False,
            break_on_hyphens=False,
        ):
            self._show.line(line, style=style)

    def _renamed(self, text: str) -> str:
        """A text in which machines are called what the story calls them."""
        for pop, name in self._names.items():
            text = text.replace(pop, name)
        return text

    def _end(self, told: object) -> None:
        """Say that nothing is left, and print all as data if that is wanted."""
        self._show.line()
        self._show.line("All PoPs have ended, and their folder is gone.", style="dim")
        self._show.data(told)

    def _table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        indented = [(f"   {first}", *others) for first, *others in (columns, *rows)]
        self._show.table(indented[0], indented[1:])


def named(machine: str) -> str:
    """A machine's name within a sentence."""
    return f"the {machine}" if machine == "origin" else machine


def without_time(line: str) -> str:
    """A log line without its first two words."""
    return line.split(" ", 2)[-1]
