"""What the echo engine says: pure, and the same for the same request.

Not here: time (echo.py), numbering of choices and usage of several (fan.py).
"""

import hashlib
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import msgspec

from littoral.adapters.engines.assemble import Json
from littoral.adapters.engines.fan import Part
from littoral.terms.errors import BadRequestError
from littoral.terms.values import Kind

__all__ = ["Script", "count_words", "embedding_of", "minimal", "prompt_words", "script_of"]

_WORD: Final = re.compile(r"\s*\S+|\s+$")
_VOCABULARY: Final = (
    *("tide", "harbour", "gull", "rope", "sand", "lantern", "mast", "shell"),
    *("keel", "wave", "anchor", "reef", "salt", "buoy", "sail", "cove"),
)
_DEPTH_MAX: Final = 32
"""Nesting of a schema that is followed; a schema may refer to itself."""


@dataclass(frozen=True, slots=True)
class Script:
    """One choice's whole answer, before it is told word by word."""

    chat: bool
    words: tuple[str, ...]
    finish: str
    prompt_tokens: int
    interval_ms: float
    tool: Json | None = None
    logprobs: int | None = None
    """Alternatives per token; None shows no logprobs."""

    def events(self) -> list[Json]:
        """The chunks of this choice; the last has its usage."""
        told = [self._chunk(self._told(word), None, self._logprobs(word)) for word in self.words]
        if self.chat:
            told.insert(0, self._chunk({"role": "assistant", "content": None}, None))
        if self.tool is not None:
            told.append(self._chunk({"tool_calls": [{"index": 0, **self.tool}]}, None))
        completion = len(self.words)
        usage = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
        }
        return [
            *told,
            self._chunk({} if self.chat else {"text": ""}, self.finish),
            {"usage": usage},
        ]

    def _told(self, word: str) -> Json:
        return {"content": word} if self.chat else {"text": word}

    def _chunk(self, part: Json, finish: str | None, logprobs: Json | None = None) -> Json:
        choice: Json = {"index": 0, "finish_reason": finish}
        choice |= {"delta": part} if self.chat else part
        if self.logprobs is not None:
            choice["logprobs"] = logprobs
        return {"choices": [choice]}

    def _logprobs(self, word: str) -> Json | None:
        if self.logprobs is None:
            return None
        others = [word, *(f" {other}" for other in _VOCABULARY)][: self.logprobs]
        tops = [_token(other, -0.25 - rank) for rank, other in enumerate(others)]
        return {"content": [{**_token(word, -0.25), "top_logprobs": tops}]}


def _token(text: str, logprob: float) -> Json:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def script_of(kind: Kind, part: Part) -> Script:
    """What to answer to one choice's request.

    Raises:
        BadRequestError: it is not a request that any engine would take.
    """
    body = part.body
    wish = body.get("echo")
    wish = wish if isinstance(wish, Mapping) else {}
    tool = _tool(body)
    text = "" if tool is not None else _text(body, wish)
    words = _WORD.findall(text)
    finish = "stop" if tool is None else "tool_calls"
    text, stopped = _stopped("".join(words), body.get("stop"))
    words = _WORD.findall(text)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if isinstance(limit, int) and len(words) > limit:
        words, finish = words[:limit], "length"
    elif stopped:
        finish = "stop"
    return Script(
        chat=kind is Kind.CHAT,
        words=tuple(words),
        finish=finish,
        prompt_tokens=len(prompt_words(body)),
        interval_ms=_number(wish.get("interval_ms")),
        tool=tool,
        logprobs=_alternatives(body),
    )


def _text(body: Mapping[str, object], wish: Mapping[str, object]) -> str:
    schema = _schema(body)
    if schema is not None:
        return msgspec.json.encode(minimal(schema)).decode()
    if "tokens" in wish:
        return _made_up(int(_number(wish["tokens"])), body)
    said = " ".join(_last_said(body))
    return f"This is an echo, not a model: {said}"


