"""How rankings are judged, and that the project's own set is whole."""

import math

from bench.stand.judged import ndcg, read_judged, recall
from tests.conftest import ROOT


def test_the_best_ranking_has_all_the_gain_and_none_has_none() -> None:
    grades = {"a": 2.0, "b": 1.0}
    assert ndcg(["a", "b", "c"], grades) == 1.0
    assert ndcg(["c", "d"], grades) == 0.0
    worse = (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))
    assert math.isclose(ndcg(["b", "a"], grades), worse)


def test_recall_counts_what_was_found_among_the_first() -> None:
    grades = {"a": 2.0, "b": 1.0, "c": 0.0}
    assert recall(["x", "b"], grades) == 0.5
    assert recall(["x", "b"], grades, count=1) == 0.0


def test_every_judgement_of_the_own_set_is_of_a_document_and_a_question_that_are_there() -> None:
    judged = read_judged(ROOT / "tests/memory/judged")
    assert (len(judged.documents), len(judged.questions)) == (60, 50)
    for question, grades in judged.grades.items():
        assert question in judged.questions
        assert grades.keys() <= judged.documents.keys()
        assert max(grades.values()) == 2
