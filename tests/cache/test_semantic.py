"""Reuse by meaning, decided: who may, what is compared, and with which entry."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.cache.learner import Record, observe
from littoral.cache.semantic import (
    BOUND_MAX,
    BOUND_MIN,
    SIMILARITY_MIN,
    Candidate,
    Reuse,
    answer_name,
    asked_of,
    choose,
    cosine,
    reuse_of,
    same_answer,
    unit,
)
from littoral.terms.errors import BadRequestError, NotAllowedError
from littoral.terms.ids import ModelName
from littoral.terms.limits import REUSE_ANSWER_CHARS_MAX, REUSE_QUESTION_CHARS_MAX
from littoral.terms.values import Ask, Kind

ASKED = {"role": "user", "content": "Why is the sky blue?"}
SYSTEM = {"role": "system", "content": "You are terse."}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def ask(question: object = "Why is the sky blue?", **body: Any) -> Ask:
    messages = [SYSTEM, {"role": "user", "content": question}]
    whole = {"messages": messages, "temperature": 0, **body}
    return Ask("chat.completions", Kind.CHAT, ModelName("m"), whole, stream=False)


def partition(
    request: Ask, scope: str = "tenant:a", model: bytes = b"1", policy_epoch: int = 1
) -> bytes:
    asked = asked_of(request, scope=scope, model=model, policy_epoch=policy_epoch)
    assert asked is not None
    return asked.partition


def test_another_question_in_the_same_setting_is_in_the_same_partition() -> None:
    assert partition(ask()) == partition(ask("Why is the sky blue at noon?"))


OTHERS: dict[str, Ask] = {
    "system prompt": ask(messages=[{**SYSTEM, "content": "You are terse!"}, ASKED]),
    "no system prompt": ask(messages=[{"role": "user", "content": "Why is the sky blue?"}]),
    "tools": ask(tools=[TOOL]),
    "tool choice": ask(tools=[TOOL], tool_choice="none"),
    "response format": ask(response_format={"type": "json_object"}),
    "temperature": ask(temperature=0.1),
    "top_p": ask(top_p=0.5),
    "seed": ask(seed=7),
    "stop": ask(stop=["x"]),
    "max_tokens": ask(max_tokens=9),
    "a member nobody knows": ask(colour="red"),
    "user": ask(user="u"),
    "the user's name": ask(messages=[SYSTEM, {"role": "user", "name": "Bo", "content": "Why?"}]),
    "an earlier turn": ask(
        messages=[
            SYSTEM,
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hi"},
            {"role": "user", "content": "Why?"},
        ]
    ),
    "another earlier turn": ask(
        messages=[
            SYSTEM,
            {"role": "user", "content": "Ho"},
            {"role": "assistant", "content": "Hi"},
            {"role": "user", "content": "Why?"},
        ]
    ),
    "stream": replace(ask(), stream=True),
    "api": replace(ask(), api="messages"),
    "model's name": replace(ask(), model=ModelName("other")),
}


def test_whatever_else_differs_is_another_partition() -> None:
    partitions = {partition(ask())} | {partition(other) for other in OTHERS.values()}
    partitions |= {
        partition(ask(), scope="tenant:b"),
        partition(ask(), scope="key:a"),
        partition(ask(), model=b"2"),
        partition(ask(), policy_epoch=2),
    }
    assert len(partitions) == len(OTHERS) + 5


@given(st.text(max_size=20), st.text(max_size=20))
def test_scopes_never_meet(one: str, other: str) -> None:
    assert (partition(ask(), scope=one) == partition(ask(), scope=other)) == (one == other)


@pytest.mark.parametrize(
    "request_",
    [
        ask([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {}}]),
        ask("   ?"),
        ask("x" * (REUSE_QUESTION_CHARS_MAX + 1)),
        ask(n=2),
        ask(messages=[]),
        ask(messages="hello"),
        ask(messages=[SYSTEM]),
        ask(messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]),
        ask(messages=[{"role": "tool", "content": "a", "tool_call_id": "1"}]),
        replace(ask(), kind=Kind.COMPLETE),
        replace(ask(), kind=Kind.EMBED, body={"input": "Why?"}),
    ],
    ids=str,
)
def test_what_is_no_plain_question_is_not_compared(request_: Ask) -> None:
    assert asked_of(request_, scope="s", model=b"", policy_epoch=0) is None


@pytest.mark.parametrize(
    ("header", "key_bound", "open_bound", "expected"),
    [
        (None, None, None, None),
        (None, None, 0.05, None),
        (None, 0.02, None, Reuse(0.02)),
        ("off", 0.02, None, None),
        ("off", None, None, None),
        ("error=0.01", 0.02, None, Reuse(0.01)),
        ("error=0.02", 0.02, 0.001, Reuse(0.02)),
        ("error=0.05", None, 0.05, Reuse(0.05)),
        ("shadow", 0.02, None, Reuse(0.02, shadow=True)),
        ("shadow", None, 0.05, Reuse(0.05, shadow=True)),
        ("error=0.01; shadow", 0.02, None, Reuse(0.01, shadow=True)),
        (" shadow ;error=0.01", 0.02, None, Reuse(0.01, shadow=True)),
    ],
)
def test_key_and_request_say_together_whether_answers_are_reused(
    header: str | None, key_bound: float | None, open_bound: float | None, expected: Reuse | None
) -> None:
    assert reuse_of(header, key_bound, open_bound) == expected


@pytest.mark.parametrize(
    ("header", "key_bound", "open_bound"),
    [
        ("error=0.05", 0.02, None),
        ("error=0.05", 0.02, 0.1),
        ("error=0.05", None, None),
        ("error=0.05", None, 0.02),
        ("shadow", None, None),
    ],
)
def test_a_request_is_never_looser_than_its_key_and_the_operator(
    header: str, key_bound: float | None, open_bound: float | None
) -> None:
    with pytest.raises(NotAllowedError):
        reuse_of(header, key_bound, open_bound)


@pytest.mark.parametrize(
    "header",
    [
        "", "on", "Shadow", "off; shadow", "off;off", "error", "error=", "error=0", "error=1",
        "error=-0.02", "error=nan", "error=inf", "error=2e-2", "error=0.02%", "error=0,02",
        "error=0.02; error=0.03", "shadow; shadow", "error=0.02;", "error=0.0000000000000001",
        "error=\u0660.\u0661", "shadow=1", "error = 0.02", "off\x00",
    ],
)  # fmt: skip
def test_a_header_that_says_anything_else_is_refused(header: str) -> None:
    with pytest.raises(BadRequestError):
        reuse_of(header, 0.2, 0.2)


@given(st.text(max_size=30))
def test_any_header_is_understood_or_refused(header: str) -> None:
    try:
        reuse = reuse_of(header, BOUND_MAX, None)
    except BadRequestError:
        return
    assert reuse is None or BOUND_MIN <= reuse.bound <= BOUND_MAX


def proven(similarity: float = 0.7) -> Record:
    record = Record()
    for _ in range(300):
        record = observe(record, similarity, right=True)
    return record


def candidate(number: int, question: str, similarity: float) -> Candidate:
    return Candidate(number, question, answer_name(b"key", "yes"), proven(), similarity)


def test_the_nearest_whose_words_allow_it_is_chosen() -> None:
    near = [
        candidate(1, "Why is the sky not blue?", 0.99),
        candidate(2, "Why's the sky blue?", 0.95),
        candidate(3, "Why is the sky blue?", 0.9),
    ]
    chosen = choose("Why is the sky blue?", near, 0.02, 0.5)
    assert chosen is not None
    assert chosen.candidate.entry_id == 2
    chosen = choose("Why is the sky not blue?", near, 0.02, 0.5)
    assert chosen is not None
    assert chosen.candidate.entry_id == 1
    assert chosen.decision.serve


def test_nothing_is_chosen_among_what_is_far_away() -> None:
    near = [candidate(1, "Why is the sky blue?", SIMILARITY_MIN - 0.01)]
    assert choose("Why is the sky blue?", near, 0.02, 0.5) is None
    assert choose("Why is the sky blue?", [], 0.02, 0.5) is None


@pytest.mark.parametrize(
    ("one", "other", "similarity", "same"),
    [
        ("Paris.", "paris", None, True),
        ("The sky  scatters light.", "The sky scatters light", None, True),
        ("It scatters blue light the most.", "Blue light scatters the most.", 0.98, True),
        ("It scatters blue light the most.", "Blue light scatters the most.", 0.96, False),
        ("It scatters blue light the most.", "Blue light scatters the most.", None, False),
        ("It is 42 km.", "It is 43 km.", 1.0, False),
        ("It is open.", "It is not open.", 1.0, False),
        ("Rome.", "Milan.", 1.0, False),
        ("Ask for Maria at the desk.", "Ask for Martha at the desk.", 1.0, False),
        ("", "", 1.0, False),
        ("a" * REUSE_ANSWER_CHARS_MAX + " b", "a" * REUSE_ANSWER_CHARS_MAX + " c", 1.0, False),
    ],
)
def test_an_answer_is_the_same_only_if_that_is_clear(
    one: str, other: str, similarity: float | None, same: bool
) -> None:
    assert same_answer(one, other, similarity) is same
    assert same_answer(other, one, similarity) is same


def test_a_vector_has_length_one_or_no_direction() -> None:
    vector = unit([3.0, 4.0])
    assert vector == (0.6, 0.8)
    assert cosine(vector, vector) == pytest.approx(1.0)
    assert unit([0.0, 0.0]) is None
    assert unit([float("nan"), 1.0]) is None
