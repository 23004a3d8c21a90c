"""Judged sets in BEIR's layout: documents, questions, and which documents answer which question."""

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Judged", "ndcg", "read_judged", "recall"]


@dataclass(frozen=True, slots=True)
class Judged:
    """One set."""

    name: str
    documents: Mapping[str, tuple[str, str]]
    """Title and text, by id."""
    questions: Mapping[str, str]
    grades: Mapping[str, Mapping[str, float]]
    """By question, then document: how well it answers; what is not judged is 0."""


def read_judged(folder: Path) -> Judged:
    """The set in a folder: `corpus.jsonl`, `queries.jsonl`, `qrels.tsv`."""
    documents = {
        str(row["_id"]): (str(row.get("title", "")), str(row["text"]))
        for row in _rows(folder / "corpus.jsonl")
    }
    grades: dict[str, dict[str, float]] = defaultdict(dict)
    with (folder / "qrels.tsv").open(newline="") as file:
        for question, document, grade in list(csv.reader(file, delimiter="\t"))[1:]:
            grades[question][document] = float(grade)
    questions = {str(row["_id"]): str(row["text"]) for row in _rows(folder / "queries.jsonl")}
    return Judged(folder.name, documents, {key: questions[key] for key in grades}, grades)


def ndcg(ranked: Sequence[str], grades: Mapping[str, float], count: int = 10) -> float:
    """Normalised discounted cumulative gain, with the grades as gains, as BEIR reports it."""
    gained = sum(
        _discounted(grades.get(key, 0.0), place) for place, key in enumerate(ranked[:count])
    )
    best = sorted(grades.values(), reverse=True)[:count]
    ideal = sum(_discounted(grade, place) for place, grade in enumerate(best))
    return gained / ideal if ideal else 0.0


def recall(ranked: Sequence[str], grades: Mapping[str, float], count: int = 100) -> float:
    """The share of the documents with a grade that are among the first ones."""
    wanted = {key for key, grade in grades.items() if grade > 0}
    return len(wanted & set(ranked[:count])) / len(wanted) if wanted else 0.0


def _discounted(grade: float, place: int) -> float:
    return grade / math.log2(place + 2)


def _rows(path: Path) -> Iterator[Mapping[str, object]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
