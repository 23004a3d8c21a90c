"""OpenAI's Responses API, without memory: every request carries its whole conversation.

A request is translated into a chat request, the answer back (see `response_writer`). The engine
always streams here, so a streamed response and a whole one are one.

Nothing is stored: `store` is answered with `false`, whatever was asked. Refused, with the reason:
what needs a store (`previous_response_id`, `conversation`, `background`, stored prompts, references
to items), tools that OpenAI itself runs (but `file_search`: remembering.py), images and files, and
cutting a prompt (`truncation`).
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import msgspec

from littoral.terms import limits
from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.ports import Answer, Door
from littoral.terms.values import Caller, Kind
from littoral.web.dialects.chat import Count, Temperature, TopP, prepared
from littoral.web.dialects.chunks import ChunkReader
from littoral.web.dialects.conversation import ChatMessage, text_of
from littoral.web.dialects.reading import ask_of, checked, entry_of, json_object, without_nulls
from littoral.web.dialects.remembering import memory_in
from littoral.web.dialects.replying import reply_folded, reply_stream, serial_of
from littoral.web.dialects.response_searches import RESULTS, FileSearch
from littoral.web.dialects.response_writer import ResponseWriter
from littoral.web.dialects.tools import ToolName, ToolPlan
from littoral.web.http import Request, Responder

__all__ = ["handle"]

Parts = list[dict[str, object]]


class _Format(msgspec.Struct):
    type: str = "text"
    name: str = "answer"
    schema: dict[str, object] | None = None


class _TextConfig(msgspec.Struct):
    format: _Format | None = None


class _Tool(msgspec.Struct):
    type: str
    name: ToolName | None = None
    description: str | None = None
    parameters: dict[str, object] | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None


class _Response(msgspec.Struct):
    model: str
    input: str | list[dict[str, object]]
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Count | None = None
    text: _TextConfig | None = None
    tools: Annotated[list[_Tool], msgspec.Meta(max_length=limits.TOOLS_MAX)] | None = None
    tool_choice: str | dict[str, object] | None = None
    parallel_tool_calls: bool | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    reasoning: _Reasoning | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    include: list[str] | None = None
    user: str | None = None


_NOT_HERE: Final = {
    "previous_response_id": "send the whole conversation as `input`",
    "conversation": "send the whole conversation as `input`",
    "prompt": "send `instructions` and `input`",
    "background": "wait for the answer, or stream it",
}
_NEEDS_A_STORE: Final = "responses are not stored on this PoP"


async def handle(request: Request, responder: Responder, door: Door, caller: Caller) -> None:
    """Answer one responses request."""
    body = without_nulls(json_object(request.body))
    echo = _echo(body, checked(body, _Response))
    memory = memory_in(request, body)
    fields = checked(body, _Response)
    _refuse(body)
    chat = _chat_body(fields)
    plan = ToolPlan()
    entry = entry_of(door, caller, fields.model)
    if entry is not None:
        messages = msgspec.convert(chat["messages"], list[ChatMessage])
        chat, plan = prepared(chat, messages, entry)
    ask = ask_of(request, "responses", Kind.CHAT, chat, stream=True, memory=memory)
    results = RESULTS in (fields.include or ())

    def writer_of(answer: Answer) -> ResponseWriter:
        sources = answer.sources
        search = None if sources is None else FileSearch(sources, lambda: answer.sources, results)
        return ResponseWriter(ChunkReader(plan), echo=echo, serial=serial_of(answer), search=search)

    reply = reply_stream if fields.stream else reply_folded
    await reply(responder, door, ask, caller, writer_of)


def _refuse(body: Mapping[str, object]) -> None:
    for name, advice in _NOT_HERE.items():
        if body.get(name):
            raise UnsupportedError(
                f"`{name}` is not supported: {_NEEDS_A_STORE}", advice=advice, param=name
            )
    if body.get("truncation", "disabled") != "disabled":
        raise UnsupportedError(
            "`truncation` is not supported: a prompt is never cut",
            advice="shorten the input, or send disabled",
            param="truncation",
        )
    if body.get("top_logprobs"):
        raise UnsupportedError(
            "`top_logprobs` is not supported in this API",
            advice="ask /v1/chat/completions for them",
            param="top_logprobs",
        )


def _chat_body(fields: _Response) -> dict[str, object]:
    shape = fields.text.format if fields.text is not None else None
    reasoning = fields.reasoning.effort if fields.reasoning is not None else None
    tools = [_tool(tool, index) for index, tool in enumerate(fields.tools or [])]
    return without_nulls(
        {
            "model": fields.model,
            "messages": list(_messages(fields)),
            "max_tokens": fields.max_output_tokens,
            "temperature": fields.temperature,
            "top_p": fields.top_p,
            "response_format": None if shape is None else _response_format(shape),
            "tools": tools or None,
            "tool_choice": _choice(fields.tool_choice),
            "parallel_tool_calls": fields.parallel_tool_calls if tools else None,
            "reasoning_effort": reasoning,
            "user": fields.user,
        }
    )


def _response_format(shape: _Format) -> dict[str, object] | None:
    match shape.type:
        case "text":
            return None
        case "json_object":
            return {"type": "json_object"}
        case "json_schema" if shape.schema is not None:
            schema = {"name": shape.name, "schema": shape.schema}
            return {"type": "json_schema", "json_schema": schema}
        case _:
            raise BadRequestError(
                "`text.format` is not a format there is",
                advice="send text, json_object, or json_schema with its schema",
                param="text.format",
            )


def _tool(tool: _Tool, index: int) -> dict[str, object]:
    place = f"tools[{index}]"
    if tool.type != "function":
        raise UnsupportedError(
            f"`{place}` is a tool that OpenAI runs",
            advice="offer functions, which the client runs, or `file_search`",
            param=f"{place}.type",
        )
    if tool.name is None:
        raise BadRequestError(f"`{place}.name` is missing", param=f"{place}.name")
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": without_nulls(function)}


def _choice(given: str | Mapping[str, object] | None) -> object:
    """The choice in the chat API's shape, which nests the name."""
    if isinstance(given, Mapping) and given.get("type") == "function":
        return {"type": "function", "function": {"name": given.get("name")}}
    return given