def _made_up(count: int, body: Mapping[str, object]) -> str:
    """Words that depend on the request and its seed alone."""
    start = hashlib.sha256(f"{body.get('seed')} {_last_said(body)}".encode()).digest()
    places = struct.unpack(">16H", start)
    return " ".join(
        _VOCABULARY[(places[index % 16] + index // 16) % len(_VOCABULARY)] for index in range(count)
    )


def _schema(body: Mapping[str, object]) -> Mapping[str, object] | None:
    """The schema that the answer must follow, if any."""
    wanted = body.get("response_format")
    if not isinstance(wanted, Mapping) or wanted.get("type") == "text":
        return None
    held = wanted.get("json_schema")
    schema = held.get("schema") if isinstance(held, Mapping) else None
    return schema if isinstance(schema, Mapping) else {"type": "object"}


def _tool(body: Mapping[str, object]) -> Json | None:
    """A call of the tool that must be called, with the least arguments that its schema takes."""
    tools = body.get("tools")
    choice = body.get("tool_choice")
    if not isinstance(tools, list) or not tools or choice is None or choice in ("auto", "none"):
        return None
    named = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    functions = [cast("Json", tool.get("function", {})) for tool in tools]
    function = next((one for one in functions if named in {None, one.get("name")}), None)
    if function is None:
        raise BadRequestError("`tool_choice` names no tool of the request", param="tool_choice")
    schema = function.get("parameters")
    arguments = minimal(schema if isinstance(schema, Mapping) else {"type": "object"})
    called = {"name": function.get("name"), "arguments": msgspec.json.encode(arguments).decode()}
    return {"id": "call_echo", "type": "function", "function": called}


def _stopped(text: str, stop: object) -> tuple[str, bool]:
    """The text up to the first stop string, and whether there was one."""
    marks = [stop] if isinstance(stop, str) else stop
    ends = [
        text.index(mark)
        for mark in (marks if isinstance(marks, list | tuple) else ())
        if isinstance(mark, str) and mark and mark in text
    ]
    return (text[: min(ends)], True) if ends else (text, False)


def _alternatives(body: Mapping[str, object]) -> int | None:
    """How many alternatives per token are wanted; None without logprobs."""
    wanted = body.get("logprobs")
    if wanted is None or wanted is False:
        return None
    if wanted is True:
        return int(_number(body.get("top_logprobs")))
    return int(_number(wanted))


def prompt_words(body: Mapping[str, object]) -> list[str]:
    """Every word of the prompt; a prompt of tokens counts each as one."""
    prompt = body.get("prompt")
    if isinstance(prompt, list):
        return [str(token) for token in prompt]
    if isinstance(prompt, str):
        return prompt.split()
    return [word for message in _messages(body) for word in _words_of(message)]


def _last_said(body: Mapping[str, object]) -> list[str]:
    """What the user said last."""
    if "messages" not in body:
        return prompt_words(body)
    said = [message for message in _messages(body) if message.get("role") == "user"]
    return _words_of(said[-1]) if said else []


def _messages(body: Mapping[str, object]) -> list[Json]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise BadRequestError("`messages` must be a list of messages", param="messages")
    if not messages:
        raise BadRequestError("`messages` is empty", param="messages")
    return messages


def _words_of(message: Json) -> list[str]:
    """Words of a message's content: text, or parts with text in them."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return " ".join(text for text in texts if isinstance(text, str)).split()


def count_words(text: str | list[int]) -> int:
    """Tokens of a text."""
    return len(text.split()) if isinstance(text, str) else len(text)


def embedding_of(text: str | list[int], dimensions: int) -> list[float]:
    """A unit vector that depends on the text alone, exact in float32."""
    seed = repr(text).encode()
    raw = b"".join(
        hashlib.sha256(seed + bytes([number % 256, number // 256])).digest()
        for number in range(math.ceil(dimensions / 8))
    )
    values = [value / 2**31 - 1 for (value,) in struct.iter_unpack(">I", raw)][:dimensions]
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    scaled = struct.pack(f"<{dimensions}f", *(value / length for value in values))
    return list(struct.unpack(f"<{dimensions}f", scaled))


def minimal(schema: Mapping[str, object]) -> object:
    """A small value that the schema allows, for the schemas of everyday use."""
    return _minimal(schema, schema, 0)


def _minimal(schema: object, root: Mapping[str, object], depth: int) -> object:
    if not isinstance(schema, Mapping) or depth > _DEPTH_MAX:
        return None
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    for name in ("enum", "examples"):
        if isinstance(schema.get(name), list) and schema[name]:
            return cast("list[object]", schema[name])[0]
    if isinstance(schema.get("$ref"), str):
        return _minimal(_referred(cast("str", schema["$ref"]), root), root, depth + 1)
    for name in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(name), list) and schema[name]:
            return _minimal(cast("list[object]", schema[name])[0], root, depth + 1)
    return _of_type(schema, root, depth)


def _referred(reference: str, root: Mapping[str, object]) -> object:
    """What a local reference (`#/$defs/Name`) means."""
    found: object = root
    for name in reference.removeprefix("#/").split("/"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _of_type(schema: Mapping[str, object], root: Mapping[str, object], depth: int) -> object:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    match kind:
        case "object" | None:
            properties = cast("Mapping[str, object]", schema.get("properties") or {})
            required = cast("Sequence[str]", schema.get("required") or ())
            return {name: _minimal(properties.get(name), root, depth + 1) for name in required}
        case "array":
            count = int(_number(schema.get("minItems")))
            return [_minimal(schema.get("items"), root, depth + 1)] * count
        case "string":
            return "x" * int(_number(schema.get("minLength")))
        case "integer":
            return math.ceil(_number(schema.get("minimum")))
        case "number":
            return _number(schema.get("minimum"))
        case "boolean":
            return False
        case _:
            return None


def _number(value: object) -> float:
    """A number, or 0 for what is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(cast("float", value)) if is_number else 0.0
