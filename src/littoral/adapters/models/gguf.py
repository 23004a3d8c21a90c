"""What a GGUF file's header says of the model in it. Its bytes are read by `delivery.gguf`.

Only the header is read. Whether the weights are the right ones is for their digest to say.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from littoral.delivery.gguf import GgufLayout, Read, Value, parse_gguf
from littoral.terms.errors import BadRequestError
from littoral.terms.ids import Digest
from littoral.trust.names import named

__all__ = ["GgufHeader", "parsed_gguf", "read_gguf"]

_READ_BYTES: Final = 1024 * 1024
_F16_BYTES: Final = 2

_ENCODERS: Final = frozenset(
    {"bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2"}
    | {"jina-bert-v3", "eurobert", "gemma-embedding", "t5encoder"}
)
_POOLING_NONE: Final = 0
_POOLING_RANK: Final = 4


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What matters of a GGUF file's header."""

    architecture: str
    name: str
    licence: str
    file_type: int | None
    """llama.cpp's number for the mix of quantisations, for example 15 for Q4_K_M."""
    context_tokens: int
    dimensions: int
    """Length of a hidden state, and so of an embedding."""
    kv_bytes_per_token: int
    """Key-value cache for one token at 16 bits, all layers."""
    embeds: bool
    reranks: bool
    has_template: bool
    knows_tools: bool
    """The chat template mentions tools."""
    template_digest: Digest | None
    tokenizer_digest: Digest | None
    """SHA-256 of the raw bytes of every `tokenizer.*` entry, in file order."""


def read_gguf(path: Path) -> GgufHeader:
    """Read the header of a file.

    Raises:
        BadRequestError: it is no GGUF file, damaged, cut off or beyond the bounds.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            return parsed_gguf(path.name, size, lambda least: file.read(max(least, _READ_BYTES)))
    except OSError as error:
        raise BadRequestError(
            f"{path} can't be read: {error.strerror}", advice="check the path and its permissions"
        ) from error


def parsed_gguf(name: str, size_bytes: int, read: Read) -> GgufHeader:
    """What the header of a file says, wherever its bytes are; see `delivery.gguf.parse_gguf`."""
    return _summary(parse_gguf(name, size_bytes, read))


def _summary(layout: GgufLayout) -> GgufHeader:
    values = layout.values
    architecture = _text(values, "general.architecture")
    templates = [
        value
        for key, value in values.items()
        if key.startswith("tokenizer.chat_template") and isinstance(value, str)
    ]
    template = _text(values, "tokenizer.chat_template")
    pooling = values.get(f"{architecture}.pooling_type", _POOLING_NONE)
    file_type = values.get("general.file_type")
    return GgufHeader(
        architecture=architecture,
        name=_text(values, "general.name"),
        licence=_text(values, "general.license") or "unknown",
        file_type=file_type if isinstance(file_type, int) else None,
        context_tokens=_integer(values, f"{architecture}.context_length"),
        dimensions=_integer(values, f"{architecture}.embedding_length"),
        kv_bytes_per_token=_kv_bytes_per_token(values, architecture),
        embeds=pooling != _POOLING_RANK and (architecture in _ENCODERS or pooling != _POOLING_NONE),
        reranks=pooling == _POOLING_RANK,
        has_template=bool(template),
        knows_tools=any(re.search(r"\btools\b", text) for text in templates),
        template_digest=named(hashlib.sha256(template.encode())) if template else None,
        tokenizer_digest=layout.tokenizer_digest,
    )


def _kv_bytes_per_token(values: Mapping[str, Value], architecture: str) -> int:
    """Keys and values of one token over all layers, at 16 bits each.

    Layers may differ in their number of key-value heads; the header then has an array.
    """
    layers = _integer(values, f"{architecture}.block_count")
    heads = values.get(f"{architecture}.attention.head_count")
    kv_heads = values.get(f"{architecture}.attention.head_count_kv", heads)
    query_heads = heads if isinstance(heads, int) else max(_integers(heads), default=0)
    width = _integer(values, f"{architecture}.embedding_length") // max(query_heads, 1)
    key = _integer(values, f"{architecture}.attention.key_length") or width
    value = _integer(values, f"{architecture}.attention.value_length") or width
    over_layers = kv_heads * layers if isinstance(kv_heads, int) else sum(_integers(kv_heads))
    return over_layers * (key + value) * _F16_BYTES


def _text(values: Mapping[str, Value], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


def _integer(values: Mapping[str, Value], key: str) -> int:
    value = values.get(key)
    return value if isinstance(value, int) and 0 <= value < 1 << 48 else 0


def _integers(value: Value) -> tuple[int, ...]:
    if not isinstance(value, tuple):
        return ()
    return tuple(item for item in value if isinstance(item, int))
