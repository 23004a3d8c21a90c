"""Records with many vectors each."""

from pathlib import Path

import numpy as np
import pytest

from littoral.adapters.memory.scan import Among, Truth, VectorScan
from littoral.memory.planner import Kind
from littoral.terms.memory import Metric
from tests.adapters.memory.scanned import clustered

D, EACH, RECORDS = 32, 7, 900


def maxsim(metric: Metric, queries: np.ndarray, vectors: np.ndarray) -> float:
    """The sum, over the query's vectors, of the best score."""
    if metric is Metric.COSINE:
        queries, vectors = (
            each / np.linalg.norm(each, axis=1, keepdims=True) for each in (queries, vectors)
        )
    if metric is Metric.L2:
        scores = -np.square(queries[:, None] - vectors[None]).sum(axis=2)
    else:
        scores = queries @ vectors.T
    return float(scores.max(axis=1).sum())


def wanted(
    metric: Metric, held: dict[int, np.ndarray], queries: np.ndarray, count: int
) -> list[int]:
    scores = {row: maxsim(metric, queries, vectors) for row, vectors in held.items()}
    return sorted(scores, key=lambda row: (-scores[row], row))[:count]


@pytest.mark.parametrize("metric", Metric)
def test_the_best_records_are_those_whose_vectors_answer_each_of_the_query(
    tmp_path: Path, metric: Metric
) -> None:
    scan = VectorScan.open(tmp_path, D, metric)
    vectors = clustered(RECORDS * EACH, D).reshape(RECORDS, EACH, D)
    held = {row + 1: vectors[row, : 1 + row % EACH] for row in range(RECORDS)}
    rows = np.repeat(np.array(list(held)), [len(each) for each in held.values()])
    flat = np.concatenate(list(held.values()))
    whole = Truth(1, [(rows, flat)])
    assert scan.rebuild(lambda: whole)
    for row, brought in ((5_000, 4), (5_001, 1)):
        held[row] = clustered(brought, D, seed=row)
        scan.change(row, rows=np.full(brought, row), vectors=held[row])
    for gone in (7, 10, 5_001):
        del held[gone]
        scan.change(6_000 + gone, removed=np.array([gone]))
    found = total = 0
    for seed in range(12):
        queries = clustered(3, D, seed=seed + 100)
        best = wanted(metric, held, queries, 5)
        near = scan.search_multi(queries, 5)
        exactly = scan.search_multi(queries, 5, exact=True)
        assert exactly.rows.tolist() == best
        found += len(set(near.rows.tolist()) & set(best))
        total += 5
        for row, score in zip(near.rows.tolist(), near.scores.tolist(), strict=True):
            assert score == pytest.approx(maxsim(metric, queries, held[row]), rel=1e-4, abs=1e-4)
        some = {row: each for row, each in held.items() if row % 3 == 0}
        among = Among(np.array(sorted(some)), key="some")
        assert scan.search_multi(queries, 5, among, exact=True).rows.tolist() == wanted(
            metric, some, queries, 5
        )
    assert found / total >= 0.95


def test_a_query_of_many_is_scanned_where_there_are_many_vectors(tmp_path: Path) -> None:
    scan = VectorScan.open(tmp_path, 64, Metric.COSINE)
    rows, vectors = np.repeat(np.arange(1, 3_001), 4), clustered(12_000, 64)
    whole = Truth(1, [(rows, vectors)])
    assert scan.rebuild(lambda: whole)
    found = scan.search_multi(vectors[400:404], 1)
    assert found.plan.kind is Kind.SCAN
    assert found.rows.tolist() == [101]
    assert found.scores.tolist() == [pytest.approx(4, rel=1e-5)]
