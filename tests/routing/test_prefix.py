"""Beginnings of prompts: whose they are, what a sketch tells of them, and its bounds."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.routing.prefix import (
    CUTS,
    Sketch,
    decoded,
    prefixes_of,
    prompt_of,
    tokens_at,
    tokens_of,
)
from littoral.terms import limits
from littoral.terms.ids import ModelName

MODEL = ModelName("model")
ROOMY = 1_000_000


def of(prompt: bytes, scope: str = "tenant:a") -> tuple[int, ...]:
    return prefixes_of(scope, MODEL, prompt)


def kept(sketch: Sketch, prompt: bytes) -> int:
    """The tokens of a prompt that a sketch tells of."""
    sketch.check()
    told = decoded(sketch.told())
    found = [place for place, prefix in enumerate(of(prompt)) if prefix in told]
    return tokens_at(found[-1]) if found else 0


def text(seed: str, size: int) -> bytes:
    return (f"{seed} said so. " * size).encode()[:size]


def test_prompts_share_the_cuts_before_they_part() -> None:
    one, other = of(text("a", 1024) + b"x" * 512), of(text("a", 1024) + b"y" * 512)
    assert len(one) == len(other) == 6
    assert one[:4] == other[:4]
    assert not set(one[4:]) & set(other[4:])


def test_no_beginning_of_one_scope_or_model_is_one_of_another() -> None:
    prompt = text("a", 4096)
    assert not set(of(prompt)) & set(of(prompt, "tenant:b"))
    assert not set(of(prompt)) & set(prefixes_of("tenant:a", ModelName("other"), prompt))
    assert not set(prefixes_of("am", ModelName("b"), prompt)) & set(
        prefixes_of("a", ModelName("mb"), prompt)
    )


def test_a_short_prompt_has_no_cut_and_a_long_one_a_bounded_number() -> None:
    assert of(b"x" * 255) == ()
    assert len(of(b"x" * 256)) == 1
    assert len(of(b"x" * 4096)) == 16
    assert len(of(bytes(4 * limits.PREFIX_BYTES_MAX))) == len(CUTS) < 80


def test_cuts_grow_by_an_eighth_at_most() -> None:
    steps = [after - before for before, after in itertools.pairwise(CUTS)]
    assert all(step <= max(256, cut // 8) for step, cut in zip(steps, CUTS, strict=False))
    assert tokens_at(0) == 64
    assert tokens_of(4096) == 1025


def test_a_longer_conversation_begins_with_the_bytes_of_the_shorter() -> None:
    first = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    then = [*first, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Why?"}]
    short, long = prompt_of({"messages": first}), prompt_of({"messages": then})
    assert long.startswith(short)
    assert not prompt_of({"messages": then, "tools": [{"type": "function"}]}).startswith(short)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": "x"},
        {"prompt": [1, 2]},
        {"messages": [1, {"content": None}, {"role": "user", "content": [{"type": "text"}]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]},
        {"prompt": "\ud800"},
    ],
)
def test_odd_requests_have_a_prompt_too(body: dict[str, object]) -> None:
    assert prompt_of(body) == prompt_of(dict(body))


def test_the_next_turn_of_a_conversation_is_covered_to_the_last_cut_of_the_turn_before() -> None:
    sketch = Sketch(ROOMY)
    talk = text("a", 3000)
    sketch.read(of(talk))
    assert kept(sketch, talk + text("more", 3000)) == 2816 // 4
    assert kept(sketch, text("b", 3000)) == 0


def test_a_shared_beginning_is_told_once_it_has_been_seen_twice() -> None:
    sketch = Sketch(ROOMY)
    common = text("system", 2048)
    sketch.read(of(common + text("a", 1792)))
    assert kept(sketch, common + text("c", 512)) == 1792 // 4  # 8 cuts before its end
    sketch.read(of(common + text("b", 512)))
    assert kept(sketch, common + text("c", 512)) == 2048 // 4


def test_a_prompt_that_is_not_said_again_to_its_end_is_told_to_a_cut_before() -> None:
    sketch = Sketch(ROOMY)
    sketch.read(of(text("a", 3_800) + b"It is noon. " * 22))
    assert kept(sketch, text("a", 3_800) + b"It is late. " * 22) == 3_584 // 4


def test_a_conversation_in_many_turns_takes_one_place_where_room_is_scarce() -> None:
    sketch = Sketch(ROOMY)
    talks = [str(number) for number in range(limits.PREFIX_SKETCH_BYTES_MAX // 4)]
    for size in (800, 1_600, 2_400):
        for talk in talks:
            sketch.read(of(text(talk, size)))
    assert all(kept(sketch, text(talk, 2_400)) == 2_304 // 4 for talk in talks)


def test_what_was_read_longest_ago_is_forgotten_first_and_its_beginning_last() -> None:
    sketch = Sketch(1_000)
    sketch.read(of(text("a", 2048)))
    sketch.read(of(text("b", 2048)))
    assert kept(sketch, text("b", 2048)) == 512
    assert 0 < kept(sketch, text("a", 2048)) < 512
    sketch.read(of(text("c", 2048)))
    assert kept(sketch, text("a", 2048)) == 0


def test_a_prompt_larger_than_the_cache_keeps_its_beginning() -> None:
    sketch = Sketch(500)
    sketch.read(of(text("a", 4096)))
    assert 0 < kept(sketch, text("a", 4096)) <= 500
    assert Sketch(0).told() == b""


def test_an_engine_that_starts_anew_keeps_nothing() -> None:
    sketch = Sketch(ROOMY)
    sketch.read(of(text("a", 2048)))
    sketch.clear()
    sketch.check()
    assert sketch.told() == b""


def test_a_sketch_tells_the_latest_within_its_bound() -> None:
    sketch = Sketch(ROOMY)
    for number in range(600):
        sketch.read(of(text(str(number), 512)))
    assert len(sketch.told()) == limits.PREFIX_SKETCH_BYTES_MAX
    assert kept(sketch, text("599", 512)) == 128
    assert kept(sketch, text("300", 512)) == 0


@pytest.mark.parametrize("sketch", [b"abc", bytes(limits.PREFIX_SKETCH_BYTES_MAX + 4)])
def test_bytes_that_are_no_sketch_say_nothing(sketch: bytes) -> None:
    assert decoded(sketch) == frozenset()


prompts = st.lists(st.sampled_from("abc"), max_size=12).map(
    lambda letters: "".join(letter * 256 for letter in letters).encode()
)


@given(st.lists(prompts, max_size=20), st.integers(0, 2_000))
def test_what_is_told_was_read_and_fits_the_budget(read: list[bytes], budget: int) -> None:
    sketch = Sketch(budget)
    seen: set[int] = set()
    for prompt in read:
        sketch.read(of(prompt))
        sketch.check()
        seen |= set(of(prompt))
        if len(of(prompt)) * 64 <= budget and prompt:
            assert of(prompt)[-1] in decoded(sketch.told())
    assert decoded(sketch.told()) <= seen
