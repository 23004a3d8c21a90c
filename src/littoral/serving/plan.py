"""From what a client asked to what an engine is told: defaults filled in, sizes bounded.

Pure functions. What a client said is never changed; only what it left open is filled in, from the
model's own entry (a model that loops without a plain system prompt gets one).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from littoral.terms import limits
from littoral.terms.errors import BadRequestError, ContextLengthError, UnsupportedError
from littoral.terms.ids import ReceiptId
from littoral.terms.kinds import does, writes
from littoral.terms.values import Ask, EngineCall, EngineKind, Kind, ModelEntry

__all__ = ["BYTES_PER_TOKEN", "Plan", "counted_plan", "plan_of", "seed_for"]

TEMPLATE_TOKENS: Final = 64
"""Most that a chat template adds around a conversation, besides its messages."""

TEMPLATE_TOKENS_PER_MESSAGE: Final = 16
"""Most that a chat template adds around one message."""

PAIR_TOKENS: Final = 8
"""Most that a model which sorts passages puts around a question and one of them."""

BYTES_PER_TOKEN: Final = 3
"""For upstreams, whose tokenizer we do not have: a cautious mean (English is nearer to 4)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One request, ready for its engine, with what it may come to use."""

    call: EngineCall
    prompt_tokens: int
    """Of all prompts together: never less than they have (a token is at least one byte), except
    for upstreams, where it is an estimate; exact once it was counted."""
    completion_tokens: int
    """Most that all choices together may generate."""
    prompts: int = 1
    each: int = 1
    """Choices for each prompt."""

    @property
    def choices(self) -> int:
        """Sequences that an engine works on."""
        return self.prompts * self.each

    @property
    def tokens_bound(self) -> int:
        """What the request may use in all: each choice has its prompt to itself."""
        return self.prompt_tokens * self.each + self.completion_tokens


def seed_for(nonce: str, name: ReceiptId) -> int:
    """A sampling seed that neither side picks alone, so that an answer can be run again."""
    digest = hashlib.sha256(f"{nonce}|{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFF_FFFF


def plan_of(ask: Ask, entry: ModelEntry, *, seed: int) -> Plan:
    """What to tell the engine.

    Args:
        ask: the request; its body is OpenAI-shaped.
        entry: the model's entry, whose defaults fill what the request leaves open.
        seed: for sampling, when the request names none, so that every answer can be run again.

    Raises:
        UnsupportedError: the model does not do this kind of work.
        BadRequestError: a field that matters here has the wrong type or range.
    """
    if not does(entry, ask.kind):
        raise UnsupportedError(
            f"{entry.name} does not do {ask.kind.value}",
            advice=f"it does {', '.join(kind.value for kind in entry.kinds)}",
            param="model",
        )
    if not writes(ask.kind):
        call = EngineCall(ask.kind, ask.body, stream=False, model=entry.name)
        return Plan(call, _prompt_bound(ask, entry), completion_tokens=0)
    body = _with_defaults(ask, entry, seed)
    prompts, each = _prompts(body), _count(body, "n", 1, limits.CHOICES_MAX)
    most = _count(body, "max_tokens", limits.COMPLETION_TOKENS, 2**31 - 1)
    call = EngineCall(ask.kind, body, stream=ask.stream, model=entry.name)
    return Plan(call, _prompt_bound(ask, entry), most * prompts * each, prompts, each)


def counted_plan(plan: Plan, *, prompt_tokens: int, context_tokens: int, cache_tokens: int) -> Plan:
    """The plan once the prompt has been counted: exact, and generating only what can fit.

    Args:
        plan: with a bound on its prompt.
        prompt_tokens: of all its prompts together.
        context_tokens: most that one sequence may have; 0 when nobody here knows.
        cache_tokens: what all sequences share; 0 when the engine looks after it.

    Raises:
        ContextLengthError: the prompt leaves no room for an answer.
        BadRequestError: so many choices do not fit beside each other.
    """
    exact = replace(plan, prompt_tokens=prompt_tokens)
    if not writes(plan.call.kind) or not context_tokens:
        return exact
    if plan.prompts == 1:
        if prompt_tokens >= context_tokens:
            raise ContextLengthError(prompt_tokens=prompt_tokens, context_tokens=context_tokens)
        exact = _cut_to(exact, context_tokens - prompt_tokens)
        if cache_tokens:
            exact = _cut_to(exact, max(1, cache_tokens // exact.choices - prompt_tokens))
    if cache_tokens and exact.tokens_bound > cache_tokens:
        raise BadRequestError(
            f"{exact.choices} choices of {exact.tokens_bound} tokens in all do not fit beside each "
            f"other in {cache_tokens}",
            advice="ask for fewer choices or prompts at a time, or a smaller max_tokens",
            param="n",
        )
    return exact


def _cut_to(plan: Plan, room: int) -> Plan:
    """The plan with no choice generating more than there is room for."""
    if "max_tokens" not in plan.call.body or plan.completion_tokens <= room * plan.choices:
        return plan
    call = replace(plan.call, body={**plan.call.body, "max_tokens": room})
    return replace(plan, call=call, completion_tokens=room * plan.choices)


def _with_defaults(ask: Ask, entry: ModelEntry, seed: int) -> Mapping[str, object]:
    body = {name: value for name, value in ask.body.items() if value is not None}
    defaults = entry.defaults
    if "max_completion_tokens" in body:
        body["max_tokens"] = body.pop("max_completion_tokens")
    given = {
        "temperature": defaults.temperature,
        "top_p": defaults.top_p,
        "max_tokens": defaults.max_tokens,
        "stop": list(defaults.stop) or None,
    }
    if entry.engine is not EngineKind.UPSTREAM:
        given["max_tokens"] = defaults.max_tokens or limits.COMPLETION_TOKENS
        given["seed"] = seed
    for name, value in given.items():
        if value is not None and name not in body:
            body[name] = value
    if ask.kind is Kind.CHAT and defaults.system is not None:
        body["messages"] = _with_system(body.get("messages"), defaults.system)
    return body


def _with_system(messages: object, system: str) -> object:
    """The conversation, opened by a system message if it has none."""
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        return messages  # the engine says what is wrong with it
    roles = [message.get("role") for message in messages if isinstance(message, Mapping)]
    if "system" in roles or "developer" in roles:
        return messages
    return [{"role": "system", "content": system}, *messages]


def _prompt_bound(ask: Ask, entry: ModelEntry) -> int:
    """At least the prompt's tokens: the request's bytes, and what memory and the template add."""
    said = len(ask.raw)
    if ask.memory is not None:  # what memory gave is not in what the client has sent
        said = max(said, len(msgspec.json.encode(ask.body.get("messages"))))
    if ask.kind is Kind.RERANK:
        said += _asked_again(ask.body)
    if entry.engine is EngineKind.UPSTREAM:
        return said // BYTES_PER_TOKEN + 1
    messages = ask.body.get("messages")
    count = len(messages) if isinstance(messages, Sequence) else 1
    system = len((entry.defaults.system or "").encode())
    return said + system + TEMPLATE_TOKENS + TEMPLATE_TOKENS_PER_MESSAGE * count


def _asked_again(body: Mapping[str, object]) -> int:
    """Bytes of a question that each passage is read with, and of the marks between them."""
    query, documents = body.get("query"), body.get("documents")
    if not isinstance(query, str) or not isinstance(documents, Sequence):
        return 0  # the engine says what is wrong with it
    return (len(query.encode()) + PAIR_TOKENS) * len(documents)


def _prompts(body: Mapping[str, object]) -> int:
    """How many prompts a completions request has: a list of texts is one each."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        if len(prompt) > limits.CHOICES_MAX:
            raise BadRequestError(
                f"{len(prompt)} prompts in one request",
                advice=f"send at most {limits.CHOICES_MAX}",
                param="prompt",
            )
        return len(prompt)
    return 1


def _count(body: Mapping[str, object], name: str, default: int, most: int) -> int:
    """A whole number of at least 1 in the body."""
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise BadRequestError(
            f"{name} is {value!r:.40}",
            advice=f"give a whole number from 1 to {most}",
            param=name,
        )
    return value
