"""Models that sort passages, as this PoP can reach them: its own, and those with a `/rerank` API.

Each time counts as a request of its caller's. A model of this PoP, or of another one, is asked by
the PoP's own door: budgets are settled by the model's own count, and there is a receipt. Of a
server with such an API there is none, for no text comes back, and tokens are as bytes have them.
A model that chats is not asked to sort: the small ones that run beside a PoP sort no better than
chance, and a large one would cost an answer.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from littoral.adapters.upstreams.reranking import scored, scores_in
from littoral.adapters.upstreams.upstreams import Upstreams
from littoral.node.entries import Entries, entry_for
from littoral.node.keyring import Keyring
from littoral.routing.requirements import without_weights
from littoral.serving.plan import BYTES_PER_TOKEN
from littoral.terms.errors import UnsupportedError
from littoral.terms.ids import ModelName
from littoral.terms.kinds import does, sorts_upstream
from littoral.terms.limits import RERANK_TEXTS_MAX
from littoral.terms.ports import Door
from littoral.terms.values import Ask, Caller, Kind, ModelEntry

__all__ = ["ReachedReranker"]

_API: Final = "rerank"


class ReachedReranker:
    """See `terms.reranking.Reranker`."""

    def __init__(
        self, entries: Entries, upstreams: Upstreams, keyring: Keyring, door: Door
    ) -> None:
        self._entries = entries
        self._upstreams = upstreams
        self._keyring = keyring
        self._door = door

    def check(self, model: ModelName) -> None:
        """See that a model can be asked for this."""
        if not does(self._entries.entry(model), Kind.RERANK):
            raise UnsupportedError(
                f"{model} does not sort passages",
                advice="name a cross-encoder (`littoral models add "
                "hf:cross-encoder/ms-marco-MiniLM-L6-v2`), or one of a server with a /rerank API: "
                "`littoral models add upstream:URL --name NAME --native-api rerank`",
                param="rerank",
            )

    async def scores(
        self, model: ModelName, question: str, texts: Sequence[str], caller: Caller
    ) -> Sequence[float]:
        """How well each text answers the question."""
        entry = entry_for(self._entries, model, caller)
        self.check(model)
        if sorts_upstream(entry) and not entry.guest:
            return await self._scored_upstream(entry, question, texts, caller)
        found: list[float] = []
        for start in range(0, len(texts), RERANK_TEXTS_MAX):
            some = texts[start : start + RERANK_TEXTS_MAX]
            found += await self._scored_by_door(entry, question, some, caller)
        return found

    async def _scored_by_door(
        self, entry: ModelEntry, question: str, texts: Sequence[str], caller: Caller
    ) -> Sequence[float]:
        """A question that is too long is cut: an answer is not refused for how it is sorted."""
        model, requires = entry.name, without_weights(caller.requires) if entry.guest else ""
        body: dict[str, object] = {
            "model": model,
            "query": question,
            "documents": [*texts],
            "truncate_prompt_tokens": -1,
        }
        raw = msgspec.json.encode(body)
        ask = Ask(_API, Kind.RERANK, model, body, stream=False, raw=raw)
        async with self._door.answer(ask, replace(caller, requires=requires)) as answer:
            pieces = []
            async for piece in answer.chunks:
                answer.sent(piece)
                pieces.append(piece)
            await answer.seal()
        return scores_in(model, b"".join(pieces), len(texts))

    async def _scored_upstream(
        self, entry: ModelEntry, question: str, texts: Sequence[str], caller: Caller
    ) -> Sequence[float]:
        said = sum(len(text.encode()) + len(question.encode()) for text in texts)
        tokens = said // BYTES_PER_TOKEN + 1
        reservation = self._keyring.reserve(caller, tokens)
        try:
            found = await scored(self._upstreams, entry, question, texts)
        except BaseException:
            self._keyring.release(reservation)
            raise
        self._keyring.settle(reservation, tokens)
        return found
