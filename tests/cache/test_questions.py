"""What words alone tell of two questions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.cache.questions import difference, plain, reading
from tests.cache.pairs import HELD_OUT, OPPOSITES, PARAPHRASES, REWORDINGS

WORDS = ("is", "the", "a", "larger", "than", "Paris", "not", "server", "7", "from", "to", "B", ",")

sentences = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)


def told(one: str, other: str) -> str | None:
    return difference(reading(one), reading(other))


@pytest.mark.parametrize(("one", "other"), [pair for pairs in OPPOSITES.values() for pair in pairs])
def test_opposites_are_told_apart(one: str, other: str) -> None:
    assert told(one, other) is not None


@pytest.mark.parametrize(("one", "other"), HELD_OUT)
def test_opposites_that_the_tables_were_not_written_for_are_told_apart(
    one: str, other: str
) -> None:
    assert told(one, other) is not None


@pytest.mark.parametrize(("one", "other"), PARAPHRASES)
def test_paraphrases_may_be_the_same(one: str, other: str) -> None:
    assert told(one, other) is None


def test_most_free_rewordings_are_refused_which_is_the_price() -> None:
    allowed = [pair for pair in REWORDINGS if told(*pair) is None]
    assert 0 < len(allowed) < len(REWORDINGS) / 2


@given(sentences, sentences)
def test_the_order_of_the_two_does_not_matter(one: str, other: str) -> None:
    assert told(one, other) == told(other, one)


@given(sentences)
def test_a_question_is_the_same_as_itself_with_other_spaces_and_closing_marks(text: str) -> None:
    assert told(text, f"  {text.replace(' ', '   ')} ?") is None


@given(
    sentences, st.sampled_from(["not", "never", "without", "8", "from", "all", "B2", "yesterday"])
)
def test_a_hard_word_more_makes_another_question(text: str, word: str) -> None:
    assert told(text, f"{text} {word}") == "hard words"


@given(st.permutations(["alpha", "beta", "gamma", "delta"]))
def test_the_same_words_in_another_order_are_another_question(words: list[str]) -> None:
    expected = None if words == ["alpha", "beta", "gamma", "delta"] else "order"
    assert told("alpha beta gamma delta", " ".join(words)) == expected


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_can_be_read(one: str, other: str) -> None:
    difference(reading(one), reading(other))


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("What is 2 + 2?", "What is 2 - 2?", "hard words"),
        ("Who is Ann Lee?", "Who is Lee Ann?", "order"),
        (
            "what does Berlin offer hungry young families during cold winters",
            "where children play and parents relax during cold winters in Munich offer families",
            "hard words",
        ),
        (
            "Describe what Berlin offers hungry young families",
            "Please list places where Munich delights families",
            "hard words",
        ),
        ("What is in the box?", "What is on the box?", "words between"),
        ("Do few people vote?", "Do a few people vote?", "hard words"),
        ("delete file", "delete folder", "nearly the same words"),
        ("walk the dog today", "feed the fish today", "nearly the same words"),
        (
            "Describe soothing bedtime stories enjoyed by anxious toddlers",
            "Recommend spicy dinner recipes enjoyed by Anxious Penguin",
            "names",
        ),
    ],
)
def test_what_was_broken_is_named(one: str, other: str, why: str) -> None:
    assert told(one, other) == why


def test_a_text_is_made_plain_without_changing_its_words() -> None:
    assert plain("  What  is\nthis ?! ") == "What is this"
