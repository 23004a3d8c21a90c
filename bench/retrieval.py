"""How well questions find what answers them: nDCG@10 and recall@100, through a PoP over HTTP.

Each document is one record, its title as header; the built-in embedding model reads the first 256
tokens. Questions are asked by meaning alone, by words alone and by both (reciprocal rank fusion,
K = 60, untuned), without a reranker. The small set is the project's own; the others are read from
`../shared/data` where that is there.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.stand.judged import Judged, ndcg, read_judged, recall
from bench.stand.report import Promise, at_least, note, print_report, print_table
from bench.stand.running import ROOT, pop
from bench.stand.talk import Target

SHARED: Final = ROOT.parent / "shared/data"
OWN: Final = ROOT / "tests/memory/judged"
MODEL: Final = "all-minilm-l6-v2"
BATCH: Final = 256
LIMITS: Final = {"scifact": 0.70, "cranfield": 0.41}
ASKED_FOR: Final = 100

_Query = Mapping[str, object]


def ways(text: str) -> Mapping[str, _Query]:
    """How a question is asked."""
    meaning, words = {"type": "like", "text": text}, {"type": "words", "text": text}
    branches = [{"query": each, "limit": ASKED_FOR} for each in (meaning, words)]
    return {"meaning": meaning, "words": words, "both": {"type": "fused", "branches": branches}}


def main() -> None:
    """Measure each set that is there."""
    only = set(sys.argv[1:])
    folders = [OWN, *(SHARED / name for name in LIMITS)]
    promises: list[Promise] = []
    rows: list[list[str | float | None]] = []
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as home:
        models = ROOT / ".models/models"
        (Path(home) / "models").symlink_to(models)
        with pop(Path(home), "--models", MODEL) as running:
            target = Target(str(running.said["url"]), str(running.said["key"]), MODEL)
            for folder in folders:
                if only and folder.name not in only:
                    continue
                if not folder.is_dir():
                    reason = f"{folder.name} is not here: it is read from ../shared/data"
                    promises.append(_promise(folder.name, [], reason))
                    continue
                found = measured(target, read_judged(folder))
                figures[folder.name] = found
                promises.append(_promise(folder.name, [found["both"][0]], ""))
                rows += [[folder.name, way, *values] for way, values in found.items()]
    print_table(("set", "asked by", "nDCG@10", "recall@100"), rows)
    print_report("retrieval", [each for each in promises if each.limit], figures, 1)


def _promise(name: str, values: Sequence[float], reason: str) -> Promise:
    return at_least(f"nDCG@10 {name}", values, LIMITS.get(name, 0.0), "", reason)


def measured(target: Target, judged: Judged) -> dict[str, tuple[float, float]]:
    """nDCG@10 and recall@100 of each way."""
    name = f"bench-{judged.name}"
    with target.send("/v1/memory", {"name": name, "embedding": MODEL}) as response:
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


if __name__ == "__main__":
    main()
