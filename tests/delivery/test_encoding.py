"""Encodings of chunks: back to the same bytes, shorter or not at all, and nothing believed."""

import contextlib
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.delivery.encoding import (
    WIDTH_MAX,
    Encoding,
    Place,
    decoded,
    in_planes,
    with_base,
)
from littoral.terms.errors import BadRequestError

PLACE = Place(3, (1 << 33) + 5)
WIDTHS = st.integers(1, WIDTH_MAX)


def weights(count: int, seed: int, spread: float = 0.05) -> bytes:
    """Numbers around 0 as bfloat16."""
    chance = random.Random(seed)
    return b"".join(struct.pack("<f", chance.gauss(0, spread))[2:] for _ in range(count))


def nothing(_place: Place, _size_bytes: int) -> None:
    """A receiver without a base."""


@given(st.binary(min_size=1, max_size=300), st.integers(1, 400), WIDTHS)
def test_planes_are_the_same_bytes_again_and_fewer(piece: bytes, times: int, width: int) -> None:
    data = piece * times
    body = in_planes(memoryview(data), width)
    if body is not None:
        assert len(body) < len(data)
        assert decoded(Encoding.PLANES, memoryview(body), len(data), nothing) == data


@given(st.binary(min_size=1, max_size=300), st.integers(1, 400), WIDTHS, st.data())
def test_a_delta_is_the_same_bytes_again_and_fewer(
    piece: bytes, times: int, width: int, choose: st.DataObject
) -> None:
    base = piece * times
    changed = bytearray(base)
    for at in choose.draw(st.lists(st.integers(0, len(base) - 1), max_size=9)):
        changed[at] ^= choose.draw(st.integers(0, 255))
    body = with_base(bytes(changed), PLACE, base, width)
    if body is not None:
        assert len(body) < len(base)
        asked = []

        def held(place: Place, size_bytes: int) -> bytes:
            asked.append((place, size_bytes))
            return base

        assert decoded(Encoding.DELTA, body, len(base), held) == bytes(changed)
        assert asked == [(PLACE, len(base))]


def test_bfloat16_takes_seven_tenths_alone_and_less_than_half_against_its_base() -> None:
    base, chance = weights(32_768, 1), random.Random(2)
    changed = b"".join(
        struct.pack("<f", value + chance.gauss(0, 1e-3))[2:]
        for (value,) in struct.iter_unpack("<f", spread_out(base))
    )
    alone, against = in_planes(base, 2), with_base(changed, PLACE, base, 2)
    assert alone is not None
    assert against is not None
    assert len(alone) < 0.72 * len(base)
    assert len(against) < 0.45 * len(base)


def spread_out(data: bytes) -> bytes:
    """bfloat16 as float32."""
    return b"".join(b"\0\0" + data[at : at + 2] for at in range(0, len(data), 2))


def test_what_does_not_get_shorter_is_left_as_it_is() -> None:
    noise = random.Random(7).randbytes(50_000)
    assert in_planes(noise, 2) is None
    assert with_base(noise, PLACE, random.Random(8).randbytes(50_000), 2) is None
    assert decoded(Encoding.RAW, noise, len(noise), nothing) is noise


@given(st.sampled_from(Encoding), st.binary(max_size=400), st.integers(1, 5_000))
def test_whatever_comes_is_a_chunk_of_its_size_or_refused(
    encoding: Encoding, body: bytes, size_bytes: int
) -> None:
    try:
        found = decoded(encoding, body, size_bytes, lambda _, size: bytes(size))
    except BadRequestError:
        return
    assert len(found) == size_bytes


@given(st.data())
def test_a_body_that_was_changed_is_a_chunk_of_its_size_or_refused(choose: st.DataObject) -> None:
    data = weights(500, 2)
    body = bytearray(in_planes(data, 2) or b"")
    at = choose.draw(st.integers(0, len(body) - 1))
    body[at : at + choose.draw(st.integers(0, 9))] = choose.draw(st.binary(max_size=9))
    with contextlib.suppress(BadRequestError):
        assert len(decoded(Encoding.PLANES, bytes(body), len(data), nothing)) == len(data)


def test_a_bomb_is_refused_before_it_takes_room() -> None:
    huge = in_planes(bytes(200_000_000), 1)
    assert huge is not None
    for size in (1, 1_000, 4 * 1024 * 1024):
        with pytest.raises(BadRequestError):
            decoded(Encoding.PLANES, huge, size, nothing)


@pytest.mark.parametrize("size_bytes", [1_999, 2_001, 4_000])
def test_another_size_is_refused(size_bytes: int) -> None:
    body = in_planes(bytes(2_000), 2)
    assert body is not None
    with pytest.raises(BadRequestError):
        decoded(Encoding.PLANES, body, size_bytes, nothing)
    with pytest.raises(BadRequestError):
        decoded(Encoding.PLANES, body + b"\0", 2_000, nothing)


def test_a_delta_against_what_is_not_held_is_refused() -> None:
    body = with_base(bytes(2_000), PLACE, bytes(2_000), 2)
    assert body is not None
    with pytest.raises(BadRequestError):
        decoded(Encoding.DELTA, body, 2_000, nothing)
    with pytest.raises(BadRequestError):
        decoded(Encoding.DELTA, body, 2_000, lambda _, __: bytes(1_999))
    with pytest.raises(BadRequestError):
        decoded(Encoding.DELTA, body[:3], 2_000, lambda _, size: bytes(size))
