"""Searching by words: a question as FTS5 asks for it, and what is worth asking.

Rules
- Words go in quoted, as texts: nothing in a question is an operator.
- A word that is in more than half of all texts weighs next to nothing in BM25 (as FTS5 has it, a
  millionth), and makes up most of the time. It is left out, unless too little is found without it.
- Of equal scores whatever is as good as the last one is given too.

Not here: which texts there are; FTS5 keeps its own index of them, in the same transaction.
"""

import json
import re
from threading import Lock
from typing import Final

from littoral.adapters.memory.embedded.comparing import numpy
from littoral.adapters.memory.embedded.kept import Filtered
from littoral.adapters.memory.embedded.reading import Reader
from littoral.terms.limits import QUESTION_WORDS_MAX, WORD_COUNTS_MAX

__all__ = ["Wording"]

_TOKEN: Final = re.compile(r"[^\W_]+")
_ROWS_ASKED_MAX: Final = 20_000
"""Rows of a filter that are handed to SQLite; more are taken out of what it finds."""
_SMALL: Final = 1_000
"""Of fewer records no word is worth leaving out."""


class Wording:
    """What is known of the words of one collection."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._lock = Lock()
        self._common: dict[str, bool] = {}
        self._records = 0
        """When the words were counted."""

    def ranked(
        self, reader: Reader, text: str, among: Filtered | None, count: int
    ) -> tuple[list[tuple[int, float]], str]:
        """The best rows with their scores, and what was asked for."""
        words = list(dict.fromkeys(_TOKEN.findall(text.lower())))[:QUESTION_WORDS_MAX]
        if not words:
            return [], "no word was asked for"
        telling = self._telling(reader, words)
        found = _found(reader, telling, among, count) if telling else []
        if len(found) < count and len(telling) < len(words):
            telling, found = words, _found(reader, words, among, count)
        left = len(words) - len(telling)
        less = f", {left} of them too common to matter" if left else ""
        return found, f"texts with one of {len(words)} words were ranked by BM25{less}"

    def _telling(self, reader: Reader, words: list[str]) -> list[str]:
        """Those that are not in more than half of the texts."""
        ((records,),) = reader.database.read("SELECT records FROM state")
        if records < _SMALL:
            return words
        with self._lock:
            apart = abs(records - self._records) > self._records // 5
            if apart or len(self._common) + len(words) > WORD_COUNTS_MAX:
                self._common, self._records = {}, records
            common = self._common
        for word in words:
            if word not in common:
                ((having,),) = reader.database.read(
                    "SELECT count(*) FROM words WHERE words MATCH ?", (f'"{word}"',)
                )
                common[word] = having > records / 2
        return [word for word in words if not common[word]]


def _found(
    reader: Reader, words: list[str], among: Filtered | None, count: int
) -> list[tuple[int, float]]:
    asked = " OR ".join(f'"{word}"' for word in words)
    select = "SELECT rowid, -bm25(words) AS score FROM words WHERE words MATCH ?"
    if among is not None and len(among.rows) > _ROWS_ASKED_MAX:
        found = reader.database.read(f"{select} ORDER BY score DESC", (asked,))
        there = numpy().isin([row for row, _ in found], among.rows).tolist()
        return [each for each, kept in zip(found, there, strict=True) if kept]
    parameters: list[object] = [asked]
    if among is not None:
        select += " AND +rowid IN (SELECT value FROM json_each(?))"
        parameters.append(json.dumps(among.rows.tolist()))
    wanted = count + 1
    while True:
        found = reader.database.read(f"{select} ORDER BY score DESC LIMIT ?", (*parameters, wanted))
        if len(found) < wanted or found[-1][1] < found[count - 1][1]:
            return found
        wanted *= 4
