"""Cutting streams at event boundaries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.adapters.http.events import (
    EventCutter,
    EventTooLongError,
    data_of,
    each,
    error_in,
)

texts = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1, max_size=20)
streams = st.lists(st.tuples(texts, st.sampled_from(["\n", "\r\n"])), min_size=1, max_size=6)


@given(streams, st.data())
def test_however_a_stream_is_cut_only_whole_events_come_out(
    events: list[tuple[str, str]], data: st.DataObject
) -> None:
    raw = "".join(f"data: {text}{end}{end}" for text, end in events).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=10)))
    cutter = EventCutter()
    out = [cutter.feed(raw[a:b]) for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert b"".join(out) == raw
    assert cutter.rest() == b""
    assert all(piece.endswith((b"\n\n", b"\n\r\n")) for piece in out if piece)
    told = [data_of(event).decode() for piece in out for event in each(piece)]
    assert told == [text for text, _ in events]


def test_events_that_are_whole_pass_unchanged_and_at_once() -> None:
    cutter = EventCutter()
    piece = b"data: 1\n\ndata: 2\n\n"
    assert cutter.feed(piece) is piece


def test_the_rest_of_an_unfinished_event_is_kept() -> None:
    cutter = EventCutter()
    assert cutter.feed(b"data: 1\n\ndata: [DO") == b"data: 1\n\n"
    assert cutter.feed(b"NE]\n") == b""
    assert cutter.rest() == b"data: [DONE]\n"


def test_an_event_without_an_end_is_given_up() -> None:
    cutter = EventCutter(event_bytes_max=100)
    for _ in range(10):
        cutter.feed(b"x" * 10)
    with pytest.raises(EventTooLongError):
        cutter.feed(b"x")


def test_data_of_several_lines_is_joined_and_comments_are_none() -> None:
    assert data_of(b"event: x\ndata: a\ndata:b\n\n") == b"a\nb"
    assert data_of(b": keep-alive\n\n") == b""


def test_an_error_is_found_only_where_an_event_begins() -> None:
    assert error_in(b'data: {"id":1}\n\ndata: {"error":{"message":"x"}}\n\n') == (
        b'{"error":{"message":"x"}}'
    )
    assert error_in(b'error: {"message":"x"}\n\n') == b'{"message":"x"}'
    assert error_in(b'data: {"content":"error: no \\"error\\""}\n\n') is None
