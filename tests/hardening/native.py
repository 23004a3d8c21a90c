"""An upstream that speaks Anthropic's API and OpenAI's responses itself, so none is translated."""

import asyncio
import json

from tests.hardening.upstreams import Asked, Truth, plain, truth
from tests.web.fake_door import USAGE, WORDS

__all__ = ["native", "native_truth"]

_TEXT = "".join(WORDS)


def _event(kind: str, **more: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


def _message(text: str | None, tokens: int, reason: str | None) -> dict[str, object]:
    return {
        "id": "msg_theirs",
        "type": "message",
        "role": "assistant",
        "model": "theirs",
        "content": [] if text is None else [{"type": "text", "text": text}],
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": USAGE.prompt_tokens, "output_tokens": tokens},
    }


def _message_stream() -> list[bytes]:
    tokens = {"output_tokens": USAGE.completion_tokens}
    deltas = [{"type": "text_delta", "text": word} for word in WORDS]
    return [
        _event("message_start", message=_message(None, 1, None)),
        _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *(_event("content_block_delta", index=0, delta=delta) for delta in deltas),
        _event("content_block_stop", index=0),
        _event(
            "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=tokens
        ),
        _event("message_stop"),
    ]


def _item(*texts: str) -> dict[str, object]:
    """One message of a response."""
    return {
        "id": "msg_theirs",
        "type": "message",
        "role": "assistant",
        "status": "completed" if texts else "in_progress",
        "content": [_part(text) for text in texts],
    }


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": []}


def _response(*texts: str) -> dict[str, object]:
    usage = {
        "input_tokens": USAGE.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": USAGE.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": USAGE.total_tokens,
    }
    return {
        "id": "resp_theirs",
        "object": "response",
        "created_at": 1,
        "status": "completed" if texts else "in_progress",
        "model": "theirs",
        "output": [_item(*texts)] if texts else [],
        "usage": usage if texts else None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def _response_stream() -> list[bytes]:
    item = {"output_index": 0}
    part = {**item, "item_id": "msg_theirs", "content_index": 0}
    told: list[tuple[str, dict[str, object]]] = [
        ("created", {"response": _response()}),
        ("output_item.added", {**item, "item": _item()}),
        ("content_part.added", {**part, "part": _part("")}),
        *(("output_text.delta", {**part, "delta": word, "logprobs": []}) for word in WORDS),
        ("output_text.done", {**part, "text": _TEXT, "logprobs": []}),
        ("content_part.done", {**part, "part": _part(_TEXT)}),
        ("output_item.done", {**item, "item": _item(_TEXT)}),
        ("completed", {"response": _response(_TEXT)}),
    ]
    return [
        _event(f"response.{kind}", sequence_number=number, **more)
        for number, (kind, more) in enumerate(told)
    ]


def native_truth(asked: Asked) -> Truth:
    """The right answer to this request, in the API that it was asked in."""
    match asked.path:
        case "/v1/messages":
            message = json.dumps(_message(_TEXT, USAGE.completion_tokens, "end_turn")).encode()
            pieces = _message_stream() if asked.streams else [message]
        case "/v1/responses":
            response = json.dumps(_response(_TEXT)).encode()
            pieces = _response_stream() if asked.streams else [response]
        case _:
            return truth(asked)
    return Truth("text/event-stream" if asked.streams else "application/json", pieces)


async def native(asked: Asked, writer: asyncio.StreamWriter) -> bool:
    """Answer as a good upstream does, in each API."""
    writer.write(plain(native_truth(asked)))
    return True
