"""One passage placed by a model: asked for, judged, and kept if the passage is still what it was.

Rules
- Clients go first. A model is asked only while nobody else uses it, nor, if it runs on this
  machine, any other model that does; and if a client has to wait for it, what it is at is broken
  off, to be asked again later.
- A passage is changed in one step that changes nothing but its header and its vector, and only if
  it is there with the same text: one that was forgotten does not come back, and labels, metadata
  and place are those that others have written meanwhile.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from littoral.memory.contextual import (
    asked,
    room_for_document,
    shown_for,
    taken,
    with_written,
)
from littoral.node.memory.opened import Opened
from littoral.node.memory.pending import Placed
from littoral.terms.errors import (
    EngineFailedError,
    LittoralError,
    UnknownModelError,
    UnsupportedError,
    UpstreamTimeoutError,
)
from littoral.terms.filters import DOCUMENT, TEXT, All, Ids, Is
from littoral.terms.ids import KeyId, ModelName
from littoral.terms.limits import CONTEXT_ANSWER_S, CONTEXT_ANSWER_TOKENS, CONTEXT_LOOK_S
from littoral.terms.memory import Patch, Record, Upsert
from littoral.terms.ports import Door
from littoral.terms.values import Ask, Caller, EngineKind, Kind, ModelEntry, ModelStatus

__all__ = ["Contextualising", "chat_model", "kept"]

_API: Final = "context"
_LOOKS: Final = Caller(KeyId(""), "this PoP", operator=True)
"""Who sees all models, and asks none."""


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Chat(msgspec.Struct):
    choices: list[_Choice]


_decode: Final = msgspec.json.Decoder(_Chat).decode


@dataclass(slots=True)
class _Run:
    """One answer under way."""

    granted: bool = False
    """It is being worked on: who waits now, waits for it."""
    said: tuple[str, bool] | None = None
    """The answer, and whether it is whole."""
    error: LittoralError | None = None


def chat_model(door: Door, model: ModelName, caller: Caller) -> ModelEntry:
    """The entry of a model that a caller may have write.

    Raises:
        UnknownModelError: there is none of this name, or it does not chat.
    """
    for status in door.models(caller):
        if status.entry.name == model and Kind.CHAT in status.entry.kinds:
            return status.entry
    raise UnknownModelError(
        f"no chat model here is named {model[:96]!r}, or this key may not use it",
        advice="`littoral models list` shows them",
        param="model",
    )


class Contextualising:
    """Has a model write contexts, one after the other."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def busy(self, model: ModelName) -> bool:
        """Whether somebody else wants the model, or what it runs on."""
        statuses = self._statuses()
        entry = next((each.entry for each in statuses if each.entry.name == model), None)
        here = entry is not None and _runs_here(entry)
        return any(
            each.in_flight or each.waiting
            for each in statuses
            if each.entry.name == model or (here and _runs_here(each.entry))
        )

    async def written(self, placed: Placed, model: ModelName, caller: Caller) -> str | None:
        """What a model says of a passage; "" is nothing of use, None that a client goes first.

        Raises:
            LittoralError: as `Door.answer`; UpstreamTimeoutError where it takes too long.
        """
        entry = chat_model(self._door, model, caller)
        document = shown_for(placed.passage, placed.document)
        prompt = asked(placed.passage, document, room_for_document(entry.context_tokens))
        run = _Run()
        try:
            async with asyncio.timeout(CONTEXT_ANSWER_S):
                await self._unless_wanted(run, _ask(model, prompt), caller)
        except TimeoutError:
            raise UpstreamTimeoutError(
                f"{model} has not placed a passage within {CONTEXT_ANSWER_S:g} s",
                advice="name a smaller model, or one of a faster machine",
            ) from None
        if run.said is None:
            return None
        text, whole = run.said
        return taken(text, placed.passage, whole=whole)

    async def _unless_wanted(self, run: _Run, ask: Ask, caller: Caller) -> None:
        """Ask, and look now and then whether a client waits; then break it off."""
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(self._asked(run, ask, caller), name="a passage's context")
            while not asking.done():
                await asyncio.wait((asking,), timeout=CONTEXT_LOOK_S)
                if run.granted and self._waited_for(ask.model):
                    asking.cancel()
                    break
        if run.error is not None:
            raise run.error

    async def _asked(self, run: _Run, ask: Ask, caller: Caller) -> None:
        pieces = []
        try:
            async with self._door.answer(ask, caller) as answer:
                run.granted = True
                async for piece in answer.chunks:
                    answer.sent(piece)
                    pieces.append(piece)
                await answer.seal()
            choice = _decode(b"".join(pieces)).choices[0]
        except LittoralError as error:
            run.error = error
        except (msgspec.MsgspecError, IndexError):
            run.error = EngineFailedError(f"{ask.model} has not answered as a chat")
        else:
            run.said = choice.message.content or "", choice.finish_reason != "length"

    def _waited_for(self, model: ModelName) -> bool:
        return any(each.waiting for each in self._statuses() if each.entry.name == model)

    def _statuses(self) -> Sequence[ModelStatus]:
        return self._door.models(_LOOKS)


async def kept(collection: Opened, passage: Record, text: str, model: ModelName) -> bool:
    """Keep what was written of a passage; False where it is another by now, or gone."""
    made = msgspec.structs.replace(passage, header=with_written(passage.header, text, model))
    # An answer that was not taken leaves the words as they were, and so the vector.
    vector = await collection.vector_of(made) if text else None
    there = await collection.fetch([passage.id])
    if not there or _what(there[0]) != _what(passage):
        return False
    same = All((Ids((passage.id,)), Is(DOCUMENT, (passage.document,)), Is(TEXT, (passage.text,))))
    vectors = {} if vector is None else {"": vector}
    try:
        patch = Patch(where=same, header=made.header, vectors=vectors)
        return (await collection.apply([patch])).changed > 0
    except UnsupportedError:
        whole = await collection.fetch([passage.id], with_vectors=True)
        if not whole or _what(whole[0]) != _what(passage):
            return False
        now = msgspec.structs.replace(
            whole[0], header=made.header, vectors={**whole[0].vectors, **vectors}
        )
        return (await collection.apply([Upsert((now,))])).changed > 0


def _what(record: Record) -> tuple[str, str, str]:
    """What a context was written for."""
    return record.document, record.header, record.text


def _runs_here(entry: ModelEntry) -> bool:
    return entry.engine in {EngineKind.LLAMA, EngineKind.ONNX}


def _ask(model: ModelName, prompt: str) -> Ask:
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        "max_tokens": CONTEXT_ANSWER_TOKENS,
        "stop": ["\n\n"],  # what follows the first paragraph is about the task, not the passage
    }
    raw = msgspec.json.encode(body)
    return Ask(_API, Kind.CHAT, model, body, stream=False, raw=raw)
