"""Reads what a GGUF file says of itself, and trusts none of it.

Rules
- Every length and count is checked against the bytes that are left before anything is read or
  allocated for it; the header as a whole, its nesting and its number of entries have bounds.
- Any file, however damaged or hostile, gives a `GgufHeader` or a `BadRequestError`; nothing else.
- Only the header is read. Whether the weights are the right ones is for their digest to say.

Versions 2 and 3, little-endian, which is what model files in the field are.
"""

import hashlib
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from littoral.terms.errors import BadRequestError
from littoral.terms.ids import Digest, digest_of_hex

__all__ = ["GgufHeader", "read_gguf"]

HEADER_BYTES_MAX: Final = 256 * 1024 * 1024
"""Vocabulary and merges of the largest tokenizers (262,144 tokens) take about 16 MB."""

ENTRIES_MAX: Final = 65_536
"""Key-value pairs; files in the field have under 100."""

TENSORS_MAX: Final = 1_048_576
"""Tensors; a mixture of 256 experts in 61 layers has about 50,000 when they are kept apart."""

NESTING_MAX: Final = 4
"""Arrays within arrays; the format allows any depth and nothing uses two."""

KEPT_ITEMS_MAX: Final = 4_096
"""A numeric array up to this length is kept (values per layer); a longer one is only skipped."""

DIMENSIONS_MAX: Final = 8
"""Of one tensor; llama.cpp has 4."""

_READ_BYTES: Final = 1024 * 1024
_F16_BYTES: Final = 2
_DEFAULT_ALIGNMENT: Final = 32
_STRING: Final = 8
_ARRAY: Final = 9
_SCALARS: Final = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32: Final = _SCALARS[4]
_U64: Final = _SCALARS[10]

_ENCODERS: Final = frozenset(
    {"bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2"}
    | {"jina-bert-v3", "eurobert", "gemma-embedding", "t5encoder"}
)
_POOLING_NONE: Final = 0
_POOLING_RANK: Final = 4

Value = int | float | bool | str | tuple[int | float | bool, ...] | None


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
            return _Reader(file, path).header()
    except OSError as error:
        raise BadRequestError(
            f"{path} can't be read: {error.strerror}", advice="check the path and its permissions"
        ) from error


@dataclass(slots=True)
class _Reader:
    """A position in a header. `hashing` is set while a tokenizer entry is read."""

    file: BinaryIO
    path: Path
    size: int = 0
    position: int = 0
    buffer: bytearray = field(default_factory=bytearray)
    values: dict[str, Value] = field(default_factory=dict)
    tokenizer: "hashlib._Hash | None" = None

    def header(self) -> GgufHeader:
        """Read everything up to the tensors' data."""
        self.size = self.file.seek(0, 2)
        self.file.seek(0)
        if self.size < 24 or bytes(self._take(4)) != b"GGUF":
            raise self._refusal("is not a GGUF file")
        version = self._number(_U32)
        if version not in (2, 3):
            raise self._refusal(f"has GGUF version {version}; 2 and 3 are read here")
        tensors = self._count(TENSORS_MAX, "tensors", least_bytes=24)
        entries = self._count(ENTRIES_MAX, "entries", least_bytes=13)
        for _ in range(entries):
            self._entry()
        self._check_tensors(tensors)
        return _summary(self)

    def _entry(self) -> None:
        start = self.position
        key = self._text()
        if key in self.values:
            raise self._refusal(f"says {key[:80]!r} twice")
        self.values[key] = self._value(self._number(_U32), depth=0)
        if key.startswith("tokenizer."):
            self.tokenizer = self.tokenizer or hashlib.sha256()
            self.tokenizer.update(memoryview(self.buffer)[start : self.position])

    def _value(self, kind: int, depth: int) -> Value:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            return self._array(depth)
        if kind not in _SCALARS:
            raise self._refusal(f"has a value of unknown type {kind}")
        value: Value = _SCALARS[kind].unpack(self._take(_SCALARS[kind].size))[0]
        return value

    def _array(self, depth: int) -> Value:
        if depth >= NESTING_MAX:
            raise self._refusal("nests arrays too deep")
        kind = self._number(_U32)
        if kind in _SCALARS:
            item = _SCALARS[kind]
            count = self._count(self.size, "items", least_bytes=item.size)
            raw = self._take(count * item.size)
            if count > KEPT_ITEMS_MAX:
                return None
            return tuple(value for (value,) in item.iter_unpack(raw))
        count = self._count(self.size, "items", least_bytes=8)
        if kind == _STRING:
            for _ in range(count):
                self._take(self._number(_U64))
            return None
        for _ in range(count):
            self._value(kind, depth + 1)
        return None

    def _check_tensors(self, count: int) -> None:
        """See that every tensor begins inside the file: a download that was cut off does not."""
        furthest = 0
        for _ in range(count):
            self._take(self._number(_U64))
            dimensions = self._number(_U32)
            if dimensions > DIMENSIONS_MAX:
                raise self._refusal(f"has a tensor of {dimensions} dimensions")
            self._take(dimensions * 8 + 4)
            furthest = max(furthest, self._number(_U64))
        alignment = self.values.get("general.alignment", _DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
            raise self._refusal("has a senseless alignment")
        data = -(-self.position // alignment) * alignment
        if count and data + furthest >= self.size:
            raise self._refusal("is cut off: its last tensors are missing")

    def _count(self, most: int, what: str, *, least_bytes: int) -> int:
        """A count, which the bytes that are left must be able to hold."""
        count = self._number(_U64)
        if count > most or count * least_bytes > self.size - self.position:
            raise self._refusal(f"claims {count} {what}, more than it can hold")
        return count

    def _number(self, form: struct.Struct) -> int:
        return int(form.unpack(self._take(form.size))[0])

    def _text(self) -> str:
        return bytes(self._take(self._number(_U64))).decode("utf-8", "replace")

    def _take(self, count: int) -> memoryview:
        """The next bytes, read from the file only as they are needed."""
        end = self.position + count
        if end > len(self.buffer):
            if end > self.size:
                raise self._refusal("is cut off inside its header")
            if end > HEADER_BYTES_MAX:
                raise self._refusal(f"has a header of more than {HEADER_BYTES_MAX} bytes")
            # A new buffer, not `+=`: views of the old one may still be in use.
            self.buffer = self.buffer + self.file.read(max(_READ_BYTES, end - len(self.buffer)))
            if end > len(self.buffer):
                raise self._refusal("became shorter while it was read")
        part = memoryview(self.buffer)[self.position : end]
        self.position = end
        return part

    def _refusal(self, problem: str) -> BadRequestError:
        return BadRequestError(
            f"{self.path.name} {problem}", advice="give a complete GGUF file of version 2 or 3"
        )


def _summary(reader: _Reader) -> GgufHeader:
    values = reader.values
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
        template_digest=_digest(hashlib.sha256(template.encode())) if template else None,
        tokenizer_digest=_digest(reader.tokenizer) if reader.tokenizer else None,
    )


def _kv_bytes_per_token(values: dict[str, Value], architecture: str) -> int:
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


def _text(values: dict[str, Value], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


def _integer(values: dict[str, Value], key: str) -> int:
    value = values.get(key)
    return value if isinstance(value, int) and 0 <= value < 1 << 48 else 0


def _integers(value: Value) -> tuple[int, ...]:
    if not isinstance(value, tuple):
        return ()
    return tuple(item for item in value if isinstance(item, int))


def _digest(hashed: "hashlib._Hash") -> Digest:
    return digest_of_hex(hashed.hexdigest())
