"""A deterministic engine for tests and benches: it computes nothing and says so.

It answers with the caller's own words, or with as many made-up words as `"echo": {"tokens": N,
"interval_ms": M}` in the body asks for, evenly paced. A token is a word. The same request always
gets the same answer; `seed` changes the made-up words.

Not here: the words and shapes (echo_words.py).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager

import msgspec

from littoral.adapters.engines.assemble import Assembly, Json
from littoral.adapters.engines.echo_words import (
    Script,
    count_words,
    embedding_of,
    prompt_words,
    script_of,
)
from littoral.adapters.engines.fan import Join, Part, parts_of
from littoral.adapters.engines.place import EnginePlace
from littoral.adapters.engines.vectors import embed_wish, packed
from littoral.adapters.http.client import once
from littoral.adapters.http.events import DONE
from littoral.terms.errors import ContextLengthError
from littoral.terms.ports import Clock
from littoral.terms.values import (
    SECOND,
    EngineCall,
    EngineInfo,
    EngineKind,
    EngineState,
    Kind,
    ModelEntry,
    Ready,
)

__all__ = ["EchoEngine"]

BUILD = "echo 1 (deterministic test engine)"


class EchoEngine:
    """Stands in for a model where no model is wanted."""

    def __init__(self, entry: ModelEntry, place: EnginePlace, *, clock: Clock) -> None:
        """Nothing to start; `clock` gives the date of answers."""
        self._entry = entry
        self._place = place
        self._clock = clock

    async def serve(self, report: Callable[[EngineState], None]) -> None:
        """Be ready until cancelled."""
        info = EngineInfo(
            engine=EngineKind.ECHO,
            build=BUILD,
            device="none",
            slots=self._place.slots,
            context_tokens=self._entry.context_tokens,
        )
        report(Ready(info))
        await asyncio.Event().wait()

    @asynccontextmanager
    async def open(self, call: EngineCall) -> AsyncIterator[AsyncIterator[bytes]]:
        """Do the work while the context is open; see the port."""
        if call.kind is Kind.EMBED:
            yield once(self._embed(call.body))
            return
        parts = parts_of(call.kind, call.body)
        scripts = [script_of(call.kind, part) for part in parts]
        for part in parts:
            self._check_length(part.body)
        async with aclosing(self._events(call.kind, parts, scripts)) as events:
            if call.stream:
                yield _as_bytes(events, paced=scripts[0].interval_ms > 0)
            else:
                assembly = Assembly(chat=call.kind is Kind.CHAT)
                async for event in events:
                    assembly.add(event)
                yield once(msgspec.json.encode(assembly.body()))

    async def count(self, call: EngineCall) -> int | None:
        """Words of the prompt."""
        if call.kind is Kind.EMBED:
            return sum(map(count_words, embed_wish(call.body, self._dimensions).texts))
        parts = parts_of(call.kind, {**call.body, "n": 1})
        return sum(len(prompt_words(part.body)) for part in parts)

    @property
    def _dimensions(self) -> int:
        return self._entry.dimensions or 8

    def _check_length(self, body: Mapping[str, object]) -> None:
        words = len(prompt_words(body))
        if words > self._entry.context_tokens:
            raise ContextLengthError(prompt_tokens=words, context_tokens=self._entry.context_tokens)

    async def _events(
        self, kind: Kind, parts: list[Part], scripts: list[Script]
    ) -> AsyncGenerator[Json]:
        """Every choice's events in turn, a word of each at a time, and the usage of all."""
        join = Join(parts)
        identity = self._identity(kind)
        stages = [script.events() for script in scripts]
        for step in range(max(len(events) for events in stages)):
            if scripts[0].interval_ms > 0:
                await asyncio.sleep(scripts[0].interval_ms / 1000)
            for part, events in zip(parts, stages, strict=True):
                if step < len(events):
                    shown = join.take(part, {**identity, **events[step]})
                    if shown is not None:
                        yield shown
        yield join.last()

    def _identity(self, kind: Kind) -> Json:
        chat = kind is Kind.CHAT
        return {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-echo-{self._clock.random_bytes(8).hex()}",
            "object": "chat.completion.chunk" if chat else "text_completion",
            "created": self._clock.unix_ns() // SECOND,
            "model": self._entry.name,
            "system_fingerprint": "echo-1",
        }

    def _embed(self, body: Mapping[str, object]) -> bytes:
        wish = embed_wish(body, self._dimensions)
        total = 0
        data: list[Json] = []
        for index, text in enumerate(wish.texts):
            words = count_words(text)
            if words > self._entry.context_tokens:
                raise ContextLengthError(
                    prompt_tokens=words, context_tokens=self._entry.context_tokens, what="text"
                )
            total += words
            vector = embedding_of(text, self._dimensions)
            shown = packed(vector) if wish.base64 else vector
            data.append({"object": "embedding", "index": index, "embedding": shown})
        usage = {"prompt_tokens": total, "total_tokens": total}
        return msgspec.json.encode(
            {"object": "list", "model": self._entry.name, "data": data, "usage": usage}
        )


async def _as_bytes(events: AsyncIterator[Json], *, paced: bool) -> AsyncIterator[bytes]:
    """Events as they come when they are paced; all at once when they are not."""
    pieces: list[bytes] = []
    async for event in events:
        pieces.append(b"data: " + msgspec.json.encode(event) + b"\n\n")
        if paced:
            yield pieces.pop()
    yield b"".join([*pieces, DONE])
