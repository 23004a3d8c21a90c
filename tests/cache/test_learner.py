"""The learner of one entry: it serves what was shown to be right, and keeps the user's bound."""

import random
from collections.abc import Callable
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.cache.learner import AUDIT_SHARE, Record, certified, decide, observe, seen
from littoral.terms.limits import REUSE_OBSERVATIONS_MAX

BOUNDS = (0.01, 0.02, 0.05)
SIMILARITY = 0.9

observations = st.lists(st.tuples(st.floats(0.6, 1.0), st.booleans()), max_size=60)


def record_of(pairs: list[tuple[float, bool]]) -> Record:
    record = Record()
    for similarity, right in pairs:
        record = observe(record, similarity, right=right)
    return record


def clean(count: int, similarity: float = SIMILARITY) -> Record:
    return record_of([(similarity, True)] * count)


def needed(bound: float) -> int:
    """Right observations in a row until an entry may be served."""
    record, count = Record(), 0
    while not certified(record, SIMILARITY, bound):
        record = observe(record, SIMILARITY, right=True)
        count += 1
    return count


def test_a_fresh_entry_serves_nothing_however_near_the_question() -> None:
    for draw in (0.0, 0.5, 0.999):
        assert not decide(Record(), 1.0, 0.2, draw).serve


@pytest.mark.parametrize(("bound", "count"), [(0.01, 135), (0.02, 67), (0.05, 27)])
def test_a_smaller_bound_takes_more_observations(bound: float, count: int) -> None:
    assert needed(bound) == count
    assert (1 - bound) ** count < 0.26 < (1 - bound) ** (count - 1)


def test_one_wrong_answer_closes_an_entry_that_was_served() -> None:
    record = clean(70)
    assert certified(record, SIMILARITY, 0.02)
    assert not certified(observe(record, SIMILARITY, right=False), SIMILARITY, 0.02)


def test_an_entry_opens_again_when_right_answers_outweigh_the_wrong_one() -> None:
    record = observe(clean(70), SIMILARITY, right=False)
    for _ in range(400):
        record = observe(record, SIMILARITY, right=True)
    assert certified(record, SIMILARITY, 0.02)


def test_evidence_holds_above_the_similarity_it_was_seen_at_and_not_below() -> None:
    record = clean(200)
    assert certified(record, 0.97, 0.02)
    assert not certified(record, 0.85, 0.02)


@given(st.floats(0.6, 1.0))
def test_evidence_holds_for_the_very_same_similarity(similarity: float) -> None:
    assert certified(clean(70, similarity), similarity, 0.02)


def test_wrong_answers_at_a_distance_do_not_close_what_is_near() -> None:
    far = [(0.7, False)] * 30
    record = record_of([*far, *[(0.97, True)] * 200])
    assert certified(record, 0.97, 0.02)
    assert not certified(record, 0.7, 0.02)
    assert not certified(record, 0.8, 0.02)


def test_a_share_of_what_could_be_served_is_checked_all_the_same() -> None:
    record = clean(100)
    assert decide(record, SIMILARITY, 0.02, AUDIT_SHARE).serve
    checked = decide(record, SIMILARITY, 0.02, AUDIT_SHARE * 0.99)
    assert not checked.serve
    assert checked.certified


@given(observations, st.floats(0.6, 1.0), st.sampled_from(BOUNDS))
def test_another_wrong_answer_never_opens_an_entry(
    pairs: list[tuple[float, bool]], similarity: float, bound: float
) -> None:
    record = record_of(pairs)
    if certified(observe(record, similarity, right=False), similarity, bound):
        assert certified(record, similarity, bound)


@given(observations, st.floats(0.6, 1.0))
def test_what_a_strict_bound_allows_a_loose_one_does(
    pairs: list[tuple[float, bool]], similarity: float
) -> None:
    allowed = [certified(record_of(pairs), similarity, bound) for bound in BOUNDS]
    assert allowed == sorted(allowed)


@given(observations)
def test_the_order_of_observations_does_not_matter(pairs: list[tuple[float, bool]]) -> None:
    assert record_of(pairs) == record_of(pairs[::-1])


