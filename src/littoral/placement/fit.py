"""How much memory a model needs, and whether that is there.

Measured on Linux, x86-64, one thread, batches of 64 tokens: memory that can't be given back while
a worker runs, which is its own pages and the pages of the weights that it still reads. (Weights
that llama.cpp repacks for the processor are in memory twice, but the copy in the page cache is
given back under pressure; a worker's resident size shows both.)

    model               cache tokens   weights + cache   worker
    SmolLM2-135M Q4_1         16,384            476 MB   546 MB
    SmolLM2-135M Q4_1          2,048            146 MB   216 MB
    Qwen2.5-1.5B Q4_K_M       16,384          1,587 MB  1,657 MB  (resident: 2,333)
    Qwen2.5-1.5B Q4_K_M        2,048          1,176 MB  1,246 MB  (resident: 1,922)
    MiniLM int8, 2,048 tokens a batch           23 MB    160 MB

So a llama worker takes 70 MB beside its weights and cache, whatever the model.
"""

from typing import Final, assert_never

from littoral.placement import refusals
from littoral.terms.values import EngineKind, ModelEntry

__all__ = ["check_fit", "fits", "memory_needed"]

LLAMA_BYTES: Final = 72_000_000
"""Interpreter, library and compute buffers of one llama worker."""

ONNX_BYTES: Final = 150_000_000
"""Interpreter, ONNX Runtime, numpy, and the activations of one batch of 2,048 tokens."""


def memory_needed(entry: ModelEntry, kv_tokens: int) -> int:
    """Bytes that a worker for this model comes to use.

    Args:
        entry: which model.
        kv_tokens: tokens of key-value cache that its slots share.
    """
    match entry.engine:
        case EngineKind.LLAMA:
            cache = kv_tokens * entry.kv_bytes_per_token
            return entry.size_bytes + cache + LLAMA_BYTES
        case EngineKind.ONNX:
            return entry.size_bytes + ONNX_BYTES
        case EngineKind.UPSTREAM | EngineKind.ECHO:
            return 0
        case _:
            assert_never(entry.engine)


def fits(needed_bytes: int, free_bytes: int) -> bool:
    """Whether that much may be used."""
    return needed_bytes <= free_bytes


def check_fit(entry: ModelEntry, kv_tokens: int, free_bytes: int) -> None:
    """See that a model fits before it is loaded.

    Raises:
        MemoryShortError: it does not; says both numbers and what can be done.
    """
    needed = memory_needed(entry, kv_tokens)
    if not fits(needed, free_bytes):
        raise refusals.too_large(entry.name, needed, free_bytes)
