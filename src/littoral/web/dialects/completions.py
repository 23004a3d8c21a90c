"""OpenAI's legacy completions: a prompt in, more text out, no conversation.

The engines speak this API, `echo` and its own shape of `logprobs` included, so their bytes go
through untouched. They also say what they do not do: `suffix`, `best_of`, `echo` of token arrays
or with `logprobs`.
"""

from typing import Annotated

import msgspec

from littoral.terms import limits
from littoral.terms.errors import BadRequestError
from littoral.terms.ports import Door
from littoral.terms.values import Caller, Kind
from littoral.web.dialects.chat import (
    Bias,
    Count,
    Penalty,
    Seed,
    StopText,
    StopTexts,
    StreamOptions,
    Temperature,
    TopP,
    untouched,
)
from littoral.web.dialects.reading import ask_of, checked, json_object, without_nulls
from littoral.web.dialects.remembering import refuse_memory
from littoral.web.dialects.replying import reply_stream, reply_whole
from littoral.web.http import Request, Responder

__all__ = ["handle"]


class _Completion(msgspec.Struct):
    model: str
    prompt: str | list[object]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=limits.CHOICES_MAX)] | None = None
    best_of: Count | None = None
    echo: bool | None = None
    suffix: str | None = None
    stop: StopText | StopTexts | None = None
    seed: Seed | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Bias] | None = None
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    user: str | None = None


async def handle(request: Request, responder: Responder, door: Door, caller: Caller) -> None:
    """Answer one completions request."""
    body = without_nulls(json_object(request.body))
    refuse_memory(body, "completions")
    fields = checked(body, _Completion)
    _check_prompts(fields.prompt, fields.n or 1)
    stream = fields.stream is True
    ask = ask_of(request, "completions", Kind.COMPLETE, body, stream=stream)
    if stream:
        passage = untouched(fields.stream_options)
        await reply_stream(responder, door, ask, caller, lambda _: passage)
    else:
        await reply_whole(responder, door, ask, caller)


def _check_prompts(given: str | list[object], count: int) -> None:
    """A prompt is a text or an array of token numbers; a request has one or several."""
    prompts = [given] if _is_prompt(given) else given
    if not prompts or not all(map(_is_prompt, prompts)):
        raise BadRequestError(
            "`prompt` must be a text, texts, or arrays of token numbers", param="prompt"
        )
    if len(prompts) * count > limits.CHOICES_MAX:
        raise BadRequestError(
            f"the request asks for {len(prompts) * count} choices",
            advice=f"ask for at most {limits.CHOICES_MAX} at a time",
            param="n" if len(prompts) == 1 else "prompt",
        )


def _is_prompt(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and all(type(each) is int and each >= 0 for each in value)
    return isinstance(value, str)
