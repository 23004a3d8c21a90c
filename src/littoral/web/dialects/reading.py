"""Request bodies: from bytes to a checked JSON object, with errors that name the field at fault.

Rules
- What a body may cost to read is bounded before it is read; strings cost nothing of note.
- Only what a dialect declares is checked; unknown fields are kept and passed on to the engine.
- Nothing of the caller's text is repeated in an error, apart from the names of fields.

It knows no API: each dialect declares its own fields.
"""

import re
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from littoral.terms import limits
from littoral.terms.errors import BadRequestError, CallerError, UnsupportedError
from littoral.terms.ids import ModelName, model_name
from littoral.terms.ports import Door
from littoral.terms.sources import MemoryWanted, Sources
from littoral.terms.values import Ask, Caller, EngineKind, Kind, ModelEntry
from littoral.web.http import Request

__all__ = [
    "ask_of",
    "check_bounds",
    "checked",
    "decoded",
    "entry_of",
    "is_local",
    "json_object",
    "nonce_of",
    "read_body",
    "without_nulls",
]

Fields = TypeVar("Fields", bound=msgspec.Struct)

_PLACE: Final = re.compile(r"(?P<what>.*?) - at `(?:key in )?\$\.?(?P<path>.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_CACHE_FIELDS: Final = frozenset({"cache-control", "littoral-cache-tags"})
_ALL_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_ALL_ZERO: Final = bytes.maketrans(b"123456789", b"000000000")
_TOO_LONG: Final = b"0" * (limits.JSON_DIGITS_MAX + 1)
_LONG: Final = b"0" * 64
"""Part of what is too long; of this length it is looked for twenty times as fast."""
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"{}[]"))
_BLOCK_BYTES: Final = 64 * 1024
"""Looked at together; what is shorter can't hold enough numbers to be slow."""

_WORDS: Final = (
    (" | null", ""),
    ("`float`", "a number"),
    ("`int`", "an integer"),
    ("`str`", "a string"),
    ("`bool`", "a boolean"),
    ("`array`", "an array"),
    ("`object`", "an object"),
    ("`str | array`", "a string or an array"),
    ("`str | object`", "a string or an object"),
)


def json_object(raw: bytes) -> dict[str, object]:
    """The JSON object that a request body is.

    Raises:
        BadRequestError: it is anything else, has too many values, or is nested too deeply.
    """
    brackets = _brackets(raw)
    try:
        body = msgspec.json.decode(raw)
        if _has_surrogates(raw):
            msgspec.json.encode(body)  # half of a surrogate pair decodes and can't be said again
    except RecursionError:
        raise _too_deep() from None
    except UnicodeError:
        raise BadRequestError("the body is not valid UTF-8 text") from None
    except msgspec.DecodeError:
        raise BadRequestError("the body is not valid JSON", advice="send one JSON object") from None
    if not isinstance(body, dict):
        raise BadRequestError("the body is not a JSON object", advice="send one JSON object")
    if _is_deep(brackets):
        raise _too_deep()
    return body


def check_bounds(raw: bytes) -> None:
    """Refuse a body that would cost too much to read, by whoever reads it.

    Raises:
        BadRequestError: it has too many values, is nested too deeply, or is not UTF-8.
    """
    if _is_deep(_brackets(raw)):
        raise _too_deep()
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError:
            raise BadRequestError("the body is not valid UTF-8 text") from None


def _brackets(raw: bytes) -> bytes:
    """The brackets outside of strings, braces among them; none where too few to nest deeply.

    It counts with the methods of `bytes` alone, which take milliseconds where a decoder or a loop
    would take seconds. What it says of malformed JSON holds up to where a decoder would stop.

    Raises:
        BadRequestError: there are too many values, names, or objects and arrays, or slow numbers.
    """
    opening = _rare(raw, b"{") + _rare(raw, b"[")
    names_max = limits.JSON_NAMES_MAX
    few_names = len(raw) < names_max or raw.count(b",") < names_max
    slow = _slow_numbers(raw)
    if few_names and opening <= limits.JSON_DEPTH_MAX and slow is None:
        return b""
    unescaped = raw.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in raw else raw
    if unescaped.count(b'"') > 4 * limits.JSON_VALUES_MAX:  # two for a value, two for its name
        raise _too_many(limits.JSON_VALUES_MAX, "values")
    outside = _outside(unescaped)
    containers = outside.count(b"{") + outside.count(b"[")
    for found, most, what in (
        (containers, limits.JSON_CONTAINERS_MAX, "objects and arrays"),
        (outside.count(b":"), limits.JSON_NAMES_MAX, "names"),
        (outside.count(b",") + containers, limits.JSON_VALUES_MAX, "values"),
    ):
        if found > most:
            raise _too_many(most, what)
    if slow is not None and (slow := _slow_numbers(outside)) is not None:
        raise slow
    return outside.translate(_ALL_SQUARE, _NO_BRACKETS)


def _has_surrogates(raw: bytes) -> bool:
    """Whether it escapes halves of surrogate pairs, whole pairs among them."""
    return b"\\" in raw and (b"\\ud" in raw or b"\\uD" in raw)


def _rare(raw: bytes, bracket: bytes) -> int:
    """How often it is there, up to one more than the depth that is allowed.

    Taking away jumps from one to the next, where `count` looks at every byte.
    """
    return len(raw) - len(raw.replace(bracket, b"", limits.JSON_DEPTH_MAX + 1))


