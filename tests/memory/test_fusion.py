"""Rankings made one, and made varied."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.memory.choosing import chosen
from littoral.memory.fusion import fused, varied
from littoral.terms.memory import Hit, Recall, Record
from tests.node.memory.made import vector_of

RANKINGS = st.lists(st.lists(st.sampled_from("abcdef"), unique=True, max_size=6), max_size=4)


def test_what_both_rankings_have_goes_before_what_one_has() -> None:
    ranked = fused([["a", "b", "c"], ["d", "b"]])
    assert [key for key, _ in ranked] == ["b", "a", "d", "c"]
    assert ranked[0][1] == pytest.approx(2 / 62)


@given(RANKINGS)
def test_the_order_of_rankings_does_not_matter(rankings: list[list[str]]) -> None:
    forward, backward = dict(fused(rankings)), dict(fused(rankings[::-1]))
    assert forward.keys() == backward.keys() == {key for each in rankings for key in each}
    assert all(forward[key] == pytest.approx(backward[key]) for key in forward)


@given(st.lists(st.sampled_from("abcdef"), unique=True))
def test_one_ranking_stays_as_it_is(ranking: list[str]) -> None:
    assert [key for key, _ in fused([ranking])] == ranking


def test_without_variety_the_best_are_chosen_and_with_it_those_that_differ() -> None:
    relevance = {"a": 1.0, "a2": 0.9, "b": 0.5}

    def likeness(one: str, other: str) -> float:
        return 1.0 if one[0] == other[0] else 0.0

    keys = ["a", "a2", "b"]
    assert varied(keys, relevance.__getitem__, likeness, variety=0.0, limit=2) == ["a", "a2"]
    assert varied(keys, relevance.__getitem__, likeness, variety=0.5, limit=2) == ["a", "b"]
    assert varied(keys, relevance.__getitem__, likeness, variety=0.5, limit=9) == ["a", "b", "a2"]


def hit(key: str, score: float, text: str = "", document: str = "") -> Hit:
    record = Record(id=key, document=document, vectors={"": vector_of(text)})
    return Hit(record, score)


def test_few_of_a_document_are_given_and_what_has_none_is_not_counted() -> None:
    hits = [hit(f"{place}", 1.0 - place / 10, document="d" * (place < 3)) for place in range(5)]
    given_hits = chosen(hits, Recall(text="x", per_document=1, limit=9))
    assert [each.record.id for each in given_hits] == ["0", "3", "4"]


def test_what_scores_too_little_is_left_out() -> None:
    hits = [hit("a", 0.9), hit("b", 0.2)]
    assert [each.record.id for each in chosen(hits, Recall(text="x", score_min=0.5))] == ["a"]
    assert chosen([], Recall(text="x", variety=0.5)) == []


def test_passages_that_say_the_same_make_room_for_others() -> None:
    hits = [hit("a", 3.0, "sea boats"), hit("b", 2.9, "boats sea"), hit("c", 2.0, "mountains")]
    kept = chosen(hits, Recall(text="x", variety=0.6, limit=2))
    assert [each.record.id for each in kept] == ["a", "c"]
