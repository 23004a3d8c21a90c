"""Which beginnings of prompts an engine keeps, told in at most 1 KB and looked up by anybody.

An engine answers sooner what begins as something it has read lately. Its PoP tells which
beginnings those are, as hashes, so that a gateway can send a conversation to where its past is. A
gateway has no tokenizer of the model, so a prompt is taken by its bytes: it is cut at fixed places
(every 256 bytes, later every eighth of the length), and the hash at each cut is that of all bytes
before it.

Rules
- The hash begins with the scope and the model: no beginning of one scope is one of another's (I10).
- A sketch tells first where prompts ended and where they parted: a prompt that goes on passes
  through both. So 256 hashes tell of some 200 conversations, not of 16. What room is left tells
  cuts 1, 2, 4, … before the ends, for prompts whose last words are not said again.
- A hash has 32 bits. That a prompt of 64 cuts is taken for known by chance, in a sketch of 256
  hashes, happens once in 260,000 times, and costs time only.
- Whoever knows a scope's name can ask a sketch whether a text that he has was asked: give a scope a
  secret part where PoPs of other owners are not to know that.
- Bytes of others are not trusted: a sketch that is too long or cut off says nothing.

It does not know what the engine really keeps: the budget in tokens is an estimate of that.
"""

import struct
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from littoral.terms import limits
from littoral.terms.ids import ModelName

__all__ = ["CUTS", "Sketch", "decoded", "prefixes_of", "prompt_of", "tokens_at", "tokens_of"]

BYTES_PER_TOKEN: Final = 4
"""A mean, for times; limits are computed with a cautious one (serving/plan.py)."""

