"""One request as several: `n` choices and lists of prompts, sent apart and joined again.

llama.cpp counts the tokens of one choice only when it is asked for several, so each choice is a
request of its own here. The joined answer has one id, numbered choices, and the usage of them all:
a prompt counts once however many choices it has.

Legacy completions get OpenAI's legacy shape here too: `echo`, and `logprobs` as parallel lists.

Not here: bytes and sockets. Everything in this module is a plain function of its arguments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from littoral.adapters.engines.assemble import Json
from littoral.terms import limits
from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.values import Kind

__all__ = ["Join", "Part", "parts_of"]

_ALTERNATIVES_MAX: Final = 20
"""Alternatives per token, as OpenAI allows; without a bound one answer could hold a vocabulary."""

_TOKEN_MAX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Part:
    """One choice: what to send for it, and how to show it."""

    index: int
    prompt_index: int
    body: Json
    echo: str = ""
    """Prompt text to put before the answer."""
    legacy_logprobs: int | None = None
    """Alternatives per token to show in the legacy shape; None shows none."""


def parts_of(kind: Kind, body: Mapping[str, object]) -> list[Part]:
    """The requests, one per choice, that this one stands for.

    Raises:
        BadRequestError: `n` or `prompt` is of no use, or there are too many choices.
        UnsupportedError: it asks for an option of completions that no choice can have.
    """
    count = 1 if body.get("n") is None else body["n"]
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise BadRequestError("`n` must be a whole number of at least 1", param="n")
    _check_alternatives(body)
    prompts = _prompts(body.get("prompt")) if kind is Kind.COMPLETE else [None]
    if count * len(prompts) > limits.CHOICES_MAX:
        raise BadRequestError(
            f"{count * len(prompts)} choices are asked for",
            advice=f"ask for at most {limits.CHOICES_MAX} (prompts times `n`)",
            param="n",
        )
    if kind is Kind.COMPLETE:
        _refuse_unsupported(body, count)
    parts: list[Part] = []
    for prompt_index, prompt in enumerate(prompts):
        for _ in range(count):
            parts.append(_part(len(parts), prompt_index, prompt, body))
    return parts


def _part(index: int, prompt_index: int, prompt: object, body: Mapping[str, object]) -> Part:
    single: Json = {name: value for name, value in body.items() if name != "n"}
    seed = body.get("seed")
    if isinstance(seed, int):
        single["seed"] = seed + index
    if prompt is None:
        return Part(index, prompt_index, single)
    single["prompt"] = prompt
    wanted = body.get("logprobs")
    shown = wanted if isinstance(wanted, int) and not isinstance(wanted, bool) else None
    if shown is not None:
        single["logprobs"] = max(1, shown)  # 0 asks for the chosen tokens alone
    echo = cast("str", prompt) if body.get("echo") is True else ""
    return Part(index, prompt_index, single, echo, shown)


def _prompts(prompt: object) -> list[object]:
    """The prompts of a completions request: text, tokens, or a list of either."""
    prompts = [prompt] if isinstance(prompt, str) or _are_tokens(prompt) else prompt
    if not isinstance(prompts, list) or not prompts:
        raise BadRequestError("`prompt` must be text, tokens, or a list of them", param="prompt")
    if not all(isinstance(one, str) or _are_tokens(one) for one in prompts):
        raise BadRequestError("a prompt must be text or a list of tokens", param="prompt")
    return prompts


def _are_tokens(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_token, value))


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _TOKEN_MAX


def _check_alternatives(body: Mapping[str, object]) -> None:
    for name in ("top_logprobs", "logprobs"):
        wanted = body.get(name)
        if wanted is None or isinstance(wanted, bool):
            continue
        if not isinstance(wanted, int) or not 0 <= wanted <= _ALTERNATIVES_MAX:
            raise BadRequestError(
                f"`{name}` must be a whole number from 0 to {_ALTERNATIVES_MAX}", param=name
            )


def _refuse_unsupported(body: Mapping[str, object], count: int) -> None:
    if body.get("suffix"):
        raise UnsupportedError("this model does not fill in before a `suffix`", param="suffix")
    if body.get("best_of") not in {None, count}:
        raise UnsupportedError("`best_of` other than `n` is not supported", param="best_of")
    if body.get("echo") is not True:
        return
    if body.get("logprobs") is not None:
        raise UnsupportedError("`echo` with `logprobs` is not supported", param="echo")
    prompt = body.get("prompt")
    texts = prompt if isinstance(prompt, list) else [prompt]
    if not all(isinstance(text, str) for text in texts):
        raise UnsupportedError("`echo` of a prompt of tokens is not supported", param="echo")


@dataclass(slots=True)
class _Shown:
    """How far one choice of a legacy completion has been shown."""

    echo: str
    offset: int = 0


@dataclass(slots=True)
class Join:
    """Puts the events of several answers into one answer's order and numbering."""

    parts: list[Part]
    _identity: Json = field(default_factory=dict)
    _usage: dict[int, Json] = field(default_factory=dict)
    _timings: object = None
    _shown: dict[int, _Shown] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Nothing is shown yet."""
        self._shown = {part.index: _Shown(part.echo) for part in self.parts}

    def take(self, part: Part, event: Json) -> Json | None:
        """The event to show for this one of a part, or None when there is nothing to show."""
        if not self._identity:
            names = ("id", "object", "created", "model", "system_fingerprint")
            self._identity = {name: event[name] for name in names if name in event}
        usage = event.get("usage")
        if isinstance(usage, dict):
            self._usage[part.index] = usage
            self._timings = event.get("timings")
        choices = cast("list[Json]", event.get("choices") or [])
        if not choices:
            return None
        return {**self._identity, "choices": [self._choice(part, choice) for choice in choices]}

    def last(self) -> Json:
        """The event after all others: everybody's usage."""
        last: Json = {**self._identity, "choices": [], "usage": self._total()}
        if len(self.parts) == 1 and self._timings is not None:
            last["timings"] = self._timings
        return last

    def _choice(self, part: Part, choice: Json) -> Json:
        choice = {**choice, "index": part.index}
        shown = self._shown[part.index]
        if shown.echo:
            choice["text"] = shown.echo + cast("str", choice.get("text") or "")
            shown.echo = ""
        if part.legacy_logprobs is not None:
            choice["logprobs"] = _legacy(choice.get("logprobs"), part.legacy_logprobs, shown)
        return choice

    def _total(self) -> Json:
        prompts: dict[int, tuple[int, int]] = {}
        completion = 0
        for part in self.parts:
            usage = self._usage.get(part.index, {})
            details = usage.get("prompt_tokens_details")
            cached = _number(details, "cached_tokens") if isinstance(details, dict) else 0
            prompts.setdefault(part.prompt_index, (_number(usage, "prompt_tokens"), cached))
            completion += _number(usage, "completion_tokens")
        prompt = sum(tokens for tokens, _ in prompts.values())
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": sum(n for _, n in prompts.values())},
        }


def _legacy(logprobs: object, alternatives: int, shown: _Shown) -> Json | None:
    """A chat-shaped `logprobs` in the legacy shape: parallel lists, offsets into the text."""
    entries = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(entries, list):
        return None
    tokens = [cast("str", entry["token"]) for entry in entries]
    offsets: list[int] = []
    for token in tokens:
        offsets.append(shown.offset)
        shown.offset += len(token)
    tops = [
        {top["token"]: top["logprob"] for top in entry.get("top_logprobs", [])[:alternatives]}
        for entry in entries
    ]
    return {
        "tokens": tokens,
        "token_logprobs": [entry["logprob"] for entry in entries],
        "top_logprobs": tops if alternatives else None,
        "text_offset": offsets,
    }


def _number(values: Json, name: str) -> int:
    value = values.get(name)
    return value if isinstance(value, int) else 0
