"""OpenAI chat completions.

The engine speaks this API already, so its bytes go through untouched, unless tools are in play
that the model does not know how to call (see `tools`), or there are sources to cite. The chunk with
the usage alone is kept for whoever asked for it.

Refused, with the reason: audio, images on a local model, the functions of before tools.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from littoral.terms import limits
from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.ports import Answer, Door
from littoral.terms.values import Caller, Kind, ModelEntry, ToolSupport
from littoral.web.dialects.call_relay import CallRelay, body_with_calls
from littoral.web.dialects.citing import CitedStream, with_citations
from littoral.web.dialects.conversation import ChatMessage, is_plain, local_messages
from littoral.web.dialects.passages import Passage, Untouched, WithoutUsage
from littoral.web.dialects.reading import (
    ask_of,
    checked,
    entry_of,
    is_local,
    json_object,
    without_nulls,
)
from littoral.web.dialects.remembering import memory_in
from littoral.web.dialects.replying import reply_stream, reply_whole, serial_of
from littoral.web.dialects.tools import ToolPlan, ToolWay, plan_tools
from littoral.web.http import Request, Responder

__all__ = [
    "Bias",
    "Count",
    "Penalty",
    "Seed",
    "StopText",
    "StopTexts",
    "StreamOptions",
    "Temperature",
    "TopP",
    "handle",
    "prepared",
    "untouched",
]

Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
TopP = Annotated[float, msgspec.Meta(ge=0, le=1)]
Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
Bias = Annotated[float, msgspec.Meta(ge=-100, le=100)]
Count = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
Seed = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
StopText = Annotated[str, msgspec.Meta(min_length=1)]
StopTexts = Annotated[list[StopText], msgspec.Meta(max_length=limits.STOP_TEXTS_MAX)]


class StreamOptions(msgspec.Struct):
    """What a caller wants of a stream."""

    include_usage: bool | None = None


class _Schema(msgspec.Struct):
    name: str | None = None
    schema: dict[str, object] | None = None


class _Format(msgspec.Struct):
    type: str
    json_schema: _Schema | None = None


class _Chat(msgspec.Struct):
    model: str
    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=limits.CHOICES_MAX)] | None = None
    stop: StopText | StopTexts | None = None
    seed: Seed | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Bias] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    response_format: _Format | None = None
    user: str | None = None


_NOT_HERE: Final = {
    "functions": "send `tools`",
    "function_call": "send `tool_choice`",
    "audio": "models here write text only",
    "web_search_options": "models here search nothing",
}


async def handle(request: Request, responder: Responder, door: Door, caller: Caller) -> None:
    """Answer one chat request."""
    body = without_nulls(json_object(request.body))
    memory = memory_in(request, body)
    fields = _checked_chat(body)
    body, plan = _for_engine(body, fields, door, caller)
    stream = fields.stream is True
    ask = ask_of(request, "chat.completions", Kind.CHAT, body, stream=stream, memory=memory)
    if not ask.stream:
        await reply_whole(
            responder, door, ask, caller, lambda data, answer: _with_calls(data, plan, answer)
        )
        return
    await reply_stream(
        responder, door, ask, caller, lambda answer: _passage(plan, answer, fields.stream_options)
    )


def _checked_chat(body: Mapping[str, object]) -> _Chat:
    fields = checked(body, _Chat)
    if fields.stream_options is not None and not fields.stream:
        raise BadRequestError(
            "`stream_options` is for streams only",
            advice='leave it out, or send "stream": true',
            param="stream_options",
        )
    if fields.top_logprobs is not None and not fields.logprobs:
        raise BadRequestError(
            "`top_logprobs` needs `logprobs`", advice='send "logprobs": true', param="top_logprobs"
        )
    _check_format(fields.response_format)
    return fields


def _check_format(given: _Format | None) -> None:
    if given is None:
        return
    if given.type not in {"text", "json_object", "json_schema"}:
        raise BadRequestError(
            "`response_format.type` is not a format there is",
            advice="send text, json_object or json_schema",
            param="response_format.type",
        )
    if given.type == "json_schema" and (
        given.json_schema is None or given.json_schema.schema is None
    ):
        raise BadRequestError(
            "`response_format.json_schema.schema` is missing",
            param="response_format.json_schema.schema",
        )


def _for_engine(
    body: dict[str, object], fields: _Chat, door: Door, caller: Caller
) -> tuple[dict[str, object], ToolPlan]:
    """The body for the model's engine. Most need no look at the model at all."""
    special = body.keys() & {"tools", "tool_choice", "modalities", *_NOT_HERE}
    if not special and is_plain(fields.messages):
        return body, ToolPlan()
    entry = entry_of(door, caller, fields.model)
    return (body, ToolPlan()) if entry is None else prepared(body, fields.messages, entry)


def prepared(
    body: Mapping[str, object], messages: list[ChatMessage], entry: ModelEntry
) -> tuple[dict[str, object], ToolPlan]:
    """An OpenAI-shaped chat body as this model's engine takes it, and how to read the answer.

    Raises:
        BadRequestError: tools or messages are malformed.
        UnsupportedError: the model can't do what the body asks.
    """
    made = dict(body)
    if is_local(entry):
        _refuse(made)
    if is_local(entry) or entry.tools is ToolSupport.PROMPTED:
        as_text = entry.tools is not ToolSupport.NATIVE
        made["messages"] = local_messages(messages, tools_as_text=as_text)
    return plan_tools(made, entry)


def _refuse(body: Mapping[str, object]) -> None:
    for name, advice in _NOT_HERE.items():
        if name in body:
            raise UnsupportedError(f"`{name}` is not supported", advice=advice, param=name)
    if body.get("modalities", ["text"]) != ["text"]:
        raise UnsupportedError(
            "models here write text only", advice='send "modalities": ["text"]', param="modalities"
        )


def _with_calls(body: bytes, plan: ToolPlan, answer: Answer) -> bytes:
    if plan.way is not ToolWay.AS_IT_IS:
        body = body_with_calls(body, plan, serial_of(answer))
    sources = answer.sources
    return body if sources is None else with_citations(body, sources)


def _passage(plan: ToolPlan, answer: Answer, options: StreamOptions | None) -> Passage:
    made: Passage
    if plan.way is ToolWay.AS_IT_IS:
        made = untouched(options)
    else:
        made = CallRelay(plan, serial_of(answer), keep_usage=_wants_usage(options))
    sources = answer.sources
    return made if sources is None else CitedStream(made, lambda: answer.sources or sources)


def untouched(options: StreamOptions | None) -> Passage:
    """The passage of a stream that is in the client's shape already."""
    return Untouched() if _wants_usage(options) else WithoutUsage()


def _wants_usage(options: StreamOptions | None) -> bool:
    return options is not None and options.include_usage is True
