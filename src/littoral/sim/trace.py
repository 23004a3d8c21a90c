"""Requests that were recorded: when they came, how long they were, and which blocks they shared.

Two public forms are read: Mooncake's JSON lines (`timestamp` in ms, `input_length`,
`output_length`, `hash_ids` of prefix blocks of 512 tokens) and Azure's CSV (`TIMESTAMP`,
`ContextTokens`, `GeneratedTokens`), which tells of no shared prefixes.

Requests belong to one conversation when they have the second block in common: the first one alone
is a system prompt, which all share.
"""

import csv
import json
from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from littoral.terms.errors import ConfigError

__all__ = ["BLOCK_TOKENS", "Row", "Trace", "read_trace"]

BLOCK_TOKENS: Final = 512
"""Of the blocks in Mooncake's form."""


class Row(NamedTuple):
    """One request of a trace."""

    at_s: float
    prompt_tokens: int
    answer_tokens: int
    conversation: int
    blocks: tuple[int, ...]
    """Whole blocks only: the rest of a prompt is never found again."""


class Trace:
    """Requests in order of time, from 0 s."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = sorted(rows)
        self.span_s = self.rows[-1].at_s + 1.0
        self.rate_per_s = len(rows) / self.span_s
        self.blocks = 1 + max((max(row.blocks, default=0) for row in rows), default=0)
        """More than any block's number."""
        self.conversations = 1 + max(row.conversation for row in rows)
        self._times = [row.at_s for row in self.rows]

    def part(self, start_s: float, length_s: float) -> Iterator[tuple[float, Row]]:
        """The rows from a moment on, going round at the end, with seconds since that moment."""
        place = bisect_left(self._times, start_s)
        turn = 0.0
        while True:
            if place == len(self.rows):
                place, turn = 0, turn + self.span_s
            row = self.rows[place]
            since = row.at_s + turn - start_s
            if since >= length_s:
                return
            yield since, row
            place += 1


def read_trace(path: Path) -> Trace:
    """A trace from its file.

    Raises:
        ConfigError: it can't be read as one of the two forms.
    """
    try:
        with path.open() as file:
            rows = list(_azure(csv.DictReader(file)) if path.suffix == ".csv" else _mooncake(file))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} is not a trace: {error}", advice="docs/simulate.md says what a trace has"
        ) from None
    if not rows:
        raise ConfigError(f"the trace {path} is empty", advice="name another")
    return Trace(rows)


def _mooncake(lines: Iterator[str]) -> Iterator[Row]:
    for line in lines:
        told = json.loads(line)
        ids = tuple(map(int, told["hash_ids"]))
        prompt = int(told["input_length"])
        yield Row(
            float(told["timestamp"]) / 1000,
            max(prompt, 1),
            max(int(told["output_length"]), 1),
            ids[1] if len(ids) > 1 else ids[0],
            ids[: prompt // BLOCK_TOKENS],
        )


def _azure(rows: Iterator[dict[str, str]]) -> Iterator[Row]:
    first: datetime | None = None
    for number, row in enumerate(rows):
        at = datetime.fromisoformat(row["TIMESTAMP"][:26])
        first = first or at
        prompt = max(int(row["ContextTokens"]), 1)
        yield Row(
            (at - first).total_seconds(), prompt, max(int(row["GeneratedTokens"]), 1), number, ()
        )
