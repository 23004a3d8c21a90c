"""Searching by words: which words of a question are worth asking, and who ranks the texts by them.

Rules
- A word that is in more than half of all texts weighs next to nothing in BM25 (as FTS5 has it, a
  millionth). It is left out, unless too little is found without it.
- What is kept in memory of the words ranks them (`postings.py`), FTS5 where that can't: the scores
  are the same.
- Words go in quoted, as texts: nothing in a question is an operator.
- Of equal scores whatever is as good as the last one is given too.

Not here: which texts there are; FTS5 keeps its own index of them, in the same transaction.
"""

import json
import re
from typing import Final

from littoral.adapters.memory.embedded.comparing import numpy
from littoral.adapters.memory.embedded.kept import Filtered
from littoral.adapters.memory.embedded.postings import Postings
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
        self._postings = Postings()
        self._margins: dict[str, tuple[int, int]] = {}
        """By words: a change, and how many more texts had it then than had it not."""

    def ranked(
        self, reader: Reader, through: int, text: str, among: Filtered | None, count: int
    ) -> tuple[list[tuple[int, float]], str]:
        """The best rows with their scores, and what was asked for.

        Raises:
            Behind: try again with a later snapshot.
        """
        words = list(dict.fromkeys(_TOKEN.findall(text.lower())))[:QUESTION_WORDS_MAX]
        if not words:
            return [], "no word was asked for"
        telling = self._telling(reader, through, words)
        found = self._found(reader, through, telling, among, count) if telling else []
        if len(found) < count and len(telling) < len(words):
            telling, found = words, self._found(reader, through, words, among, count)
        left = len(words) - len(telling)
        less = f", {left} of them too common to matter" if left else ""
        return found, f"texts with one of {len(words)} words were ranked by BM25{less}"

    def forget(self) -> None:
        """Let go of what is in memory; the next search reads it again."""
        self._margins = {}
        self._postings.forget()

    def _telling(self, reader: Reader, through: int, words: list[str]) -> list[str]:
        """Those that are not in more than half of the texts."""
        ((records,),) = reader.database.read("SELECT records FROM state")
        if records < _SMALL:
            return words
        if len(self._margins) + len(words) > WORD_COUNTS_MAX:
            self._margins = {}
        return [word for word in words if self._margin(reader, through, word, int(records)) <= 0]

    def _margin(self, reader: Reader, through: int, word: str, records: int) -> int:
        """By how much more texts have it than have it not, or had when it was counted.

        A change adds two to that or takes two away, at most: so long it is not counted again.
        """
        then, margin = self._margins.get(word, (through, 0))
        if 2 * abs(through - then) >= abs(margin):
            ((having,),) = reader.database.read(
                "SELECT count(*) FROM words WHERE words MATCH ?", (f'"{word}"',)
            )
            margin = 2 * having - records
            self._margins[word] = through, margin
        return margin

    def _found(
        self, reader: Reader, through: int, words: list[str], among: Filtered | None, count: int
    ) -> list[tuple[int, float]]:
        found = self._postings.ranked(reader, through, words, among, count)
        return _found_by_sql(reader, words, among, count) if found is None else found


def _found_by_sql(
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
