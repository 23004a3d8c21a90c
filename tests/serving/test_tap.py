"""The tap reads usage and finish while bytes pass, however they are cut into pieces."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.serving.tap import Tap
from littoral.terms.values import Finish, Kind, Usage


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def delta(text: str | None, finish: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


USAGE = event(
    {
        "choices": [],
        "usage": {
            "prompt_tokens": 27,
            "completion_tokens": 2,
            "prompt_tokens_details": {"cached_tokens": 26},
        },
    }
)


@given(st.lists(st.integers(1, 4), max_size=6))
def test_usage_and_finish_are_read_whatever_events_come_together(cuts: list[int]) -> None:
    events = [delta(None), delta("Pa"), delta("ris"), delta(None, "length"), USAGE]
    events.append(b"data: [DONE]\n\n")
    tap = Tap(Kind.CHAT, stream=True)
    while events:
        count = cuts.pop() if cuts else 1
        tap.feed(b"".join(events[:count]))
        del events[:count]
    assert tap.usage(prompt_tokens=99) == Usage(27, 2, 26)
    assert tap.finish is Finish.LENGTH


def test_before_the_engine_says_usage_each_piece_of_text_is_one_token() -> None:
    tap = Tap(Kind.CHAT, stream=True)
    tap.feed(delta("Pa") + delta("ris"))
    assert tap.usage(prompt_tokens=27) == Usage(27, 2)


def test_a_whole_body_is_read_too() -> None:
    tap = Tap(Kind.COMPLETE, stream=False)
    body = {
        "choices": [{"index": 0, "text": "x", "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
    tap.feed(json.dumps(body).encode())
    assert tap.usage(prompt_tokens=0) == Usage(3, 1)
    assert tap.finish is Finish.STOP


@given(st.binary(max_size=200))
def test_bytes_that_are_no_event_are_let_through_without_harm(data: bytes) -> None:
    tap = Tap(Kind.CHAT, stream=True)
    tap.feed(b"data: " + data + b"\n\n")
    assert tap.finish in Finish


@pytest.mark.parametrize("count", [-5, 2**40, "12", 1.5])
def test_counts_that_no_model_can_have_are_not_taken(count: object) -> None:
    tap = Tap(Kind.CHAT, stream=True)
    usage = {"prompt_tokens": 3, "completion_tokens": count}
    tap.feed(delta("x") + event({"choices": [], "usage": usage}))
    assert tap.usage(prompt_tokens=7) == Usage(7, 1)


def test_deep_or_badly_encoded_events_are_let_through_without_harm() -> None:
    tap = Tap(Kind.CHAT, stream=True)
    tap.feed(b"data: " + b"[" * 100_000 + b"\n\n")
    tap.feed(b'data: {"usage": "\xff"}\n\n')
    assert tap.usage(prompt_tokens=7) == Usage(7, 0)


@pytest.mark.parametrize(
    ("said", "tokens"),
    [({"total_tokens": 56}, 56), ({"prompt_tokens": 55, "total_tokens": 56}, 55), (None, 7)],
)
def test_of_sorted_passages_the_total_is_what_was_read(said: object, tokens: int) -> None:
    tap = Tap(Kind.RERANK, stream=False)
    tap.feed(json.dumps({"results": [], "usage": said}).encode())
    assert tap.usage(prompt_tokens=7) == Usage(tokens)
