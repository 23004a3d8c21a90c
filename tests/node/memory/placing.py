"""A door behind which a model places passages, by a script."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

from littoral.terms.errors import LittoralError
from littoral.terms.ids import ModelName
from littoral.terms.ports import Answer
from littoral.terms.values import Ask, Caller, EngineKind, Kind, ModelEntry, ModelStatus
from tests.node.memory.made import Counted, CountingDoor

WRITER = ModelName("writer")
_ENTRY = ModelEntry(WRITER, EngineKind.LLAMA, (Kind.CHAT,), 8_192)


class ScriptedDoor(CountingDoor):
    """Embeds by counting words, and answers what it is asked of passages."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[str] = []
        """The next ones; afterwards each passage gets a good one."""
        self.fails: list[LittoralError] = []
        """What the next requests fail with, one each."""
        self.prompts: list[str] = []
        self.asked_by: list[Caller] = []
        self.hold: asyncio.Event = asyncio.Event()
        """Waited for before an answer, from the `hold_after`th on."""
        self.hold_after: int | None = None
        self.hold.set()
        self.working = False
        self.in_flight = self.waiting = self.looks = 0
        """Of clients; and how often somebody has looked."""

    @asynccontextmanager
    async def answer(self, ask: Ask, caller: Caller) -> AsyncIterator[Answer]:
        if ask.kind is Kind.EMBED:
            async with super().answer(ask, caller) as answer:
                yield answer
            return
        (message,) = cast("list[dict[str, str]]", ask.body["messages"])
        self.prompts.append(message["content"])
        self.asked_by.append(caller)
        if self.fails:
            raise self.fails.pop(0)
        if self.hold_after is not None and len(self.prompts) > self.hold_after:
            self.hold_after = None
            self.hold.clear()
        answer = _Held(self, self._body(len(self.prompts)))
        self.working = True
        try:
            yield answer
        finally:
            self.working = False

    def models(self, caller: Caller) -> Sequence[ModelStatus]:
        self.looks += 1
        other = replace(_ENTRY, name=ModelName("other"))
        status = ModelStatus(_ENTRY, None, self.in_flight, self.waiting)
        return [status, ModelStatus(other, None), *super().models(caller)]

    def _body(self, number: int) -> bytes:
        document = self.prompts[-1].split("<source 1: ")[1].split(">")[0]
        said = f"This passage {number - 2} of {document} names how deep harbours are."
        content = self.answers.pop(0) if self.answers else said
        choice: dict[str, Any] = {"message": {"content": content}, "finish_reason": "stop"}
        return json.dumps({"choices": [choice]}).encode()


class _Held(Counted):
    """An answer that waits."""

    def __init__(self, door: ScriptedDoor, body: bytes) -> None:
        super().__init__(body)
        self._door = door

    async def _pieces(self) -> AsyncIterator[bytes]:
        await self._door.hold.wait()
        async for piece in super()._pieces():
            yield piece
