"""Calls are found in text wherever they are, and nowhere else."""

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from littoral.terms import limits
from littoral.web.dialects.calls import (
    Call,
    CallArguments,
    CallReader,
    CallStart,
    ForcedCall,
    Piece,
    SpokenCalls,
    Text,
    calls_in,
)
from tests.web.dialects.desk import SAID_CALL, events_in, recorded

NAMES = ("get_weather", "add")
OSLO = Call("get_weather", '{"city": "Oslo"}')
ADD = '{"name":"add","parameters":{"a":1,"b":2}}'

CALLS = [
    SAID_CALL,
    f"\n {SAID_CALL}\n",
    f"```json\n{SAID_CALL}\n```",
    f"```\n{SAID_CALL}\n```\n",
    f"<tool_call>\n{SAID_CALL}\n</tool_call>",
    f"<tool_call>{SAID_CALL}",
    f"[{SAID_CALL}]",
    f"```json\n[{SAID_CALL}]\n```",
    '{"arguments": {"city": "Oslo"}, "name": "get_weather"}',
    '{"type": "function", "name": "get_weather", "arguments": {"city": "Oslo"}}',
    "{" + SAID_CALL + "}",
    "<tool_call>\n{ " + SAID_CALL + "\n}\n</tool_call>",
    '{"id": "call_1", "name": "get_weather", "arguments": {"city": "Oslo"}}',
]
SEVERAL = [
    f"{SAID_CALL}\n{ADD}",
    f"{SAID_CALL}, {ADD}",
    f"[{SAID_CALL}, {ADD}]",
    f"<tool_call>{SAID_CALL}</tool_call>\n<tool_call>\n{ADD}\n</tool_call>",
    f"```json\n{SAID_CALL}\n```\n```json\n{ADD}\n```",
    f"```json\n{SAID_CALL}\n{ADD}\n```",
]
NOT_CALLS = [
    "",
    "Paris",
    "{}",
    "[]",
    "{",
    "```json\n```",
    "<tool_call></tool_call>",
    f"Sure: {SAID_CALL}",
    f"{SAID_CALL} That is it.",
    f"<tool_call>{SAID_CALL}</tool_call> Done.",
    '{"name": "unknown_tool", "arguments": {}}',
    '{"name": "get_weather"}',
    '{"name": "get_weather", "arguments": "Oslo"}',
    '{"name": "get_weather", "arguments": ["Oslo"]}',
    '{"name": "get_weather", "arguments": {}, "parameters": {}}',
    '{"name": "get_weather", "arguments": {}, "why": "because"}',
    '{"name": "get_weather", "arguments": {"city": NaN}}',
    '{"name": "get_weather", "arguments": {"city": "Os',
    f'[{SAID_CALL}, {{"name": "Oslo", "population": 700000}}]',
    f"```python\n{SAID_CALL}\n```",
    "```json\n" + '{"city": "Oslo"}' + "\n```",
    "{" + SAID_CALL,
    "{{" + SAID_CALL + "}}",
    "{" + SAID_CALL + "} Done.",
    '{"a":' * 3000,
    "[" * 3000,
]


@pytest.mark.parametrize("text", CALLS)
def test_a_call_is_found(text: str) -> None:
    assert calls_in(text, NAMES) == (OSLO,)


@pytest.mark.parametrize("text", SEVERAL)
def test_several_calls_are_found_in_order(text: str) -> None:
    assert calls_in(text, NAMES) == (OSLO, Call("add", '{"a":1,"b":2}'))


@pytest.mark.parametrize("text", NOT_CALLS)
def test_text_that_is_no_call_has_none(text: str) -> None:
    assert calls_in(text, NAMES) == ()


def pieces_of(reader: CallReader, parts: list[str], *, cut: bool = False) -> list[Piece]:
    said = [piece for part in parts for piece in reader.feed(part)]
    return said + reader.end(cut=cut)


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Text))


def calls_of(pieces: list[Piece]) -> list[Call]:
    starts = [piece for piece in pieces if isinstance(piece, CallStart)]
    more = [piece for piece in pieces if isinstance(piece, CallArguments)]
    return [
        Call(start.name, "".join(each.text for each in more if each.index == start.index))
        for start in starts
    ]


