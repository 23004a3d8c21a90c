"""The messages of a conversation, as an engine on this machine takes them.

Clients send content as parts, developer messages, and the calls and results of tools. Local
engines get one string for each message; a model whose template knows no tools gets calls and
results as text.

Messages for upstreams do not pass through here: they know their own models.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from littoral.terms.errors import BadRequestError, UnsupportedError

__all__ = [
    "ChatMessage",
    "MessageCall",
    "MessageFunction",
    "is_plain",
    "local_messages",
    "text_of",
]

ANSWER_NOW: Final = "\nNow answer in words."
"""Without it SmolLM2 repeats its call on seeing the result, and an agent loops for ever."""

_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool"})


class MessageFunction(msgspec.Struct):
    """What an earlier call called."""

    name: str
    arguments: str = "{}"


class MessageCall(msgspec.Struct):
    """One call in an assistant's message."""

    function: MessageFunction
    id: str = ""
    type: str = "function"


class ChatMessage(msgspec.Struct, omit_defaults=True):
    """One message, as far as anything here reads it."""

    role: str
    content: str | list[dict[str, object]] | None = None
    tool_calls: list[MessageCall] | None = None
    tool_call_id: str | None = None


def is_plain(messages: Sequence[ChatMessage]) -> bool:
    """Whether any engine takes the messages as they are."""
    return all(
        isinstance(each.content, str)
        and each.tool_calls is None
        and each.role in {"system", "user", "assistant"}
        for each in messages
    )


def local_messages(
    messages: Sequence[ChatMessage], *, tools_as_text: bool
) -> list[dict[str, object]]:
    """The messages with each content one string.

    Raises:
        BadRequestError: a role is unknown, or a part is malformed.
        UnsupportedError: a part is not text.
    """
    return list(_local(messages, tools_as_text=tools_as_text))


def _local(messages: Sequence[ChatMessage], *, tools_as_text: bool) -> Iterator[dict[str, object]]:
    called: dict[str, str] = {}
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if message.role not in _ROLES:
            raise BadRequestError(
                f"`{place}.role` is not a role that a message may have",
                advice=f"use one of {', '.join(sorted(_ROLES))}",
                param=f"{place}.role",
            )
        text = text_of(message.content, f"{place}.content")
        calls = message.tool_calls or []
        called.update({call.id: call.function.name for call in calls})
        if message.role == "tool":
            name = called.get(message.tool_call_id or "", "the tool")
            if tools_as_text:
                said = f"Result of {name}: {text}"
                last = index == len(messages) - 1
                yield {"role": "user", "content": said + ANSWER_NOW if last else said}
            else:
                given = message.tool_call_id or ""
                yield {"role": "tool", "content": text, "tool_call_id": given}
        elif calls and tools_as_text:
            spoken = [text, *map(_spoken, calls)]
            yield {"role": "assistant", "content": "\n".join(filter(None, spoken))}
        elif calls:
            kept: list[object] = [msgspec.to_builtins(call) for call in calls]
            yield {"role": "assistant", "content": text, "tool_calls": kept}
        else:
            role = "system" if message.role == "developer" else message.role
            yield {"role": role, "content": text}


def _spoken(call: MessageCall) -> str:
    name = msgspec.json.encode(call.function.name).decode()
    return f'{{"name": {name}, "arguments": {call.function.arguments}}}'


_TEXT_PARTS: Final = ("text", "input_text", "output_text", "refusal")


def text_of(content: str | Sequence[Mapping[str, object]] | None, place: str) -> str:
    """The text of a content: itself, its parts one to a line, or nothing.

    Raises:
        BadRequestError: a text part has no text.
        UnsupportedError: a part is not text.
    """
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(_part(part, f"{place}[{index}]") for index, part in enumerate(content))


def _part(part: Mapping[str, object], place: str) -> str:
    kind = part.get("type")
    if kind not in _TEXT_PARTS:
        raise UnsupportedError(
            f"`{place}` is not text, and models on this PoP read text only",
            advice="send text, or ask a model on an upstream that reads images",
            param=place,
        )
    text = part.get("refusal" if kind == "refusal" else "text")
    if not isinstance(text, str):
        raise BadRequestError(f"`{place}.text` must be a string", param=f"{place}.text")
    return text
