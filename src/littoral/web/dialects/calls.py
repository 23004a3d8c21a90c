"""Finding tool calls in what a model writes, while it writes it.

Small models, and servers without a parser for their model, answer a request for a tool as text:
bare JSON, JSON in a fence, or JSON between `<tool_call>` tags. Two readers make calls of it:

- `SpokenCalls`, where the model may call a tool or not. It holds text back only while it can
  still turn out to be calls of offered tools and nothing else; any other text passes at once.
- `ForcedCall`, where a grammar made the model write one call. It passes the arguments on as they
  come.

Rules
- Text that is not a call comes out as it went in, whatever the boundaries of the pieces.
- A call names an offered tool and has an object as arguments, and nothing stands beside it.
- Arguments keep the characters that the model wrote.
"""

import enum
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NoReturn, Protocol

import msgspec

from littoral.terms import limits

__all__ = [
    "Call",
    "CallArguments",
    "CallReader",
    "CallStart",
    "ForcedCall",
    "Piece",
    "SpokenCalls",
    "Text",
    "call_id",
    "calls_in",
]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool. `arguments` is the text of a JSON object."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Text:
    """Words for the reader."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """A call begins. `id` is None until somebody gives it one."""

    index: int
    name: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class CallArguments:
    """More of a call's arguments."""

    index: int
    text: str


Piece = Text | CallStart | CallArguments


def call_id(serial: str, choice: int, index: int) -> str:
    """An id for a call that the engine gave none, made from the answer's serial."""
    return f"call_{serial[:24]}{choice:02x}{index:02x}"


class CallReader(Protocol):
    """Takes the content of one choice as it comes and says what it turned out to be."""

    def feed(self, text: str) -> list[Piece]:
        """What is certain after this text. Nothing means that text is being held back."""

    def end(self, *, cut: bool) -> list[Piece]:
        """What was held back. `cut` says that the model was stopped before it was done."""


class SpokenCalls:
    """For a model that may call tools or answer in words."""

    def __init__(self, names: Sequence[str], *, first_only: bool) -> None:
        self._names = tuple(names)
        self._first_only = first_only
        self._held: list[str] = []
        self._held_chars = 0
        self._head = ""
        self._is_text = False

    def feed(self, text: str) -> list[Piece]:
        """The text, unless it may still become a call."""
        if not text:
            return []
        if self._is_text:
            return [Text(text)]
        self._held.append(text)
        self._held_chars += len(text)
        if len(self._head) < _HEAD_CHARS:
            self._head += "".join(text.split())
            self._is_text = not _may_become_calls(self._head[:_HEAD_CHARS], self._names)
        if self._held_chars > limits.TOOL_TEXT_CHARS_MAX:
            self._is_text = True
        return self._release() if self._is_text else []

    def end(self, *, cut: bool) -> list[Piece]:
        """The calls that the text was, or the text."""
        calls = () if cut or self._is_text else calls_in("".join(self._held), self._names)
        if not calls:
            return self._release()
        self._held.clear()
        pieces: list[Piece] = []
        for index, call in enumerate(calls[:1] if self._first_only else calls):
            pieces += [CallStart(index, call.name), CallArguments(index, call.arguments)]
        return pieces

    def _release(self) -> list[Piece]:
        self._is_text = True
        held = "".join(self._held)
        self._held.clear()
        return [Text(held)] if held else []


class _Phase(enum.Enum):
    HEAD = enum.auto()
    ARGUMENTS = enum.auto()
    TEXT = enum.auto()


class ForcedCall:
    """For a model that a grammar holds to `{"name": NAME, "arguments": {…}}`."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._held = ""
        self._phase = _Phase.HEAD

    def feed(self, text: str) -> list[Piece]:
        """The call's name once it is known, then its arguments as they come."""
        if not text:
            return []
        match self._phase:
            case _Phase.HEAD:
                return self._read_head(text)
            case _Phase.ARGUMENTS:
                return self._read_arguments(text)
            case _Phase.TEXT:
                return [Text(text)]

    def end(self, *, cut: bool) -> list[Piece]:
        """What is left, without the brace that closes the call itself."""
        left, self._held = self._held, ""
        if self._phase is not _Phase.ARGUMENTS:
            return [Text(left)] if left else []
        if not cut:
            left = left.rstrip().removesuffix("}")
        return [CallArguments(0, left)] if left else []

    def _read_head(self, text: str) -> list[Piece]:
        self._held += text
        head = _FORCED_HEAD.match(self._held)
        if head is None and len(self._held) < _HEAD_CHARS:
            return []
        held, self._held = self._held, ""
        if head is None or head["name"] not in self._names:
            self._phase = _Phase.TEXT
            return [Text(held)]
        self._phase = _Phase.ARGUMENTS
        return [CallStart(0, head["name"]), *self._read_arguments(held[head.end() :])]

    def _read_arguments(self, text: str) -> list[Piece]:
        """All but the last brace so far and what follows it: that brace may end the call."""
        self._held += text
        brace = self._held.rfind("}")
        safe = self._held if brace < 0 else self._held[:brace]
        self._held = self._held[len(safe) :]
        return [CallArguments(0, safe)] if safe else []