@st.composite
def in_parts(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> list[str]:
    text = draw(texts)
    cuts = draw(st.lists(st.integers(0, len(text)), max_size=8))
    bounds = [0, *sorted(cuts), len(text)]
    return [text[start:end] for start, end in pairwise(bounds)]


WORDS = [
    *'{}[]":, \n`',
    *("name", '"name":', "get_weather", "arguments", "json", "<tool_call>", "</tool_call>"),
    *(SAID_CALL, ADD, "```json\n", "\n```", "é", "Paris"),
]
NEARLY = st.lists(st.sampled_from(WORDS)).map("".join)


@given(in_parts(NEARLY | st.text() | st.sampled_from(CALLS + SEVERAL + NOT_CALLS)))
@example(["```", "json\n", SAID_CALL, "\n```", "\nHope this helps."])
def test_boundaries_change_nothing_and_no_text_is_lost(parts: list[str]) -> None:
    text = "".join(parts)
    pieces = pieces_of(SpokenCalls(NAMES, first_only=False), parts)
    expected = list(calls_in(text, NAMES))
    assert calls_of(pieces) == expected
    assert text_of(pieces) == ("" if expected else text)


@given(in_parts(NEARLY | st.sampled_from(CALLS)))
def test_an_answer_that_was_cut_off_is_text(parts: list[str]) -> None:
    pieces = pieces_of(SpokenCalls(NAMES, first_only=False), parts, cut=True)
    assert text_of(pieces) == "".join(parts)
    assert calls_of(pieces) == []


@pytest.mark.parametrize(
    "start",
    ["P", "  The", "{1", '{"city', '{"name": "o', "```py", "[1", "<b>", "`x`", "```json\nx"],
)
def test_text_passes_as_soon_as_it_can_be_no_call(start: str) -> None:
    reader = SpokenCalls(NAMES, first_only=False)
    assert reader.feed(start) == [Text(start)]
    assert reader.feed(SAID_CALL) == [Text(SAID_CALL)]


@pytest.mark.parametrize(
    "start", [" ", "{", '{ "na', "```", "```js", "<tool", "[ {", "{ {", SAID_CALL]
)
def test_text_is_held_while_it_may_be_a_call(start: str) -> None:
    assert SpokenCalls(NAMES, first_only=False).feed(start) == []


def test_no_more_is_held_than_the_bound() -> None:
    reader = SpokenCalls(NAMES, first_only=False)
    long = '{"name": "add", "arguments": {"a": "' + "x" * limits.TOOL_TEXT_CHARS_MAX
    assert reader.feed(long) == [Text(long)]


def test_only_the_first_call_is_kept_when_calls_may_not_be_parallel() -> None:
    pieces = pieces_of(SpokenCalls(NAMES, first_only=True), [SEVERAL[0]])
    assert calls_of(pieces) == [OSLO]


SPACE = st.text(alphabet=" \n\t", max_size=3)
ARGUMENTS = st.dictionaries(
    st.text(max_size=5), st.recursive(st.text(max_size=5), st.lists, max_leaves=4), max_size=3
).map(lambda value: json.dumps(value, ensure_ascii=False))


@st.composite
def forced(draw: st.DrawFn) -> tuple[str, list[str]]:
    arguments = draw(ARGUMENTS)
    spaces = [draw(SPACE) for _ in range(6)]
    text = (
        f'{spaces[0]}{{{spaces[1]}"name"{spaces[2]}: "add",{spaces[3]}"arguments":{spaces[4]}'
        f"{arguments}{spaces[5]}}}"
    )
    return arguments, draw(in_parts(st.just(text)))


@given(forced())
def test_a_forced_call_comes_out_whole_whatever_the_boundaries(
    case: tuple[str, list[str]],
) -> None:
    arguments, parts = case
    pieces = pieces_of(ForcedCall(NAMES), parts)
    (call,) = calls_of(pieces)
    assert call.name == "add"
    assert json.loads(call.arguments) == json.loads(arguments)
    assert call.arguments.strip() == arguments
    assert text_of(pieces) == ""


def test_the_arguments_of_a_forced_call_come_as_they_are_written() -> None:
    reader = ForcedCall(NAMES)
    assert reader.feed('{"name": "add", "argu') == []
    assert reader.feed('ments": {"a": 1') == [CallStart(0, "add"), CallArguments(0, '{"a": 1')]
    assert reader.feed("2}") == [CallArguments(0, "2")]
    assert reader.feed("}") == [CallArguments(0, "}")]
    assert reader.end(cut=False) == []


@given(in_parts(NEARLY | st.text()))
def test_what_a_grammar_did_not_force_is_text(parts: list[str]) -> None:
    text = "".join(parts)
    pieces = pieces_of(ForcedCall(("another",)), parts)
    assert text_of(pieces) == text
    assert calls_of(pieces) == []


def test_a_forced_call_that_was_cut_off_keeps_all_that_was_written() -> None:
    pieces = pieces_of(ForcedCall(NAMES), ['{"name": "add", "arguments": {"a": {"b": 1}'], cut=True)
    assert calls_of(pieces) == [Call("add", '{"a": {"b": 1}')]


def test_a_real_forced_answer_is_a_call() -> None:
    parts = [
        str(choice["delta"].get("content") or "")
        for event in events_in(b"".join(recorded("forced")))
        for choice in event["choices"]
    ]
    (call,) = calls_of(pieces_of(ForcedCall(NAMES), parts))
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Oslo"})
