"""Anthropic's Messages API, and its counting of tokens.

A request is translated into a chat request of OpenAI's shape, the answer back (see
`message_writer`). The engine always streams here, so a streamed message and a whole one are one.

Refused, with the reason: images and documents, tools that Anthropic itself runs, thinking on
demand.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Final

import msgspec

from littoral.terms import limits
from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.ports import Answer, Door
from littoral.terms.values import Ask, Caller, EngineKind, Kind, ModelEntry
from littoral.web.dialects.chat import Count, StopTexts, TopP, prepared
from littoral.web.dialects.chunks import ChunkReader
from littoral.web.dialects.conversation import ChatMessage, text_of
from littoral.web.dialects.message_writer import MessageWriter
from littoral.web.dialects.reading import (
    ask_of,
    checked,
    entry_of,
    is_local,
    json_object,
    without_nulls,
)
from littoral.web.dialects.remembering import memory_in, refuse_memory
from littoral.web.dialects.replying import reply_folded, reply_stream, serial_of
from littoral.web.dialects.tools import ToolName, ToolPlan
from littoral.web.http import Request, Responder

__all__ = ["handle", "handle_count"]

Blocks = list[dict[str, object]]


class _Message(msgspec.Struct):
    role: str
    content: str | Blocks


class _Tool(msgspec.Struct):
    name: ToolName
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, object] | None = None


class _Choice(msgspec.Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct):
    type: str


class _OutputFormat(msgspec.Struct):
    type: str
    schema: dict[str, object]


class _OutputConfig(msgspec.Struct):
    format: _OutputFormat | None = None


class _Prompt(msgspec.Struct):
    """What of a request makes its prompt: all that counting tokens needs."""

    model: str
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    system: str | Blocks | None = None
    tools: Annotated[list[_Tool], msgspec.Meta(max_length=limits.TOOLS_MAX)] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    container: object = None
    mcp_servers: object = None


class _Sampling(msgspec.Struct):
    max_tokens: Count
    stream: bool | None = None
    stop_sequences: StopTexts | None = None
    temperature: TopP | None = None
    top_p: TopP | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] | None = None


async def handle(request: Request, responder: Responder, door: Door, caller: Caller) -> None:
    """Answer one messages request."""
    body = without_nulls(json_object(request.body))
    memory = memory_in(request, body)
    prompt = checked(body, _Prompt)
    sampling = checked(body, _Sampling)
    entry = entry_of(door, caller, prompt.model)
    ask, plan = _ask(request, _chat_body(prompt) | _sampling_body(sampling), entry)
    stream = sampling.stream is True
    ask = replace(ask, count_first=stream and is_local(entry), memory=memory)

    def writer_of(answer: Answer) -> MessageWriter:
        usage, _ = answer.outcome()
        return MessageWriter(
            ChunkReader(plan),
            model=prompt.model,
            serial=serial_of(answer),
            input_tokens=usage.prompt_tokens if ask.count_first else 0,
            sources=lambda: answer.sources,
        )

    reply = reply_stream if stream else reply_folded
    await reply(responder, door, ask, caller, writer_of)


async def handle_count(request: Request, responder: Responder, door: Door, caller: Caller) -> None:
    """Say how many tokens a request's prompt has, by the model's own tokenizer."""
    asked = without_nulls(json_object(request.body))
    refuse_memory(asked, "counting: what is recalled is not known yet")
    prompt = checked(asked, _Prompt)
    ask, _ = _ask(request, _chat_body(prompt), entry_of(door, caller, prompt.model))
    tokens = await door.count(ask, caller)
    body = msgspec.json.encode({"input_tokens": tokens})
    await responder.send(200, {"content-type": "application/json"}, body)


def _ask(
    request: Request, chat: dict[str, object], entry: ModelEntry | None
) -> tuple[Ask, ToolPlan]:
    plan = ToolPlan()
    if entry is not None:
        messages = msgspec.convert(chat["messages"], list[ChatMessage])
        chat, plan = prepared(chat, messages, entry)
        if entry.engine is EngineKind.LLAMA and "stop" in chat:
            chat["verbose"] = True  # llama.cpp then says which stop text it met
    return ask_of(request, "messages", Kind.CHAT, chat, stream=True), plan


def _chat_body(prompt: _Prompt) -> dict[str, object]:
    """The part of a chat request that makes its prompt."""
    if prompt.thinking is not None and prompt.thinking.type not in {"disabled", "adaptive"}:
        raise UnsupportedError(
            "`thinking` is not supported", advice="send disabled or adaptive", param="thinking"
        )
    for name in ("container", "mcp_servers"):
        if getattr(prompt, name):
            raise UnsupportedError(
                f"`{name}` is not supported", advice="run tools in the client", param=name
            )
    body: dict[str, object] = {"model": prompt.model, "messages": list(_messages(prompt))}
    if prompt.tools:
        body["tools"] = [_tool(tool, index) for index, tool in enumerate(prompt.tools)]
    if prompt.tool_choice is not None:
        body["tool_choice"] = _choice(prompt.tool_choice)
        if prompt.tool_choice.disable_parallel_tool_use:
            body["parallel_tool_calls"] = False
    shape = prompt.output_config.format if prompt.output_config is not None else None
    if shape is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": shape.schema},
        }
    return body


def _sampling_body(sampling: _Sampling) -> dict[str, object]:
    given = {
        "max_tokens": sampling.max_tokens,
        "stop": sampling.stop_sequences or None,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
    }
    return without_nulls(given)


def _messages(prompt: _Prompt) -> Iterator[dict[str, object]]:
    if prompt.system:
        yield {"role": "system", "content": text_of(prompt.system, "system")}
    for index, message in enumerate(prompt.messages):
        place = f"messages[{index}]"
        match message.role, message.content:
            case "user" | "assistant" | "system", str(text):
                yield {"role": message.role, "content": text}
            case "user" | "system", list(blocks):
                yield from _user(message.role, blocks, f"{place}.content")
            case "assistant", list(blocks):
                yield _assistant(blocks, f"{place}.content")
            case _:
                raise BadRequestError(
                    f"`{place}.role` is neither user nor assistant", param=f"{place}.role"
                )


def _user(role: str, blocks: Blocks, place: str) -> Iterator[dict[str, object]]:
    """A user's blocks: results of tools are messages of their own, in the order they came."""
    words: Blocks = []
    for index, block in enumerate(blocks):
        if block.get("type") != "tool_result":
            words.append(block)
            continue
        if words:
            yield {"role": role, "content": text_of(words, place)}
            words = []
        yield _result(checked(block, _ToolResult), f"{place}[{index}]")
    if words or not blocks:
        yield {"role": role, "content": text_of(words, place)}


