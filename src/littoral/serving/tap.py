"""Reads usage and finish off an engine's bytes while they pass; changes none.

What budgets, metrics and receipts need is decoded (msgspec, about 1 µs an event), the rest skipped.
"""

from typing import Annotated, Final

import msgspec

from littoral.terms.kinds import writes
from littoral.terms.values import Finish, Kind, Usage

__all__ = ["Tap"]


Tokens = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
"""An upstream that says less than nothing would refund a budget: such a count is not taken."""


class _Details(msgspec.Struct):
    cached_tokens: Tokens | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0
    total_tokens: Tokens = 0
    prompt_tokens_details: _Details | None = None


class _Text(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Text | None = None
    message: _Text | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Piece(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None


_DECODE: Final = msgspec.json.Decoder(_Piece).decode
_FINISHES: Final = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
}


class Tap:
    """What one answer has said so far."""

    def __init__(self, kind: Kind, *, stream: bool) -> None:
        self._kind = kind
        self._writes = writes(kind)
        self._stream = stream
        self._pieces = 0
        self._usage: Usage | None = None
        self.finish = Finish.DONE

    def feed(self, data: bytes) -> None:
        """Take bytes as `Engine.open` yields them: whole events, or one whole body."""
        if not self._stream:
            self._take(data)
            return
        for line in data.splitlines():
            if line.startswith(b"data:"):
                payload = line[5:].strip()
                if payload != b"[DONE]":
                    self._take(payload)

    def usage(self, *, prompt_tokens: int) -> Usage:
        """Tokens used so far, as the engine said; before it did, one for each piece of text.

        Args:
            prompt_tokens: what to take for the prompt until the engine says it.
        """
        return self._usage or Usage(prompt_tokens, self._pieces)

    def _take(self, payload: bytes) -> None:
        try:
            piece = _DECODE(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return  # an upstream's own kind of event: passed on, not understood
        if piece.usage is not None:
            details = piece.usage.prompt_tokens_details
            self._usage = Usage(
                self._read(piece.usage),
                piece.usage.completion_tokens,
                (details.cached_tokens or 0) if details else 0,
            )
        if not self._writes:
            return
        for choice in piece.choices:
            part = choice.delta or choice.message
            said = part.content if part else choice.text
            if said:
                self._pieces += 1
            if choice.finish_reason is not None:
                self.finish = _FINISHES.get(choice.finish_reason, Finish.DONE)

    def _read(self, said: _Usage) -> int:
        """Tokens of the prompt; Jina and vLLM say only the total of passages that are sorted."""
        if self._kind is Kind.RERANK:
            return said.prompt_tokens or said.total_tokens
        return said.prompt_tokens
