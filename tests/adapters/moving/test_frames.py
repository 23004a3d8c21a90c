"""Frames come out as they went in, however they are cut on the way; anything else is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.adapters.http.words import MalformedError
from littoral.adapters.moving.frames import Frames, end_frame, idle_frame, prefix
from littoral.delivery.encoding import Encoding

Chunk = tuple[int, bytes, bytes]

CHUNKS = st.lists(
    st.tuples(
        st.integers(0, 1_000), st.binary(min_size=32, max_size=32), st.binary(max_size=90_000)
    ),
    max_size=4,
    unique_by=lambda chunk: chunk[0],
)


def encoded(chunks: list[Chunk], idle: bool = False) -> bytes:
    said = bytearray()
    first = True
    for number, digest, data in chunks:
        if idle:
            said += idle_frame(first=first)
            first = False
        said += prefix(number, digest, len(data), first=first) + data
        first = False
    return bytes(said + end_frame(first=first))


def decoded(said: bytes, frames: Frames, steps: list[int]) -> list[Chunk]:
    """What comes out, reading so many bytes at a time, over and over."""
    found, at, turn = [], 0, 0
    while at < len(said) and not frames.ended:
        buffer = frames.buffer()
        part = said[at : at + min(len(buffer), steps[turn % len(steps)])]
        buffer[: len(part)] = part
        at, turn = at + len(part), turn + 1
        found += [(it.number, it.digest, bytes(it.body)) for it in frames.took(len(part))]
    return found


@settings(max_examples=60, deadline=None)
@given(CHUNKS, st.booleans(), st.lists(st.integers(1, 70_000), min_size=1, max_size=5))
def test_frames_come_out_as_they_went_in(chunks: list[Chunk], idle: bool, steps: list[int]) -> None:
    sizes = {number: len(data) for number, _, data in chunks}
    frames = Frames(sizes.get)
    assert decoded(encoded(chunks, idle) + b"next", frames, [*steps, 1_000]) == chunks
    assert frames.ended
    assert b"next".startswith(frames.rest)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.integers(1, 100))
def test_garbage_is_refused_or_waited_for(said: bytes, step: int) -> None:
    frames = Frames(lambda _: 10)
    try:
        found = decoded(said, frames, [step])
    except MalformedError:
        return
    assert all(len(data) == 10 for _, _, data in found)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_byte_is_refused_or_changes_one_chunk(data: st.DataObject) -> None:
    chunks = [(number, bytes([number]) * 32, bytes(100)) for number in range(3)]
    said = bytearray(encoded(chunks))
    at = data.draw(st.integers(0, len(said) - 1))
    said[at] ^= data.draw(st.integers(1, 255))
    frames = Frames(lambda number: 100 if number < 3 else None)
    try:
        found = decoded(bytes(said), frames, [37])
    except MalformedError:
        return
    assert sum(one != other for one, other in zip(found, chunks, strict=False)) <= 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (prefix(5, bytes(32), 10, first=True), "not asked for"),
        (prefix(1, bytes(32), 11, first=True), "another size"),
        (prefix(2, bytes(32), 5_000_000, first=True), "not asked for"),
        (prefix(1, bytes(32), 9, encoding=Encoding.DELTA, first=True), "in encoding 2"),
        (prefix(1, bytes(32), 9 | 7 << 24, first=True), "in encoding 7"),
        (prefix(1, bytes(32), 10, encoding=Encoding.PLANES, first=True), "another size"),
        (prefix(1, bytes(32), 0, encoding=Encoding.PLANES, first=True), "another size"),
        (b"0000002A\r\n" + bytes(40), "not in its form"),
        (prefix(1, bytes(32), 10, first=True) + bytes(10) + b"xx" + bytes(60), "not in its form"),
        (end_frame(first=True)[:-2] + b"xx", "does not end"),
    ],
)
def test_what_was_not_asked_for_is_refused(said: bytes, why: str) -> None:
    frames = Frames({1: 10, 2: 5_000_000}.get, (Encoding.RAW, Encoding.PLANES))
    with pytest.raises(MalformedError, match=why):
        decoded(said, frames, [64])


def test_what_is_missing_is_known_within_a_frame_only() -> None:
    frames = Frames(lambda _: 1_000)
    assert frames.missing_bytes() == 0
    decoded(prefix(1, bytes(32), 1_000, first=True) + bytes(400), frames, [450])
    assert frames.missing_bytes() == 600
    decoded(bytes(600), frames, [600])
    assert frames.missing_bytes() == 0
