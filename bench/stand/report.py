"""The end of every bench: one JSON line on standard output, made of promises kept or not.

A value that could not be measured is None with a reason; it is never guessed, and its promise
neither holds nor fails. Progress goes to standard error.
"""

import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

__all__ = ["Promise", "at_least", "at_most", "note", "print_report", "print_table"]


@dataclass(frozen=True, slots=True)
class Promise:
    """One number that was promised, and what was measured."""

    name: str
    value: float | None
    limit: float
    unit: str
    direction: Literal["at least", "at most"]
    holds: bool | None
    reason: str = ""


def at_least(
    name: str, values: Sequence[float], limit: float, unit: str, reason: str = ""
) -> Promise:
    """A promise whose median must reach the limit."""
    value = round(statistics.median(values), 3) if values else None
    holds = None if value is None else value >= limit
    return Promise(name, value, limit, unit, "at least", holds, reason if value is None else "")


def at_most(
    name: str, values: Sequence[float], limit: float, unit: str, reason: str = ""
) -> Promise:
    """A promise whose median must not pass the limit."""
    value = round(statistics.median(values), 3) if values else None
    holds = None if value is None else value <= limit
    return Promise(name, value, limit, unit, "at most", holds, reason if value is None else "")


def note(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)


def print_report(
    bench: str, promises: Sequence[Promise], peers: Mapping[str, object], rounds: int
) -> None:
    """Say each promise in a line for people, then everything in one line for machines."""
    for promise in promises:
        mark = {True: "holds", False: "BROKEN", None: "not measured"}[promise.holds]
        shown = promise.reason if promise.value is None else f"{promise.value:g} {promise.unit}"
        note(f"{mark:>12}  {promise.name}: {shown} ({promise.direction} {promise.limit:g})")
    document = {
        "bench": bench,
        "promises": [asdict(promise) for promise in promises],
        "peers": dict(peers),
        "rounds": rounds,
        "machine": machine(),
    }
    print(json.dumps(document), flush=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> None:
    """A table for people: the first column to the left, numbers to three figures, - for none."""
    shown = [columns, *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(columns))]
    for row in shown:
        first, *others = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        note("  ".join([first, *others]))


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> dict[str, object]:
    """What the numbers were taken on, without its name."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_1m": round(os.getloadavg()[0], 2),
    }


def cpu_name() -> str:
    """The processor's name where Linux tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
