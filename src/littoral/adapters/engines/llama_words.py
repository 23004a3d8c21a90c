"""Between our words and llama.cpp's: what of a request it gets to see, and what its errors mean.

Only the fields listed here are passed, within the ranges given here. Others would let one caller
choose another's slot; and a number that llama.cpp takes as it comes can ask for gigabytes.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from littoral.adapters.engines.assemble import Json
from littoral.terms.errors import (
    BadRequestError,
    ContextLengthError,
    EngineFailedError,
    LittoralError,
    UnsupportedError,
)
from littoral.terms.values import Kind

__all__ = ["error_of", "fields_of"]

_SAMPLING: Final = frozenset(
    {
        *("max_tokens", "ignore_eos", "stop", "seed", "logprobs", "logit_bias"),
        *("temperature", "top_p", "top_k", "min_p", "typical_p"),
        *("presence_penalty", "frequency_penalty", "repeat_penalty", "repeat_last_n"),
        *("response_format", "json_schema"),
    }
)
_FIELDS: Final = {
    Kind.CHAT: _SAMPLING
    | {"messages", "tools", "tool_choice", "parallel_tool_calls"}
    | {"top_logprobs", "chat_template_kwargs", "verbose"},
    Kind.COMPLETE: _SAMPLING | {"prompt"},
}

_RANDOM_SEED: Final = 2**32 - 1
"""llama.cpp takes this one for "choose any", and such an answer could not be run again."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Penalty = Annotated[float, msgspec.Meta(ge=-10, le=10)]


class _Ranges(msgspec.Struct):
    """Types and ranges of the fields that no dialect declares, and of those that are large."""

    max_tokens: Annotated[int, msgspec.Meta(ge=1, lt=2**31)] | None = None
    ignore_eos: bool | None = None
    seed: int | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] | None = None
    top_p: Share | None = None
    min_p: Share | None = None
    typical_p: Share | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repeat_penalty: Penalty | None = None
    repeat_last_n: Annotated[int, msgspec.Meta(ge=0)] | None = None
    json_schema: dict[str, object] | None = None
    chat_template_kwargs: dict[str, object] | None = None
    verbose: bool | None = None


def fields_of(kind: Kind, body: Mapping[str, object], context_tokens: int) -> Json:
    """The part of a request's body that goes to llama.cpp.

    Raises:
        BadRequestError: a field has a type or a value that is not taken.
    """
    allowed = _FIELDS[kind]
    passed = {name: value for name, value in body.items() if name in allowed and value is not None}
    if "max_completion_tokens" in body:
        passed["max_tokens"] = body["max_completion_tokens"]
    try:
        ranges = msgspec.convert(passed, _Ranges)
    except msgspec.ValidationError as error:
        raise BadRequestError(f"the engine does not take this request: {error}") from None
    if ranges.repeat_last_n is not None and ranges.repeat_last_n > context_tokens:
        raise BadRequestError(
            f"`repeat_last_n` is over the context of {context_tokens} tokens", param="repeat_last_n"
        )
    if ranges.seed is not None:
        seed = ranges.seed % 2**32
        passed["seed"] = 0 if seed == _RANDOM_SEED else seed
    return passed


_TOO_LARGE: Final = re.compile(r"input \((\d+) tokens\) is too large.*batch size: (\d+)")
"""How it says that a text to embed is over its context; the counts are nowhere else."""

_SAID_CHARS_MAX: Final = 300


class _Error(msgspec.Struct):
    message: str = "it did not say why"
    type: str = ""
    n_prompt_tokens: int = 0
    n_ctx: int = 0


class _ErrorBody(msgspec.Struct):
    error: _Error


def error_of(raw: bytes, status: int) -> LittoralError:
    """Ours for llama.cpp's error."""
    try:
        error = msgspec.json.decode(raw, type=_ErrorBody).error
    except msgspec.MsgspecError:
        return EngineFailedError(f"the engine answered {status} without saying why")
    if error.type == "exceed_context_size_error":
        return ContextLengthError(prompt_tokens=error.n_prompt_tokens, context_tokens=error.n_ctx)
    if (counts := _TOO_LARGE.search(error.message)) is not None:
        tokens, most = map(int, counts.groups())
        return ContextLengthError(prompt_tokens=tokens, context_tokens=most, what="text")
    said = error.message.partition("\n")[0][:_SAID_CHARS_MAX]  # more lines quote the request
    if "is not supported" in said:
        return UnsupportedError(f"this model can't do that: {said}")
    if status == 400 or said.startswith("Failed to parse"):
        return BadRequestError(f"the engine does not take this request: {said}")
    return EngineFailedError(f"the engine failed: {said}")