@given(observations)
def test_every_observation_is_counted_once(pairs: list[tuple[float, bool]]) -> None:
    record = record_of(pairs)
    right = sum(right for _, right in pairs)
    assert seen(record, 0.0) == (record.right, record.wrong) == (right, len(pairs) - right)


def test_a_record_is_bounded_and_forgets_wrong_answers_last() -> None:
    record = record_of([(0.9, False)])
    for _ in range(3 * REUSE_OBSERVATIONS_MAX):
        record = observe(record, 0.9, right=True)
        assert record.right + record.wrong <= REUSE_OBSERVATIONS_MAX
    assert record.wrong == 1


Curve = Callable[[float], float]
"""From a similarity to the chance that the stored answer is right."""


def logistic(threshold: float, steepness: float) -> Curve:
    return lambda similarity: 1 / (1 + exp(-steepness * (similarity - threshold)))


def run(
    curve: Curve, bound: float, *, seed: int, requests: int, low: float = 0.75
) -> tuple[int, int]:
    """One entry's life: how many requests it served, and how many of them wrongly."""
    rng, record, served, wrong = random.Random(seed), Record(), 0, 0
    for _ in range(requests):
        similarity = rng.uniform(low, 1.0)
        right = rng.random() < curve(similarity)
        if decide(record, similarity, bound, rng.random()).serve:
            served += 1
            wrong += not right
        else:
            record = observe(record, similarity, right=right)
    return served, wrong


@pytest.mark.parametrize("bound", BOUNDS)
def test_an_easy_entry_is_served_most_of_the_time(bound: float) -> None:
    served, wrong = run(lambda _: 1.0, bound, seed=1, requests=1_500)
    assert wrong == 0
    assert served > 0.6 * 1_500


@pytest.mark.parametrize("bound", [0.02, 0.05])
@pytest.mark.parametrize("times", [0.5, 1.0, 2.0])
def test_entries_of_any_wrong_share_keep_the_bound_over_their_requests(
    bound: float, times: float
) -> None:
    """12 entries of 400 requests each; tolerance: three standard deviations of 4,800 draws."""
    lives = [run(lambda _: 1 - bound * times, bound, seed=seed, requests=400) for seed in range(12)]
    wrong = sum(wrong for _, wrong in lives)
    tolerance = 3 * (bound * (1 - bound) / 4_800) ** 0.5
    assert wrong / 4_800 <= bound + tolerance


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_mixed_population_keeps_the_bound_over_what_it_serves(bound: float) -> None:
    """Entries right from 0.8 on, from 0.9 on, hardly ever, and always, taken together."""
    curves = [logistic(0.8, 60), logistic(0.9, 80), logistic(1.05, 30), lambda _: 1.0]
    lives = [
        run(curve, bound, seed=100 * number + seed, requests=600)
        for number, curve in enumerate(curves)
        for seed in range(3)
    ]
    served, wrong = sum(served for served, _ in lives), sum(wrong for _, wrong in lives)
    assert served > 500
    assert wrong / served <= bound + 3 * (bound / served) ** 0.5


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
def test_a_stream_of_near_duplicates_that_are_wrong_is_served_nothing(share: float) -> None:
    lives = [
        run(lambda _: 1 - share, 0.05, seed=seed, requests=400, low=0.97) for seed in range(10)
    ]
    assert sum(served for served, _ in lives) <= (0 if share > 0.2 else 2)


def test_an_answer_that_becomes_wrong_is_served_about_as_often_as_it_takes_to_check_once() -> None:
    counts = []
    for seed in range(200):
        rng, record, served = random.Random(seed), clean(100), 0
        while certified(record, SIMILARITY, 0.02):
            if decide(record, SIMILARITY, 0.02, rng.random()).serve:
                served += 1
            else:
                record = observe(record, SIMILARITY, right=False)
        counts.append(served)
    mean = sum(counts) / len(counts)
    assert mean < 1.3 / AUDIT_SHARE
    assert max(counts) < log(1e-4) / log(1 - AUDIT_SHARE)
