"""Judged sets through a PoP: nDCG@10 and recall@100 of each way to ask a question.

Each document is one record, its title as header; the built-in embedding model reads the first 256
tokens. Questions are asked by meaning alone, by words alone and by both (reciprocal rank fusion,
K = 60, untuned), without a reranker.
"""

import json
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Final

from bench.stand.judged import Judged, ndcg, recall
from bench.stand.report import note
from bench.stand.talk import Target

__all__ = ["judged_by", "ways"]

BATCH: Final = 256
ASKED_FOR: Final = 100

_Query = Mapping[str, object]


def ways(text: str) -> Mapping[str, _Query]:
    """How a question is asked."""
    meaning, words = {"type": "like", "text": text}, {"type": "words", "text": text}
    branches = [{"query": each, "limit": ASKED_FOR} for each in (meaning, words)]
    return {"meaning": meaning, "words": words, "both": {"type": "fused", "branches": branches}}


def judged_by(target: Target, judged: Judged) -> dict[str, tuple[float, float]]:
    """nDCG@10 and recall@100 of each way; the target's model embeds."""
    name = f"bench-{judged.name}"
    with target.send("/v1/memory", {"name": name, "embedding": target.model}) as response:
        response.read()
    began = time.perf_counter()
    for batch in _batches(judged):
        body = {"writes": [{"type": "upsert", "records": batch}]}
        with target.send(f"/v1/memory/{name}/write", body) as response:
            response.read()
    took = time.perf_counter() - began
    note(f"{judged.name}: {len(judged.documents)} documents in {took:.1f} s")
    scores: dict[str, list[tuple[float, float]]] = {}
    for question, text in judged.questions.items():
        for way, query in ways(text).items():
            ranked = _asked(target, name, query)
            grades = judged.grades[question]
            scores.setdefault(way, []).append((ndcg(ranked, grades), recall(ranked, grades)))
    return {
        way: (
            round(statistics.mean(each[0] for each in values), 4),
            round(statistics.mean(each[1] for each in values), 4),
        )
        for way, values in scores.items()
    }


def _batches(judged: Judged) -> Iterator[list[Mapping[str, object]]]:
    records: list[Mapping[str, object]] = [
        {"id": key, "header": title, "text": text or title}
        for key, (title, text) in judged.documents.items()
    ]
    for start in range(0, len(records), BATCH):
        yield records[start : start + BATCH]


def _asked(target: Target, name: str, query: _Query) -> list[str]:
    body = {"query": query, "limit": ASKED_FOR, "with_content": False}
    with target.send(f"/v1/memory/{name}/search", body) as response:
        hits = json.loads(response.read())["hits"]
    return [hit["record"]["id"] for hit in hits]
