"""llama.cpp in a worker process: chat, completions and embeddings of a GGUF model.

Rules
- The worker is always asked to stream, because it notices a client that left only then. Without
  `stream` the body is put together here.
- A single streamed choice passes through as bytes, cut at event boundaries and not read. What
  needs more (several choices, `echo`, legacy `logprobs`, no streaming) is read event by event.
- Each choice has a slot of its own (placement/seats.py): what one key's prompt left in a slot is
  never used for another key, which could otherwise guess it from the usage.
- llama.cpp's errors become ours; an over-long prompt is refused with both counts.

Not here: the process (worker.py), joining and shapes (fan.py, assemble.py).
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Final

import msgspec

from littoral.adapters.cores import granted_cores
from littoral.adapters.engines.assemble import Assembly, Json
from littoral.adapters.engines.fan import Join, Part, parts_of
from littoral.adapters.engines.llama_words import error_of, fields_of
from littoral.adapters.engines.place import EnginePlace
from littoral.adapters.engines.vectors import embed_wish, packed
from littoral.adapters.engines.worker import Worker, WorkerPlan
from littoral.adapters.http.client import Response, once
from littoral.adapters.http.events import (
    DONE,
    EVENT_BYTES_MAX,
    EventCutter,
    EventTooLongError,
    data_of,
    each,
    error_in,
)
from littoral.placement.seats import Seat, Seats
from littoral.placement.threads import ThreadGovernor, threads_for
from littoral.terms.errors import (
    EngineFailedError,
    LittoralError,
)
from littoral.terms.facts import ThreadsStepped
from littoral.terms.limits import ANSWER_BYTES_MAX
from littoral.terms.ports import Clock, Observe
from littoral.terms.values import (
    EngineCall,
    EngineInfo,
    EngineKind,
    EngineState,
    Kind,
    ModelEntry,
    Ready,
)

__all__ = ["LlamaEngine"]

_PATHS: Final = {Kind.CHAT: "/v1/chat/completions", Kind.COMPLETE: "/v1/completions"}

_Events = asyncio.Queue[tuple[Part, Json | LittoralError | None]]

_QUEUE_MAX: Final = 64
"""Events of all parts that wait for a slow reader."""

_TAIL_BYTES: Final = 2048
"""The end of a stream: usage, timings, and the mark that it is complete."""


class LlamaEngine:
    """One GGUF model on llama.cpp."""

    def __init__(
        self,
        entry: ModelEntry,
        place: EnginePlace,
        *,
        clock: Clock,
        observe: Observe,
        current: Callable[[], ModelEntry] | None = None,
    ) -> None:
        """Start nothing yet; `serve` does.

        Args:
            entry: the model.
            place: what it may take.
            clock: time.
            observe: hears facts.
            current: the entry as it is by now: its file may still arrive, and then lies elsewhere.
        """
        self._entry = entry
        self._current = current or (lambda: entry)
        self._place = place
        self._clock = clock
        self._observe = observe
        self._context_tokens = min(entry.context_tokens, place.kv_tokens)
        self._governor = ThreadGovernor(threads_for(granted_cores(), place.threads))
        self._threads = self._governor.threads
        self._begun = 0
        self._seats, self._places = self._fresh_seats()
        self._worker = Worker(
            WorkerPlan(
                entry.name,
                f"the engine of {entry.name}",
                "littoral.adapters.engines.llama_worker",
                place.run_dir,
                place.log_dir,
                may_wait=lambda: self._current().arriving,
            ),
            arguments=self._arguments,
            describe=self._describe,
            clock=clock,
            observe=observe,
        )

    async def serve(self, report: Callable[[EngineState], None]) -> None:
        """Run the worker until cancelled."""
        await self._worker.serve(report)

    @asynccontextmanager
    async def open(self, call: EngineCall) -> AsyncIterator[AsyncIterator[bytes]]:
        """Do the work while the context is open; see the port."""
        if call.kind is Kind.EMBED:
            yield once(await self._embed(call.body))
            return
        parts = parts_of(call.kind, call.body)
        part = parts[0]
        as_it_comes = len(parts) == 1 and not part.echo and part.legacy_logprobs is None
        if call.stream and as_it_comes:
            async with self._stream(call.kind, part.body, call.tenant) as events:
                yield events
        else:
            async with self._joined(call, parts) as joined:
                if call.stream:
                    yield _as_events(joined)
                else:
                    yield once(await _as_body(joined, chat=call.kind is Kind.CHAT))
        self._consider_threads()

    async def count(self, call: EngineCall) -> int | None:
        """Prompt tokens, by llama.cpp's own tokenizer and template."""
        if call.kind is Kind.CHAT:
            body = fields_of(Kind.CHAT, call.body, self._context_tokens)
            answer = await self._ask("/v1/chat/completions/input_tokens", body)
            return msgspec.convert(answer["input_tokens"], int)
        if call.kind is Kind.EMBED:
            texts: list[object] = list(embed_wish(call.body, self._entry.dimensions).texts)
        else:
            texts = [part.body["prompt"] for part in parts_of(call.kind, {**call.body, "n": 1})]
        return sum([await self._count_text(text) for text in texts])

    async def _count_text(self, text: object) -> int:
        if isinstance(text, list):
            return len(text)
        answer = await self._ask("/tokenize", {"content": text, "add_special": True})
        return len(msgspec.convert(answer["tokens"], list[int]))

    # --- the worker ----------------------------------------------------------------------------

    def _arguments(self) -> Mapping[str, object]:
        now = self._current()
        return {
            "model_path": now.files[0].path,
            "arriving": now.arriving,
            "model_name": self._entry.name,
            "slots": self._place.slots,
            "context_tokens": self._context_tokens,
            "kv_tokens": self._kv_tokens,
            "threads": self._threads,
            "embeddings": Kind.EMBED in self._entry.kinds,
        }

    @property
    def _kv_tokens(self) -> int:
        """A model of vectors keeps no cache between texts; it needs room for the longest."""
        if Kind.EMBED in self._entry.kinds:
            return self._context_tokens
        return self._place.kv_tokens

    def _describe(self, ready: Mapping[str, object], pid: int) -> Ready:
        self._seats, self._places = self._fresh_seats()
        return Ready(
            EngineInfo(
                engine=EngineKind.LLAMA,
                build=f"xllamacpp {ready['version']}",
                device=f"{ready['device']}",
                slots=self._place.slots,
                context_tokens=self._context_tokens,
                kv_tokens=0 if Kind.EMBED in self._entry.kinds else self._kv_tokens,
                threads=self._threads,
                pid=pid,
            )
        )

    def _fresh_seats(self) -> tuple[Seats, asyncio.Semaphore]:
        """Those of a new worker: its slots have no past."""
        return Seats(self._place.slots), asyncio.Semaphore(self._place.slots)

    def _consider_threads(self) -> None:
        """Give the worker the governor's number of threads, at a moment when it has no work."""
        if self._governor.threads != self._threads and self._worker.under_way == 0:
            before, self._threads = self._threads, self._governor.threads
            self._observe(ThreadsStepped(self._entry.name, before, self._threads))
            self._worker.restart()

    # --- asking it -----------------------------------------------------------------------------

    @asynccontextmanager
    async def _stream(
        self, kind: Kind, body: Json, tenant: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """One choice's events, whole, as bytes."""
        asked = {
            **fields_of(kind, body, self._context_tokens),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        prompt = msgspec.json.encode(body.get("messages", body.get("prompt")))
        async with self._seated(tenant, prompt) as seat:
            asked |= {"id_slot": seat.slot, "cache_prompt": seat.reuse}
            async with self._answered(_PATHS[kind], msgspec.json.encode(asked)) as events:
                yield events

    @asynccontextmanager
    async def _seated(self, tenant: str, prompt: bytes) -> AsyncIterator[Seat]:
        """A slot of the worker that runs now. The pool sees to it that the wait is short."""
        seats, places = self._seats, self._places
        async with places:
            seat = seats.take(tenant, prompt)
            assert seat is not None, "a place is a free seat"
            try:
                yield seat
            finally:
                seats.give(seat)

    @asynccontextmanager
    async def _answered(self, path: str, raw: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        self._begun += 1
        turn = self._begun if self._worker.under_way == 0 else _NOT_ALONE
        async with self._worker.request("POST", path, raw) as response:
            if response.status != 200:
                raise error_of(await response.read(EVENT_BYTES_MAX), response.status)
            async with aclosing(self._whole_events(response, turn)) as events:
                yield events

    async def _whole_events(self, response: Response, turn: int) -> AsyncGenerator[bytes]:
        cutter = EventCutter()
        tail = b""
        try:
            async for data in response:
                events = cutter.feed(data)
                if not events:
                    continue
                if (error := error_in(events)) is not None:
                    raise error_of(error, 500)
                tail = (tail + events)[-_TAIL_BYTES:]
                yield events
        except EventTooLongError as too_long:
            raise EngineFailedError(f"the engine sent {too_long}") from too_long
        if not tail.endswith(DONE):
            raise EngineFailedError("the engine ended its answer in the middle")
        if turn == self._begun:  # none began before its end
            self._learn_rate(tail)

    def _learn_rate(self, tail: bytes) -> None:
        """Tell the governor the decode rate that llama.cpp reports at the end of an answer."""
        _, found, timings = tail.rpartition(b'"timings":')
        if not found:
            return
        with contextlib.suppress(msgspec.MsgspecError, ValueError):
            rates = msgspec.json.decode(timings[: timings.index(b"}") + 1], type=_Timings)
            if rates.predicted_n >= _RATE_TOKENS_MIN:
                length = rates.cache_n + rates.prompt_n + rates.predicted_n
                self._governor.observe(rates.predicted_per_second, length, self._clock.now())

    @asynccontextmanager
    async def _joined(
        self, call: EngineCall, parts: list[Part]
    ) -> AsyncIterator[AsyncIterator[Json]]:
        """The events of all parts, worked on at the same time, in the order they come."""
        queue: _Events = asyncio.Queue(_QUEUE_MAX)
        failure: BaseException | None = None
        async with asyncio.TaskGroup() as tasks:
            followers = [tasks.create_task(self._follow(call, part, queue)) for part in parts]
            try:
                async with aclosing(_in_order(queue, parts)) as events:
                    yield events
            except (Exception, GeneratorExit) as error:  # else the group would wrap it
                failure = error
            finally:
                for follower in followers:
                    follower.cancel()
        if failure is not None:
            raise failure

    async def _follow(self, call: EngineCall, part: Part, queue: _Events) -> None:
        """Work on one part and queue its events; None, or what went wrong, is the last."""
        last: LittoralError | None = None
        try:
            async with self._stream(call.kind, part.body, call.tenant) as batches:
                async for batch in batches:
                    for data in map(data_of, each(batch)):
                        if data and data != b"[DONE]":
                            await queue.put((part, msgspec.json.decode(data)))
        except LittoralError as error:
            last = error
        await queue.put((part, last))

    async def _ask(self, path: str, body: Json) -> Json:
        """One small question with a JSON answer."""
        raw = msgspec.json.encode(body)
        async with self._worker.request("POST", path, raw) as response:
            answer = await response.read(ANSWER_BYTES_MAX)
            if response.status != 200:
                raise error_of(answer, response.status)
        return msgspec.json.decode(answer, type=Json)

    async def _embed(self, body: Mapping[str, object]) -> bytes:
        wish = embed_wish(body, self._entry.dimensions)
        answer = msgspec.convert(
            await self._ask("/v1/embeddings", {"input": wish.texts}), _EmbedAnswer
        )
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": packed(item.embedding) if wish.base64 else item.embedding,
            }
            for index, item in enumerate(sorted(answer.data, key=lambda item: item.index))
        ]
        tokens = answer.usage.prompt_tokens
        return msgspec.json.encode(
            {
                "object": "list",
                "model": self._entry.name,
                "data": data,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )


async def _in_order(queue: _Events, parts: list[Part]) -> AsyncGenerator[Json]:
    """The events of all parts as one answer's, and everybody's usage at the end."""
    join = Join(parts)
    under_way = len(parts)
    while under_way:
        part, event = await queue.get()
        if event is None:
            under_way -= 1
        elif isinstance(event, LittoralError):
            raise event
        elif (shown := join.take(part, event)) is not None:
            yield shown
    yield join.last()


_NOT_ALONE: Final = -1
"""The turn of an answer that shares the engine from its start."""

_RATE_TOKENS_MIN: Final = 16
"""Shorter answers say little about the rate."""


class _Timings(msgspec.Struct):
    cache_n: int
    prompt_n: int
    predicted_n: int
    predicted_per_second: float


class _EmbedUsage(msgspec.Struct):
    prompt_tokens: int


class _EmbedItem(msgspec.Struct):
    index: int
    embedding: list[float]


class _EmbedAnswer(msgspec.Struct):
    data: list[_EmbedItem]
    usage: _EmbedUsage


async def _as_events(joined: AsyncIterator[Json]) -> AsyncIterator[bytes]:
    async for event in joined:
        yield b"data: " + msgspec.json.encode(event) + b"\n\n"
    yield DONE


async def _as_body(joined: AsyncIterator[Json], *, chat: bool) -> bytes:
    assembly = Assembly(chat=chat)
    async for event in joined:
        assembly.add(event)
    return msgspec.json.encode(assembly.body())
