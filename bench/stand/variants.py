"""Versions of a model, as people make them, from fixed seeds: what two of them share is known.

The model has the tensors of a small transformer, with normally distributed weights; what is trained
has a normally distributed update of all its weights. That is a guide and no promise: how alike real
fine-tunes are to their base depends on how they were made.
"""

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Variant", "bfloat16_variants", "float32_variants", "gguf_variants"]

Weights = Mapping[str, NDArray[np.float32]]

_LAYERS: Final = 8
_WIDTH: Final = 512
_FEED_FORWARD: Final = 1408
_WORDS: Final = 8192
_SPREAD: Final = 0.0588
"""Of weights: what those of all-MiniLM-L6-v2 have."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A version of a model that is fetched by somebody who has its base."""

    name: str
    data: bytes
    changed_bytes: int
    """Of the tensors that are others than in the base."""
    tells_base: bool = True
    """It is said to be derived from the base."""


def _model(seed: int) -> Weights:
    """The weights of the model, or of another of its kind."""
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (_WORDS, _WIDTH)}
    for layer in range(_LAYERS):
        at = f"model.layers.{layer}"
        for part in "qkvo":
            shapes[f"{at}.self_attn.{part}_proj.weight"] = (_WIDTH, _WIDTH)
        shapes[f"{at}.mlp.gate_proj.weight"] = (_FEED_FORWARD, _WIDTH)
        shapes[f"{at}.mlp.up_proj.weight"] = (_FEED_FORWARD, _WIDTH)
        shapes[f"{at}.mlp.down_proj.weight"] = (_WIDTH, _FEED_FORWARD)
        shapes[f"{at}.input_layernorm.weight"] = (_WIDTH,)
    return {
        name: random.normal(0, _SPREAD, shape).astype(np.float32)
        for name, shape in sorted(shapes.items())
    }


def _trained(weights: Weights, spread: float, picked: Callable[[str], bool] = bool) -> Weights:
    """The same after an update of the tensors that are picked."""
    random = np.random.default_rng(2)
    return {
        name: values + random.normal(0, spread, values.shape).astype(np.float32)
        if picked(name)
        else values
        for name, values in weights.items()
    }


def _bfloat16(values: NDArray[np.float32]) -> bytes:
    """Rounded to the nearest."""
    bits = values.view(np.uint32)
    return bytes(((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).tobytes())


def _float32(values: NDArray[np.float32]) -> bytes:
    return bytes(values.tobytes())


_BYTES_OF: Final[Mapping[str, Callable[[NDArray[np.float32]], bytes]]] = {
    "BF16": _bfloat16,
    "F32": _float32,
}


def _safetensors(weights: Weights, dtype: str, *, note: str = "", backwards: bool = False) -> bytes:
    """A file of these tensors."""
    header: dict[str, object] = {"__metadata__": {"note": note}} if note else {}
    parts, at = [], 0
    for name, values in sorted(weights.items(), reverse=backwards):
        parts.append(_BYTES_OF[dtype](values))
        offsets = [at, at + len(parts[-1])]
        header[name] = {"dtype": dtype, "shape": values.shape, "data_offsets": offsets}
        at = offsets[1]
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return b"".join((struct.pack("<Q", len(head)), head, *parts))


def bfloat16_variants() -> tuple[bytes, Iterator[Variant]]:
    """A model, and versions of it made one by one."""
    weights = _model(1)

    def last_layer(name: str) -> bool:
        return f".{_LAYERS - 1}." in name

    def adapted(name: str) -> bool:
        return ".q_proj." in name or ".v_proj." in name

    def made() -> Iterator[Variant]:
        size = 2 * sum(values.size for values in weights.values())
        yield Variant("metadata edited", _safetensors(weights, "BF16", note="by somebody"), 0)
        yield Variant("tensors reordered", _safetensors(weights, "BF16", backwards=True), 0)
        for name, picked in (("one layer trained", last_layer), ("LoRA merged", adapted)):
            changed = 2 * sum(values.size for at, values in weights.items() if picked(at))
            yield Variant(name, _safetensors(_trained(weights, 1e-3, picked), "BF16"), changed)
        for spread in (1e-5, 1e-4, 1e-3):
            trained = _safetensors(_trained(weights, spread), "BF16")
            yield Variant(f"all trained, sigma {spread:.0e}", trained, size)
        yield Variant("another bf16 model", _safetensors(_model(3), "BF16"), size, False)

    return _safetensors(weights, "BF16"), made()


def float32_variants() -> tuple[bytes, Iterator[Variant]]:
    """The same in float32, for what compresses less."""
    weights = _model(1)

    def made() -> Iterator[Variant]:
        size = 4 * sum(values.size for values in weights.values())
        trained = _safetensors(_trained(weights, 1e-3), "F32")
        yield Variant("f32, all trained, sigma 1e-03", trained, size)
        yield Variant("another f32 model", _safetensors(_model(3), "F32"), size, False)

    return _safetensors(weights, "F32"), made()


def gguf_variants(data: bytes) -> Iterator[Variant]:
    """A GGUF file with one more entry in its header, so that all behind it moves."""
    key, value = b"general.note", b"by somebody"
    kind = struct.pack("<I", 8)
    value += b"!" * (-(len(key) + len(value) + 20) % 32)  # what is aligned stays so
    entry = struct.pack("<Q", len(key)) + key + kind + struct.pack("<Q", len(value)) + value
    (entries,) = struct.unpack_from("<Q", data, 16)
    edited = data[:16] + struct.pack("<Q", entries + 1) + entry + data[24:]
    yield Variant("GGUF metadata edited", edited, 0)