class _ToolResult(msgspec.Struct):
    tool_use_id: str
    content: str | Blocks | None = None
    is_error: bool | None = None


def _result(result: _ToolResult, place: str) -> dict[str, object]:
    text = text_of(result.content, f"{place}.content")
    if result.is_error:
        text = f"Error: {text}"
    return {"role": "tool", "tool_call_id": result.tool_use_id, "content": text}


class _ToolUse(msgspec.Struct):
    id: str
    name: str
    input: dict[str, object]


_NOT_SAID: Final = ("tool_use", "thinking", "redacted_thinking")
"""Blocks of earlier answers that are no words of them."""


def _assistant(blocks: Blocks, place: str) -> dict[str, object]:
    said = [each for each in blocks if each.get("type") not in _NOT_SAID]
    uses = [checked(each, _ToolUse) for each in blocks if each.get("type") == "tool_use"]
    message: dict[str, object] = {"role": "assistant", "content": text_of(said, place)}
    if uses:
        message["tool_calls"] = [_call(use) for use in uses]
    return message


def _call(use: _ToolUse) -> dict[str, object]:
    arguments = msgspec.json.encode(use.input).decode()
    function = {"name": use.name, "arguments": arguments}
    return {"id": use.id, "type": "function", "function": function}


def _tool(tool: _Tool, index: int) -> dict[str, object]:
    if tool.type not in {None, "custom"}:
        raise UnsupportedError(
            f"`tools[{index}]` is a tool that Anthropic runs",
            advice="offer tools with an `input_schema`; the client runs them",
            param=f"tools[{index}].type",
        )
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.input_schema or {"type": "object"},
    }
    return {"type": "function", "function": without_nulls(function)}


def _choice(choice: _Choice) -> str | Mapping[str, object]:
    match choice.type, choice.name:
        case ("auto" | "none") as same, _:
            return same
        case "any", _:
            return "required"
        case "tool", str(name):
            return {"type": "function", "function": {"name": name}}
        case _:
            raise BadRequestError(
                "`tool_choice` is not a choice there is",
                advice="send auto, any, none, or tool with a name",
                param="tool_choice",
            )