_HEAD_CHARS: Final = 256
"""A call's name stands within so many characters: names have at most 64."""

_FORCED_HEAD: Final = re.compile(
    r'\s*\{\s*"name"\s*:\s*"(?P<name>[^"\\]*)"\s*,\s*"arguments"\s*:\s*'
)
_OPENERS: Final = tuple(
    opener + bracket
    for opener in ("", "<tool_call>", "```", "```json", "```tool_call", "```tool_code")
    for bracket in ("{", "[{", "{{")
)
_OPENING: Final = re.compile(r"(?P<tag><tool_call>)|```(?:json|tool_call|tool_code)?[ \t]*\r?\n")
_KEYS: Final = ('"arguments":', '"parameters":', '"type":"function"', '"id":"')
_DOUBLED: Final = re.compile(r"\{\s*(?=\{)")
"""Qwen2.5-Coder's template shows a call in doubled braces by mistake, so the model writes them."""
_SPACES: Final = re.compile(r"[\s,;]*")


def _may_become_calls(head: str, names: Sequence[str]) -> bool:
    """Whether text that begins so, white space taken out, can still turn out to be calls."""
    beginnings = (*_KEYS, *(f'"name":"{name}"' for name in names))
    for opener in _OPENERS:
        if opener.startswith(head):
            return True
        if head.startswith(opener):
            rest = head[len(opener) :]
            if any(each.startswith(rest) or rest.startswith(each) for each in beginnings):
                return True
    return False


class _SpokenCall(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: msgspec.Raw = msgspec.Raw()
    parameters: msgspec.Raw = msgspec.Raw()
    type: Literal["function"] = "function"
    id: str = ""


def calls_in(text: str, names: Sequence[str]) -> tuple[Call, ...]:
    """The calls of offered tools that a text consists of; none if it says anything else."""
    rest = text.strip()
    calls: list[Call] = []
    while rest:
        opening = _OPENING.match(rest)
        closing = ""
        if opening:
            closing = "</tool_call>" if opening["tag"] else "```"
            rest = rest[opening.end() :].lstrip()
        found, rest = _leading_calls(rest, names)
        if not found:
            return ()
        calls += found
        if closing and rest.startswith(closing):
            rest = rest[len(closing) :]
        elif closing and rest:  # at the very end a model may leave the closing out
            return ()
        rest = rest[_end_of_spaces(rest) :]
    return tuple(calls)


def _leading_calls(text: str, names: Sequence[str]) -> tuple[list[Call], str]:
    """The calls in the JSON values that a text begins with, and what follows them."""
    calls: list[Call] = []
    while text.startswith(("{", "[")):
        doubled = _DOUBLED.match(text)
        start = doubled.end() if doubled else 0
        try:
            _, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            return [], text
        found = _calls_of(text[start:end], names)
        text = text[end:].lstrip()
        if not found or (doubled and not text.startswith("}")):
            return [], text
        calls += found
        text = text[1:] if doubled else text
        text = text[_end_of_spaces(text) :]
    return calls, text


def _calls_of(value: str, names: Sequence[str]) -> list[Call]:
    try:
        spoken = (
            msgspec.json.decode(value, type=list[_SpokenCall])
            if value.startswith("[")
            else [msgspec.json.decode(value, type=_SpokenCall)]
        )
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return []
    calls = []
    for each in spoken:
        arguments = bytes(each.arguments or each.parameters).decode()
        both = bool(each.arguments) and bool(each.parameters)
        if each.name not in names or both or not arguments.startswith("{"):
            return []
        calls.append(Call(each.name, arguments))
    return calls


def _end_of_spaces(text: str) -> int:
    found = _SPACES.match(text)
    return found.end() if found else 0


def _no_constant(_: str) -> NoReturn:
    raise ValueError("JSON has no such number")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)
