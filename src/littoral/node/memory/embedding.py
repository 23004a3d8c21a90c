"""Texts to vectors, by the PoP's own door.

Budgets, receipts and the embedding cache are as for any request. Whoever may use a collection may
use its model for that, whatever else their key names.

Rules
- Texts of about one length go together, for a batch takes as long as its longest text.
- What a request must have holds for texts that leave this PoP to be embedded, too.
- What comes back is packed, as collections keep it.
- Of a text that is longer than the model takes, the beginning is embedded, where that can be asked
  for.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from littoral.routing.requirements import without_weights
from littoral.terms.errors import EngineFailedError
from littoral.terms.ids import ModelName
from littoral.terms.limits import MEMORY_BATCH_TEXTS
from littoral.terms.ports import Door
from littoral.terms.values import Ask, Caller, EngineKind, Kind, ModelEntry

__all__ = ["Embedding"]


class _Vector(msgspec.Struct):
    embedding: str


class _Answer(msgspec.Struct):
    data: list[_Vector]


_decode: Final = msgspec.json.Decoder(_Answer).decode


class Embedding:
    """Embeds texts by models that the PoP can reach."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._cutting: dict[ModelName, bool] = {}

    async def vectors(self, model: ModelName, texts: Sequence[str], caller: Caller) -> list[bytes]:
        """One packed vector for each text, in their order.

        Raises:
            LittoralError: as `Door.answer`.
        """
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        made = [b""] * len(texts)
        for start in range(0, len(order), MEMORY_BATCH_TEXTS):
            places = order[start : start + MEMORY_BATCH_TEXTS]
            vectors = await self._batch(model, [texts[place] for place in places], caller)
            for place, vector in zip(places, vectors, strict=True):
                made[place] = vector
        return made

    async def dimensions(self, model: ModelName, caller: Caller) -> int:
        """How long the vectors of a model are, by its own word, or by asking it for one."""
        entry = self._entry(model, caller)
        if entry is not None and entry.dimensions:
            return entry.dimensions
        (vector,) = await self._batch(model, ["dimensions"], caller)
        return len(vector) // 4

    def _entry(self, model: ModelName, caller: Caller) -> ModelEntry | None:
        return next(
            (
                each.entry
                for each in self._door.models(_for_memory(caller))
                if each.entry.name == model
            ),
            None,
        )

    def _cuts(self, model: ModelName, caller: Caller) -> bool:
        """Whether the model's engine keeps the beginning of a text that is too long."""
        cuts = self._cutting.get(model)
        if cuts is None:
            entry = self._entry(model, caller)
            cuts = self._cutting[model] = entry is not None and entry.engine is EngineKind.ONNX
        return cuts

    def _required(self, model: ModelName, caller: Caller) -> str:
        """What must hold where a text is embedded; nothing where it does not leave this PoP."""
        entry = self._entry(model, caller) if caller.requires else None
        return without_weights(caller.requires) if entry is not None and entry.guest else ""

    async def _batch(self, model: ModelName, texts: Sequence[str], caller: Caller) -> list[bytes]:
        body: dict[str, object] = {"model": model, "input": [*texts], "encoding_format": "base64"}
        if self._cuts(model, caller):
            body["truncate_prompt_tokens"] = -1
        raw = msgspec.json.encode(body)
        ask = Ask("embeddings", Kind.EMBED, model, body, stream=False, raw=raw)
        async with self._door.answer(
            ask, _for_memory(caller, self._required(model, caller))
        ) as answer:
            pieces = []
            async for piece in answer.chunks:
                answer.sent(piece)
                pieces.append(piece)
            await answer.seal()
        try:
            vectors = [base64.b64decode(each.embedding) for each in _decode(b"".join(pieces)).data]
        except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
            raise EngineFailedError(f"{model} has not answered with vectors") from error
        if len(vectors) != len(texts) or any(len(vector) % 4 or not vector for vector in vectors):
            raise EngineFailedError(f"{model} has not answered with one vector for each text")
        return vectors


def _for_memory(caller: Caller, requires: str = "") -> Caller:
    return replace(caller, models=None, requires=requires)
