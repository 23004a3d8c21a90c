"""Whether a model fits: the numbers that were measured, and the words when it does not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.placement.fit import check_fit, fits, memory_needed
from littoral.terms.errors import MemoryShortError
from littoral.terms.ids import ModelName
from littoral.terms.values import EngineKind, Kind, ModelEntry

SMOLLM2 = ModelEntry(
    name=ModelName("smollm2-135m"),
    engine=EngineKind.LLAMA,
    kinds=(Kind.CHAT,),
    context_tokens=8192,
    size_bytes=98_362_432,
    kv_bytes_per_token=23_040,
)
QWEN = replace(SMOLLM2, size_bytes=1_117_320_768, kv_bytes_per_token=28_672)
MINILM = replace(SMOLLM2, engine=EngineKind.ONNX, size_bytes=23_386_041, kv_bytes_per_token=0)


@pytest.mark.parametrize(
    ("entry", "kv_tokens", "measured_bytes"),
    [
        (SMOLLM2, 16_384, 546e6),
        (SMOLLM2, 2_048, 216e6),
        (QWEN, 16_384, 1_657e6),
        (QWEN, 2_048, 1_246e6),
    ],
)
def test_a_llama_worker_needs_what_was_measured(
    entry: ModelEntry, kv_tokens: int, measured_bytes: float
) -> None:
    assert memory_needed(entry, kv_tokens) == pytest.approx(measured_bytes, rel=0.02)


def test_an_onnx_worker_needs_no_cache_of_keys_and_values() -> None:
    assert memory_needed(MINILM, 1) == memory_needed(MINILM, 16_384) < 200e6


@pytest.mark.parametrize("engine", [EngineKind.UPSTREAM, EngineKind.ECHO])
def test_what_computes_elsewhere_or_nothing_needs_nothing(engine: EngineKind) -> None:
    assert memory_needed(replace(SMOLLM2, engine=engine), 16_384) == 0


def test_a_model_that_does_not_fit_is_refused_with_both_numbers_and_a_remedy() -> None:
    with pytest.raises(MemoryShortError, match=r"needs 548 MB .* 500 MB") as caught:
        check_fit(SMOLLM2, 16_384, 500_000_000)
    assert "--kv-tokens" in caught.value.advice
    check_fit(SMOLLM2, 16_384, 900_000_000)


@given(tokens=st.integers(0, 10**6), more=st.integers(0, 10**6), free=st.integers(0, 10**12))
def test_more_cache_never_needs_less_memory(tokens: int, more: int, free: int) -> None:
    needed, needed_more = memory_needed(QWEN, tokens), memory_needed(QWEN, tokens + more)
    assert needed_more >= needed
    assert fits(needed, free) or not fits(needed_more, free)
