"""Collections of a real PoP with its real embedding model, asked over HTTP."""

import json
import statistics
from urllib.request import Request, urlopen

import pytest

from bench.stand.judged import ndcg, read_judged
from tests.conftest import EMBED_MODEL, ROOT, RunningPop

JUDGED = ROOT / "tests/memory/judged"


def asked(pop: RunningPop, path: str, body: object) -> dict[str, object]:
    head = {"Authorization": f"Bearer {pop.key}", "Content-Type": "application/json"}
    request = Request(f"{pop.url}{path}", json.dumps(body).encode(), head, method="POST")
    with urlopen(request, timeout=60) as response:
        answer: dict[str, object] = json.loads(response.read())
        return answer


@pytest.mark.model
def test_questions_find_what_answers_them_better_by_both_ways_than_by_either(
    pop: RunningPop,
) -> None:
    judged = read_judged(JUDGED)
    asked(pop, "/v1/memory", {"name": "judged", "embedding": EMBED_MODEL})
    records = [
        {"id": key, "header": title, "text": text}
        for key, (title, text) in judged.documents.items()
    ]
    asked(pop, "/v1/memory/judged/write", {"writes": [{"type": "upsert", "records": records}]})
    scores: dict[str, list[float]] = {"meaning": [], "words": [], "both": []}
    for question, text in judged.questions.items():
        meaning, words = {"type": "like", "text": text}, {"type": "words", "text": text}
        both = {"type": "fused", "branches": [{"query": meaning}, {"query": words}]}
        for way, query in (("meaning", meaning), ("words", words), ("both", both)):
            found = asked(pop, "/v1/memory/judged/search", {"query": query, "limit": 10})
            ranked = [hit["record"]["id"] for hit in found["hits"]]  # type: ignore[attr-defined]
            scores[way].append(ndcg(ranked, judged.grades[question]))
    means = {way: statistics.mean(values) for way, values in scores.items()}
    assert means["both"] > 0.85, means
    assert means["both"] >= means["words"], means