def _messages(fields: _Response) -> Iterator[dict[str, object]]:
    if fields.instructions:
        yield {"role": "system", "content": fields.instructions}
    if isinstance(fields.input, str):
        yield {"role": "user", "content": fields.input}
        return
    if not fields.input:
        raise BadRequestError("`input` is empty", advice="send a message", param="input")
    calls: list[object] = []
    for index, item in enumerate(fields.input):
        place = f"input[{index}]"
        if item.get("type") == "function_call":
            calls.append(_call(checked(item, _FunctionCall)))
            continue
        if calls:
            yield {"role": "assistant", "content": "", "tool_calls": calls}
            calls = []
        yield from _item(item, place)
    if calls:
        yield {"role": "assistant", "content": "", "tool_calls": calls}


class _InputMessage(msgspec.Struct):
    role: str
    content: str | Parts


class _FunctionCall(msgspec.Struct):
    call_id: str
    name: str
    arguments: str


class _FunctionOutput(msgspec.Struct):
    call_id: str
    output: str | Parts


def _call(call: _FunctionCall) -> dict[str, object]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.call_id, "type": "function", "function": function}


def _item(item: Mapping[str, object], place: str) -> Iterator[dict[str, object]]:
    match item.get("type", "message"):
        case "message":
            message = checked(item, _InputMessage)
            if message.role not in {"user", "assistant", "system", "developer"}:
                raise BadRequestError(
                    f"`{place}.role` is not a role that a message may have", param=f"{place}.role"
                )
            yield {"role": message.role, "content": text_of(message.content, f"{place}.content")}
        case "function_call_output":
            output = checked(item, _FunctionOutput)
            text = text_of(output.output, f"{place}.output")
            yield {"role": "tool", "tool_call_id": output.call_id, "content": text}
        case "reasoning":
            return  # an earlier model's own notes, carried along by the conversation
        case "item_reference":
            raise UnsupportedError(
                f"`{place}` refers to a stored item: {_NEEDS_A_STORE}",
                advice="send the item itself",
                param=place,
            )
        case _:
            raise UnsupportedError(
                f"`{place}.type` is not a kind of item that is known here",
                advice="send messages, function calls and their outputs",
                param=f"{place}.type",
            )


def _echo(body: Mapping[str, object], fields: _Response) -> dict[str, object]:
    """The fields of a response that repeat the request, with this API's defaults."""
    text = body.get("text")
    shape = {"format": {"type": "text"}} | (text if isinstance(text, dict) else {})
    return {
        "background": False,
        "instructions": fields.instructions,
        "max_output_tokens": fields.max_output_tokens,
        "metadata": fields.metadata or {},
        "model": fields.model,
        "parallel_tool_calls": fields.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {
            "effort": fields.reasoning.effort if fields.reasoning is not None else None,
            "summary": None,
        },
        "store": False,
        "temperature": fields.temperature,
        "text": shape,
        "tool_choice": fields.tool_choice or "auto",
        "tools": body.get("tools", []),
        "top_p": fields.top_p,
        "truncation": "disabled",
        "user": fields.user,
    }
