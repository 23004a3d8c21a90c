"""Embeddings, or scores of passages, by ONNX Runtime in a worker process.

Of embeddings the worker makes the whole answer, and its bytes pass through. Not here: tokens,
vectors and scores (onnx_worker.py), the process (worker.py).
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from littoral.adapters.cores import granted_cores
from littoral.adapters.engines.place import EnginePlace
from littoral.adapters.engines.ranking import rank_wish, ranked
from littoral.adapters.engines.vectors import embed_wish
from littoral.adapters.engines.worker import Worker, WorkerPlan
from littoral.adapters.http.client import once
from littoral.adapters.models.cross_config import config_at
from littoral.placement.threads import threads_for
from littoral.terms.errors import (
    BadRequestError,
    ContextLengthError,
    EngineFailedError,
    LittoralError,
    UnsupportedError,
)
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

__all__ = ["OnnxEngine"]


class OnnxEngine:
    """One model on ONNX Runtime, which embeds or sorts."""

    def __init__(
        self, entry: ModelEntry, place: EnginePlace, *, clock: Clock, observe: Observe
    ) -> None:
        """Start nothing yet; `serve` does."""
        self._entry = entry
        self._place = place
        self._kind = Kind.RERANK if Kind.RERANK in entry.kinds else Kind.EMBED
        # Its threads never wait for each other, so it may have every core that is granted.
        self._threads = threads_for(granted_cores(), place.threads or max(1, int(granted_cores())))
        self._worker = Worker(
            WorkerPlan(
                entry.name,
                f"the engine of {entry.name}",
                "littoral.adapters.engines.onnx_worker",
                place.run_dir,
                place.log_dir,
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
        if call.kind is not self._kind:
            does = "makes embeddings" if self._kind is Kind.EMBED else "sorts passages"
            raise UnsupportedError(f"{self._entry.name} {does} and does nothing else")
        if self._kind is Kind.RERANK:
            yield once(await self._ranked(call))
        else:
            yield once(await self._ask("/v1/embeddings", self._wish(call)))

    async def count(self, call: EngineCall) -> int | None:
        """Tokens of all texts, by the model's own tokenizer."""
        said = await self._ask("/count", self._wish(call))
        return msgspec.json.decode(said, type=_Count).total_tokens

    def _wish(self, call: EngineCall) -> Mapping[str, object]:
        """What the worker is told, once it has been checked."""
        if self._kind is Kind.RERANK:
            sort = rank_wish(call.body)
            return {"question": sort.question, "texts": sort.texts, "cut": sort.cut}
        embed = embed_wish(call.body, self._entry.dimensions, cuts=True)
        return {"texts": embed.texts, "base64": embed.base64, "cut": embed.cut}

    async def _ranked(self, call: EngineCall) -> bytes:
        said = msgspec.json.decode(await self._ask("/v1/rerank", self._wish(call)), type=_Scored)
        return ranked(self._entry.name, rank_wish(call.body), said.scores, said.total_tokens)

    async def _ask(self, path: str, wish: Mapping[str, object]) -> bytes:
        """The worker's whole answer; it notices between batches when this is cancelled."""
        raw = msgspec.json.encode(wish)
        async with self._worker.request("POST", path, raw) as response:
            answer = await response.read(ANSWER_BYTES_MAX)
            if response.status != 200:
                raise _error_of(answer)
            return answer

    def _arguments(self) -> Mapping[str, object]:
        weights, tokenizer, *more = self._entry.files
        sorts = self._kind is Kind.RERANK
        return {
            "sorts": sorts,
            "squashed": sorts and config_at(Path(more[0].path)).squashed,
            "model_path": weights.path,
            "tokenizer_path": tokenizer.path,
            "model_name": self._entry.name,
            "context_tokens": self._entry.context_tokens,
            "threads": self._threads,
        }

    def _describe(self, ready: Mapping[str, object], pid: int) -> Ready:
        return Ready(
            EngineInfo(
                engine=EngineKind.ONNX,
                build=f"onnxruntime {ready['version']}",
                device=f"{ready['device']}",
                slots=self._place.slots,
                context_tokens=self._entry.context_tokens,
                threads=self._threads,
                pid=pid,
            )
        )


class _Count(msgspec.Struct):
    total_tokens: int


class _Scored(msgspec.Struct):
    scores: list[float]
    total_tokens: int


class _Error(msgspec.Struct):
    type: str
    what: str = "text"
    tokens: int = 0
    context_tokens: int = 0
    vocabulary: int = 0
    message: str = ""


class _ErrorBody(msgspec.Struct):
    error: _Error


def _error_of(raw: bytes) -> LittoralError:
    """Ours for the worker's error."""
    error = msgspec.json.decode(raw, type=_ErrorBody).error
    match error.type:
        case "too_long":
            return ContextLengthError(
                prompt_tokens=error.tokens, context_tokens=error.context_tokens, what=error.what
            )
        case "bad_token":
            return BadRequestError(
                f"a token is not one of this model's {error.vocabulary}", param="input"
            )
        case _:
            return EngineFailedError(f"the engine failed: {error.type} {error.message}".rstrip())
