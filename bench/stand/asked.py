"""Questions by words in process, beside SQLite's FTS5, which ranks each as it comes.

Questions are real texts from elsewhere, of 5 to 15 words. Each is asked once, which reads into
memory what it is the first to ask for, and then again. FTS5 gets the same words of some of them,
and must give the same scores.
"""

import re
import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from math import isclose
from pathlib import Path
from typing import Final

from bench.stand.embedding import TEXTS, texts_of
from bench.stand.native import StandError
from bench.stand.parts import Part
from bench.stand.report import Promise, at_most, note
from littoral.adapters.memory.embedded import open_collections
from littoral.terms.memory import CollectionSpec, Record, Search, Upsert, Words

__all__ = ["asked"]

NAME: Final = "texts"
SIZES: Final = {30_000: 1.5, 100_000: 4.0}
"""Texts, and the milliseconds that are promised."""
COUNT: Final = 10
BATCH: Final = 1_000
BESIDE: Final = 8
"""Of so many questions one goes to FTS5 too."""
_WORD: Final = re.compile(r"[^\W_]+")


def asked(folder: Path, rounds: int) -> Part:
    """Ask them of collections of each size, so many rounds after the first."""
    names = {size: f"CPU of a question by words, {size:,} texts" for size in SIZES}
    if not TEXTS.exists():
        why = "the texts are not here (../shared/data/summaries)"
        return Part([at_most(names[size], [], most, "ms", why) for size, most in SIZES.items()])
    questions = [each for each in texts_of("queries") if 5 <= len(_WORD.findall(each)) <= 15]
    promises, rows, figures = list[Promise](), [], dict[str, object]()
    for size, most in SIZES.items():
        note(f"questions by words: {size:,} texts")
        first, again, theirs = _measured(folder / str(size), size, questions, rounds)
        promises.append(at_most(names[size], [first], most, "ms"))
        rows.append((f"{size:,}", first, again, theirs))
        figures[f"{size}"] = {"first_ms": first, "again_ms": again, "fts5_ms": theirs}
    columns = ("texts", "asked first, ms", "asked again, ms", "FTS5, ms")
    return Part(promises, columns, rows, figures)


def _measured(
    home: Path, size: int, questions: Sequence[str], rounds: int
) -> tuple[float, float, float]:
    collections = open_collections(home)
    try:
        collections.create(CollectionSpec(name=NAME))
        held = collections.open(NAME)
        texts = texts_of("documents")[:size]
        for start in range(0, len(texts), BATCH):
            part = enumerate(texts[start : start + BATCH], start)
            held.apply([Upsert(tuple(Record(id=f"{n:06}", text=text) for n, text in part))])

        def scores(question: str) -> list[float]:
            search = Search(query=Words(question), limit=COUNT, with_content=False)
            return [hit.score for hit in held.search(search).hits]

        scores("none of these")  # what is read once, whatever is asked
        (truth,) = home.glob("memory/*/truth.sqlite")
        fts5 = _Fts5(truth)
        first, again, theirs = [_cpu_ms(scores, questions)], list[float](), list[float]()
        some = [fts5.words(each) for each in questions[::BESIDE]]
        for _ in range(rounds):
            again.append(_cpu_ms(scores, questions))
            theirs.append(_cpu_ms(fts5.scores, some))
        for question, words in zip(questions[::BESIDE], some, strict=True):
            pairs = zip(scores(question), fts5.scores(words), strict=True)
            if not all(isclose(one, other, rel_tol=1e-9) for one, other in pairs):
                raise StandError(f"FTS5 ranks otherwise: {question[:80]}")
        return first[0], statistics.median(again), statistics.median(theirs)
    finally:
        collections.close()


class _Fts5:
    """The same texts, ranked by it alone."""

    def __init__(self, truth: Path) -> None:
        self._database = sqlite3.connect(f"{truth.as_uri()}?mode=ro", uri=True)
        ((self._texts,),) = self._database.execute("SELECT records FROM state")
        self._many: dict[str, bool] = {}

    def words(self, question: str) -> str:
        """Those that are not in most texts."""
        words = dict.fromkeys(_WORD.findall(question.lower()))
        return " OR ".join(f'"{word}"' for word in words if not self._in_most(word))

    def scores(self, words: str) -> list[float]:
        """The best."""
        found = self._database.execute(
            "SELECT -bm25(words) AS score FROM words WHERE words MATCH ? ORDER BY score DESC "
            "LIMIT ?",
            (words, COUNT),
        )
        return [score for (score,) in found]

    def _in_most(self, word: str) -> bool:
        if word not in self._many:
            ((having,),) = self._database.execute(
                "SELECT count(*) FROM words WHERE words MATCH ?", (f'"{word}"',)
            )
            self._many[word] = 2 * having > self._texts
        return self._many[word]


def _cpu_ms(ask: Callable[[str], object], questions: Sequence[str]) -> float:
    began = time.process_time()
    for question in questions:
        ask(question)
    return (time.process_time() - began) * 1e3 / len(questions)