def _slow_numbers(text: bytes) -> BadRequestError | None:
    """What is wrong with the numbers, if they would take long to read; strings count as well."""
    if len(text) < _BLOCK_BYTES:
        return None
    numbers = text.translate(_ALL_ZERO)
    most = limits.JSON_EXPONENTS_MAX
    many = text.count(b"e") + text.count(b"E") > most
    if many and numbers.count(b"0e") + numbers.count(b"0E") > most:
        return _too_many(most, "numbers with an exponent")
    if _LONG in numbers and _TOO_LONG in numbers:
        return BadRequestError(
            f"the body has a number of more than {limits.JSON_DIGITS_MAX} digits in a row",
            advice="send a shorter one, or a text",
        )
    return None


def _outside(unescaped: bytes) -> bytes:
    """What is outside of strings, block by block: a list of millions of pieces would be large."""
    found: list[bytes] = []
    inside = 0
    for at in range(0, len(unescaped), _BLOCK_BYTES):
        pieces = unescaped[at : at + _BLOCK_BYTES].split(b'"')
        found.append(b"".join(pieces[inside::2]))
        inside ^= (len(pieces) - 1) & 1
    return b"".join(found)


def _is_deep(brackets: bytes) -> bool:
    """Whether balanced brackets nest too deeply: each pass takes the innermost ones away."""
    for _ in range(limits.JSON_DEPTH_MAX):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _too_many(most: int, what: str) -> BadRequestError:
    return BadRequestError(
        f"the body has more than {most:,} {what}", advice="send it as several requests"
    )


def _too_deep() -> BadRequestError:
    return BadRequestError(f"the body is nested more than {limits.JSON_DEPTH_MAX} levels deep")


def read_body(request: Request, kind: type[Fields]) -> Fields:
    """The whole body as this; an empty one stands for an object without members.

    Raises:
        BadRequestError: it is anything else.
    """
    return checked(json_object(request.body or b"{}"), kind)


def decoded(raw: bytes, decoder: "msgspec.json.Decoder[Fields]") -> Fields:
    """The whole body as what this decoder knows, in one pass: for bodies full of numbers.

    Raises:
        BadRequestError: it is anything else, or would cost too much to read.
    """
    if not raw or _has_surrogates(raw):
        json_object(raw or b"{}")
    else:
        check_bounds(raw)
    try:
        return decoder.decode(raw or b"{}")
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    except UnicodeError:
        raise BadRequestError("the body is not valid UTF-8 text") from None
    except msgspec.DecodeError:
        raise BadRequestError("the body is not valid JSON", advice="send one JSON object") from None


def checked(body: Mapping[str, object], fields: type[Fields]) -> Fields:
    """The declared fields of a body, each of its type and in its range.

    Raises:
        BadRequestError: one is not; `param` names it.
        UnsupportedError: one is declared as null alone, and says something.
    """
    try:
        return msgspec.convert(body, fields)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None


def _explained(message: str) -> CallerError:
    place = _PLACE.fullmatch(message)
    what, path = (place["what"], place["path"]) if place else (message, "")
    if missing := _MISSING.fullmatch(what):
        path = f"{path}.{missing['name']}" if path else missing["name"]
        return BadRequestError(f"`{path}` is missing", param=path)
    if what.startswith("Expected `null`"):  # declared so that it is not left out unseen
        return UnsupportedError(f"`{path}` is not supported here", param=path)
    if what.startswith("Invalid "):
        what = "not one of the values it may have"
    elif "matching regex" in what:
        what = "has characters that it may not have"
    what = what[0].lower() + what[1:]
    for technical, plain in _WORDS:
        what = what.replace(technical, plain)
    return BadRequestError(f"`{path}`: {what}" if path else what, param=path or None)


def without_nulls(body: Mapping[str, object]) -> dict[str, object]:
    """The body without fields set to null: APIs read them as absent, engines may stumble."""
    return {name: value for name, value in body.items() if value is not None}


def nonce_of(headers: Mapping[str, str]) -> str:
    """What the client sent as `Littoral-Nonce`, or nothing.

    Raises:
        BadRequestError: it is too long or not visible ASCII.
    """
    nonce = headers.get("littoral-nonce", "")
    if not nonce:
        return ""
    if len(nonce) > limits.NONCE_CHARS_MAX or not _VISIBLE.fullmatch(nonce):
        raise BadRequestError(
            "the nonce has characters or a length that it may not have",
            advice=f"send at most {limits.NONCE_CHARS_MAX} visible ASCII characters",
            param="Littoral-Nonce",
        )
    return nonce


def ask_of(
    request: Request,
    api: str,
    kind: Kind,
    body: Mapping[str, object],
    *,
    stream: bool,
    memory: MemoryWanted | Sources | None = None,
) -> Ask:
    """The ask that a request makes, once its body is in OpenAI's shape.

    Raises:
        BadRequestError: the model's name or the nonce is malformed.
    """
    before = request.instead_of
    return Ask(
        api=api,
        kind=kind,
        model=model_name(str(body["model"])),
        body=body,
        stream=stream,
        raw=request.body if before is None else before.body,
        asked=None if before is None else before.model,
        nonce=nonce_of(request.headers),
        memory=memory,
        fields={name: request.headers[name] for name in _CACHE_FIELDS & request.headers.keys()},
    )


def entry_of(door: Door, caller: Caller, model: str) -> ModelEntry | None:
    """The model's entry, or None when this caller has none: the door will say so better."""
    name: ModelName = model_name(model)
    return next((each.entry for each in door.models(caller) if each.entry.name == name), None)


def is_local(entry: ModelEntry | None) -> bool:
    """Whether the model is computed here, with only what this PoP knows how to do."""
    return entry is None or entry.engine is not EngineKind.UPSTREAM
