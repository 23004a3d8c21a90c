"""How a relayed answer ended and what it used, read off its first and its last bytes.

A relay does not look at what passes. When all of it has passed, the usage and the reason of the
finish stand in a whole body, or in the last events of a stream (of Anthropic's: in the first, too).

Each API is read in its own words; what can't be read is not guessed.
"""

from typing import Annotated, Final

import msgspec

from littoral.terms.values import Countersigned, Finish, Usage

__all__ = ["Outcome", "outcome_of_body", "outcome_of_stream", "stream_is_whole"]

Tokens = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
"""An upstream that says less than nothing would refund a budget: such a count is not taken."""

_FINISHES: Final = {
    "stop": Finish.STOP,
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "completed": Finish.STOP,
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "incomplete": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "tool_use": Finish.TOOL_CALLS,
}


# Structs, as every answer makes them.
class Outcome(msgspec.Struct, frozen=True):
    """The end of one answer."""

    finish: Finish
    usage: Usage | None
    """None when the answer does not say."""
    spared: int = 0
    """Tokens of the usage that were not computed for it, and are not charged."""
    parent: Countersigned | None = None
    """The receipt of the PoP that has answered, where that is another."""


class _Details(msgspec.Struct):
    cached_tokens: Tokens | None = None


class _Usage(msgspec.Struct):
    """Each API's names for the same three counts."""

    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    prompt_tokens_details: _Details | None = None
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    input_tokens_details: _Details | None = None
    cache_read_input_tokens: Tokens | None = None
    cache_creation_input_tokens: Tokens | None = None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Delta(msgspec.Struct):
    stop_reason: str | None = None


class _Message(msgspec.Struct):
    usage: _Usage | None = None


class _Response(msgspec.Struct):
    status: str | None = None
    usage: _Usage | None = None


class _Body(msgspec.Struct):
    """A whole answer, or one event of a stream, of any of the APIs."""

    choices: list[_Choice] | None = None
    data: list[msgspec.Raw] | None = None
    results: list[msgspec.Raw] | None = None
    usage: _Usage | None = None
    stop_reason: str | None = None
    status: str | None = None
    delta: _Delta | str | None = None
    message: _Message | None = None
    response: _Response | None = None
    error: msgspec.Raw | None = None


_DECODE: Final = msgspec.json.Decoder(_Body).decode


class _Reading:
    """What several events say together: the later word counts, but never none for one."""

    __slots__ = ("cached", "completion", "finish", "prompt", "said")

    def __init__(self) -> None:
        self.finish: Finish | None = None
        self.prompt = self.completion = self.cached = 0
        self.said = False

    def take(self, body: _Body) -> None:
        for choice in body.choices or ():
            self._finished(choice.finish_reason)
        if body.stop_reason is not None:
            self._finished(body.stop_reason)
        if body.status is not None:
            self._finished(body.status)
        if isinstance(body.delta, _Delta):
            self._finished(body.delta.stop_reason)
        if body.response is not None:
            self._finished(body.response.status)
            self._used(body.response.usage)
        if body.message is not None:
            self._used(body.message.usage)
        self._used(body.usage)

    def outcome(self, otherwise: Finish) -> Outcome:
        usage = Usage(self.prompt, self.completion, self.cached) if self.said else None
        return Outcome(self.finish or otherwise, usage)

    def _finished(self, reason: str | None) -> None:
        if reason is not None and reason != "in_progress":
            self.finish = _FINISHES.get(reason, Finish.DONE)

    def _used(self, usage: _Usage | None) -> None:
        if usage is None:
            return
        self.said = True
        details = usage.prompt_tokens_details or usage.input_tokens_details
        read = usage.cache_read_input_tokens
        if usage.prompt_tokens is not None:
            self.prompt = usage.prompt_tokens
        elif usage.input_tokens is not None:
            # Anthropic counts what was computed; what it had already is beside it.
            beside = (read or 0) + (usage.cache_creation_input_tokens or 0)
            self.prompt = usage.input_tokens + (beside if details is None else 0)
        produced = usage.completion_tokens
        produced = usage.output_tokens if produced is None else produced
        if produced is not None:
            self.completion = produced
        if details is not None and details.cached_tokens is not None:
            self.cached = details.cached_tokens
        elif read is not None:
            self.cached = read


def outcome_of_body(body: bytes) -> Outcome | None:
    """The outcome of a whole answer; None when these bytes are no answer of any API."""
    try:
        read = _DECODE(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    reading = _Reading()
    reading.take(read)
    is_answer = any(each is not None for each in (read.choices, read.data, read.results))
    is_answer = is_answer or reading.finish is not None
    return reading.outcome(Finish.DONE) if is_answer else None


def outcome_of_stream(events: bytes) -> Outcome:
    """The outcome that these whole events tell: the first and the last ones of a stream will do."""
    reading = _Reading()
    for line in events.split(b"\n"):
        if not line.startswith(b"data:"):
            continue
        payload = line[5:].strip()
        if payload == b"[DONE]":
            continue
        try:
            reading.take(_DECODE(payload))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue  # an upstream's own kind of event: passed on, not understood
    return reading.outcome(Finish.FAILED)


def stream_is_whole(api: str, tail: bytes) -> bool:
    """Whether a stream that ends in these events was ended by its API's own closing word."""
    match api:
        case "messages":
            return b'"message_stop"' in tail
        case "responses":
            return b'"response.completed"' in tail or b'"response.incomplete"' in tail
        case _:
            return tail.rstrip().endswith((b"data: [DONE]", b"data:[DONE]"))
