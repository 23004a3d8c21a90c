"""Progress of long work: bars on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from littoral.cli.show import Show

__all__ = ["Report", "progress_shown"]

Report = Callable[[str, int, int | None], None]
"""Takes the stage, bytes done, and bytes in all or None. May be called from any thread."""

LINE_EVERY: Final = 0.25
"""Away from a terminal, a stage prints a line each time this part more of it is done."""


@contextmanager
def progress_shown(show: Show) -> Iterator[Report]:
    """Show progress on standard error while the context is open."""
    if show.err.is_terminal:
        with _bars(show) as report:
            yield report
    else:
        yield _Lines(show).report


@contextmanager
def _bars(show: Show) -> Iterator[Report]:
    bars: dict[str, TaskID] = {}
    columns = (
        TextColumn("{task.description:30}", markup=False),
        BarColumn(bar_width=12),
        _Amount(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=show.err) as progress:

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done, total=total)

        yield report


class _Amount(ProgressColumn):
    """Megabytes done, of how many, and how fast; nothing for work that is not counted in bytes."""

    def render(self, task: Task) -> Text:
        if not task.total:
            return Text("")
        speed = task.finished_speed or task.speed
        rate = f", {speed / 1e6:.0f} MB/s" if speed else ""
        return Text(f"{task.completed / 1e6:.1f} of {task.total / 1e6:.1f} MB{rate}")


class _Lines:
    """One line when a stage begins, at every quarter of it, and at its end."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._printed: dict[str, float] = {}

    def report(self, stage: str, done: int, total: int | None) -> None:
        part = done / total if total else 0.0
        last = self._printed.get(stage)
        if last is None or part >= last + LINE_EVERY or (part >= 1 > last):
            self._printed[stage] = part
            size = f" {done / 1e6:,.1f} MB"
            of = f" of {total / 1e6:,.1f} MB" if total else ""
            self._show.note(f"{stage}:{size}{of}")