_HASH_BYTES: Final = 4
_SKETCH_HASHES: Final = limits.PREFIX_SKETCH_BYTES_MAX // _HASH_BYTES
_BLOCK: Final = 256
_GROWTH: Final = 8
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def _cuts() -> tuple[int, ...]:
    cuts = [_BLOCK]
    while cuts[-1] < limits.PREFIX_BYTES_MAX:
        cuts.append(cuts[-1] + max(_BLOCK, cuts[-1] // _GROWTH // _BLOCK * _BLOCK))
    return tuple(cuts)


CUTS: Final = _cuts()
"""Where prompts are cut, in bytes from their beginning; nothing after the last is compared."""

_TOKENS: Final = tuple(cut // BYTES_PER_TOKEN for cut in CUTS)


def tokens_of(prompt_bytes: int) -> int:
    """About how many tokens a prompt of so many bytes has."""
    return prompt_bytes // BYTES_PER_TOKEN + 1


def tokens_at(cut: int) -> int:
    """About how many tokens lie before the cut of this number."""
    return _TOKENS[cut]


def prompt_of(body: Mapping[str, object]) -> bytes:
    """The bytes by which a request's prompt is taken: what a template puts first comes first.

    Args:
        body: OpenAI-shaped, as decoded from JSON; what is odd in it is taken as it is.
    """
    parts: list[str] = []
    if body.get("tools"):
        parts.append(_encode(body["tools"]).decode())
    messages = body.get("messages")
    if isinstance(messages, list):
        for message in messages:
            if not isinstance(message, dict):
                continue
            content = message.get("content")
            text = content if isinstance(content, str) else _encode(content).decode()
            parts += ("\x01", str(message.get("role")), "\x02", text)
            if "tool_calls" in message:
                parts.append(_encode(message["tool_calls"]).decode())
    else:
        prompt = body.get("prompt", "")
        parts.append(prompt if isinstance(prompt, str) else _encode(prompt).decode())
    return "".join(parts).encode(errors="surrogatepass")


def prefixes_of(scope: str, model: ModelName, prompt: bytes) -> tuple[int, ...]:
    """The hash at each cut of a prompt, the shortest beginning first; empty for a short prompt.

    Args:
        scope: whose prompts these are (`Caller.scope`).
        model: the model asked for.
        prompt: as `prompt_of` gives it.
    """
    size = len(prompt)
    if size < _BLOCK:
        return ()
    head = scope.encode()
    digest = blake2b(b"%d:%b%b" % (len(head), head, model.encode()), digest_size=_HASH_BYTES)
    update, taken = digest.update, digest.digest
    hashes = bytearray()
    start = 0
    for cut in CUTS:
        if cut > size:
            break
        update(prompt[start:cut])
        hashes += taken()
        start = cut
    return struct.unpack(f"<{len(hashes) // _HASH_BYTES}I", hashes)


def decoded(sketch: bytes) -> frozenset[int]:
    """The hashes of a sketch; none if it is not one."""
    count, rest = divmod(len(sketch), _HASH_BYTES)
    if rest or count > _SKETCH_HASHES:
        return frozenset()
    return frozenset(struct.unpack(f"<{count}I", sketch))


class _Node:
    """One cut of some prompt that was read lately."""

    __slots__ = ("goes_on", "parent", "spare", "tokens", "told")

    def __init__(self, tokens: int, parent: int | None, cuts_after: int) -> None:
        self.tokens = tokens
        """Between the cut before and this one."""
        self.parent = parent
        self.told = False
        """A prompt ended here, or prompts parted here."""
        self.spare = cuts_after.bit_count() == 1
        """It is told where there is room."""
        self.goes_on = cuts_after > 0
        """A prompt was read that goes on after it."""


class Sketch:
    """What one model's engine keeps: the prompts read last, as many as its cache has tokens for."""

    def __init__(self, kv_tokens: int) -> None:
        """Nothing was read yet.

        Args:
            kv_tokens: what the engine's cache holds; 0 keeps no beginnings at all.
        """
        self._budget = kv_tokens
        self._held = 0
        self._nodes: dict[int, _Node] = {}
        """From the one that was used longest ago; of one prompt, the longest beginning first."""

    def read(self, prefixes: Sequence[int]) -> None:
        """The engine has read a prompt with these `prefixes_of`."""
        nodes = self._nodes
        known = 0
        for prefix in prefixes:
            if prefix not in nodes:
                break
            known += 1
        if known and known < len(prefixes):
            parted = nodes[prefixes[known - 1]]
            parted.told, parted.goes_on = parted.goes_on, True
        for place in range(known, len(prefixes)):
            before = _TOKENS[place - 1] if place else 0
            parent = prefixes[place - 1] if place else None
            node = _Node(_TOKENS[place] - before, parent, len(prefixes) - 1 - place)
            self._put(prefixes[place], node)
        if prefixes:
            nodes[prefixes[-1]].told = True
        for prefix in reversed(prefixes):  # a beginning is kept for longer than what follows it
            nodes[prefix] = nodes.pop(prefix)
        while self._held > self._budget and nodes:
            self._drop(next(iter(nodes)))

    def clear(self) -> None:
        """The engine keeps nothing any more: it was started anew."""
        self._nodes.clear()
        self._held = 0

    def told(self) -> bytes:
        """The sketch for `ModelState.prefixes`: the beginnings used last. It takes 0.1 ms."""
        chosen: list[int] = []
        spare: list[int] = []
        for prefix, node in reversed(self._nodes.items()):
            if node.told:
                chosen.append(prefix)
                if len(chosen) == _SKETCH_HASHES:
                    break
            elif node.spare:
                spare.append(prefix)
        chosen += spare[: _SKETCH_HASHES - len(chosen)]
        return struct.pack(f"<{len(chosen)}I", *chosen)

    def check(self) -> None:
        """Assert what always holds."""
        assert self._held == sum(node.tokens for node in self._nodes.values())
        assert self._held <= max(self._budget, 0)

    def _put(self, prefix: int, node: _Node) -> None:
        old = self._nodes.get(prefix)  # the same 32 bits by chance
        self._held += node.tokens - (old.tokens if old else 0)
        self._nodes[prefix] = node

    def _drop(self, prefix: int) -> None:
        node = self._nodes.pop(prefix)
        self._held -= node.tokens
        parent = None if node.parent is None else self._nodes.get(node.parent)
        if parent is not None and node.told:  # what is left of that prompt ends there
            parent.told = True
