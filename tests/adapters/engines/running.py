"""An engine that runs for a while in a test, and what was heard of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from littoral.adapters.clock import SystemClock
from littoral.adapters.engines import EnginePlace, make_engine
from littoral.adapters.http.events import data_of, each
from littoral.adapters.upstreams.upstreams import TargetRows, Upstreams
from littoral.routing.board import TargetBoard
from littoral.terms.facts import Fact
from littoral.terms.limits import UPSTREAM_TARGETS_MAX
from littoral.terms.ports import Engine, Observe
from littoral.terms.values import Down, EngineCall, EngineState, Kind, ModelEntry, Ready

READY_WAIT_S = 60.0


@dataclass
class Running:
    """One engine, its states so far, and calls made easy."""

    engine: Engine
    entry: ModelEntry
    states: list[EngineState] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def report(self, state: EngineState) -> None:
        self.states.append(state)
        self.changed.set()

    async def until(self, wanted: Callable[[], bool], within_s: float = READY_WAIT_S) -> None:
        """Wait for a state after which `wanted` holds."""
        async with asyncio.timeout(within_s):
            while not wanted():
                self.changed.clear()
                await self.changed.wait()

    async def until_ready(self, times: int = 1) -> Ready:
        """Wait until it has been ready this often; an engine that gives up fails the test."""

        def settled() -> bool:
            return len(self.readies) >= times or self.gave_up is not None

        await self.until(settled)
        if self.gave_up is not None:
            raise self.gave_up.error
        return self.readies[-1]

    @property
    def gave_up(self) -> Down | None:
        last = self.states[-1] if self.states else None
        return last if isinstance(last, Down) and not last.retrying else None

    @property
    def readies(self) -> list[Ready]:
        return [state for state in self.states if isinstance(state, Ready)]

    def call(self, body: dict[str, object], kind: Kind, *, stream: bool = False) -> EngineCall:
        return EngineCall(kind, body, stream, self.entry.name)

    async def body(self, body: dict[str, object], kind: Kind = Kind.CHAT) -> dict:  # type: ignore[type-arg]  # JSON
        """The answer without streaming, which must be one piece."""
        async with self.engine.open(self.call(body, kind)) as chunks:
            (only,) = [chunk async for chunk in chunks]
        decoded = json.loads(only)
        assert isinstance(decoded, dict)
        return decoded

    async def events(self, body: dict[str, object], kind: Kind = Kind.CHAT) -> list[dict]:  # type: ignore[type-arg]  # JSON
        """The streamed answer's events, framing checked, without the closing mark."""
        datas: list[bytes] = []
        async with self.engine.open(self.call(body, kind, stream=True)) as chunks:
            async for chunk in chunks:
                assert chunk.endswith((b"\n\n", b"\r\n\r\n")), "a piece is whole events"
                datas.extend(data_of(event) for event in each(chunk))
        assert datas[-1] == b"[DONE]"
        return [json.loads(data) for data in datas[:-1] if data]


def private_upstreams(
    observe: Observe, tasks: set[asyncio.Task[None]], secrets: Mapping[str, str]
) -> Upstreams:
    """Upstreams whose health no other process shares."""

    def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    words = [0] * (TargetBoard.words_of_row(1) * UPSTREAM_TARGETS_MAX)
    rows = TargetRows(
        [0] * UPSTREAM_TARGETS_MAX, TargetBoard(words, worker=0, workers=1), nullcontext()
    )
    return Upstreams(rows, spawn=spawn, secret=secrets.get, clock=SystemClock(), observe=observe)


@asynccontextmanager
async def running(
    entry: ModelEntry,
    folder: Path,
    *,
    slots: int = 8,
    kv_tokens: int = 4096,
    threads: int = 0,
    ready: bool = True,
    secrets: dict[str, str] | None = None,
) -> AsyncIterator[Running]:
    """The model's engine, ready unless told otherwise, and ended afterwards."""
    facts: list[Fact] = []
    place = EnginePlace(folder, folder, slots, kv_tokens, threads)
    dialling: set[asyncio.Task[None]] = set()
    upstreams = private_upstreams(facts.append, dialling, secrets or {})
    engine = make_engine(
        entry, place, clock=SystemClock(), observe=facts.append, upstreams=upstreams
    )
    subject = Running(engine, entry, facts=facts)
    serving = asyncio.create_task(engine.serve(subject.report))
    try:
        if ready:
            await subject.until_ready()
        yield subject
    finally:
        serving.cancel()
        upstreams.close()
        async with asyncio.timeout(2.0):
            await asyncio.wait([serving, *dialling])
    if not serving.cancelled():
        serving.result()


def text_of(events: list[dict]) -> str:  # type: ignore[type-arg]  # JSON
    """What the first choice of a streamed answer says."""
    pieces = [
        choice.get("text") or (choice.get("delta") or {}).get("content") or ""
        for event in events
        for choice in event["choices"]
        if choice["index"] == 0
    ]
    return "".join(pieces)
