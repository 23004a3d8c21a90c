"""Reads the bytes of a GGUF header: its entries, and where each tensor is. It trusts none of them.

Rules
- Every length and count is checked against the bytes that are left before anything is read or
  allocated for it; the header as a whole, its nesting and its number of entries have bounds.
- Any file, however damaged or hostile, gives a `GgufLayout` or a `BadRequestError`; nothing else.
- Bytes are asked for only as they are needed, in file order, so the file may be far away.

Versions 2 and 3, little-endian, which is what model files in the field are.
"""

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from littoral.terms.errors import BadRequestError
from littoral.terms.ids import Digest
from littoral.trust.names import named

__all__ = ["GgufLayout", "GgufTensor", "Read", "Value", "parse_gguf"]

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

LARGE_ENTRY_BYTES: Final = 16 * 1024
"""From this size on an entry is told of by its place: lists of tokens, merges, scores."""

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

Read = Callable[[int], bytes]
"""Gives the next bytes of a file, at least so many unless it ends; more where that is as cheap."""

Value = int | float | bool | str | tuple[int | float | bool, ...] | None


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """Where one tensor begins: `start` counts from the beginning of the file."""

    name: str
    type: int
    """ggml's number for how its values are stored, for example 12 for Q4_K."""
    shape: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class GgufLayout:
    """A header, read to its end."""

    values: Mapping[str, Value]
    """By key. Long arrays, and arrays of texts, are None."""
    tokenizer_digest: Digest | None
    """SHA-256 of the raw bytes of every `tokenizer.*` entry, in file order."""
    large: tuple[tuple[int, int], ...]
    """Start and end of each entry of at least LARGE_ENTRY_BYTES, in file order."""
    tensors: tuple[GgufTensor, ...]
    """As the header lists them."""
    tensors_start: int
    """Where the list of tensors begins."""
    data_start: int
    """Where the first tensor may begin: after the header, aligned."""


def parse_gguf(name: str, size_bytes: int, read: Read) -> GgufLayout:
    """Read a header.

    Args:
        name: of the file, for what is said of it.
        size_bytes: of the whole file.
        read: gives its bytes from the first on.

    Raises:
        BadRequestError: it is no GGUF file, damaged, cut off or beyond the bounds; and what `read`
            raises.
    """
    return _Reader(read, name, size_bytes).layout()


@dataclass(slots=True)
class _Reader:
    """A position in a header. `hashing` is set while a tokenizer entry is read."""

    read: Read
    name: str
    size: int
    position: int = 0
    buffer: bytearray = field(default_factory=bytearray)
    values: dict[str, Value] = field(default_factory=dict)
    tokenizer: "hashlib._Hash | None" = None
    large: list[tuple[int, int]] = field(default_factory=list)

    def layout(self) -> GgufLayout:
        """Read everything up to the tensors' data."""
        if self.size < 24 or bytes(self._take(4)) != b"GGUF":
            raise self._refusal("is not a GGUF file")
        version = self._number(_U32)
        if version not in (2, 3):
            raise self._refusal(f"has GGUF version {version}; 2 and 3 are read here")
        tensors = self._count(TENSORS_MAX, "tensors", least_bytes=24)
        entries = self._count(ENTRIES_MAX, "entries", least_bytes=13)
        for _ in range(entries):
            self._entry()
        tensors_start = self.position
        listed = [self._tensor() for _ in range(tensors)]
        data = self._data_start()
        if listed and data + max(tensor.start for tensor in listed) >= self.size:
            raise self._refusal("is cut off: its last tensors are missing")
        return GgufLayout(
            values=self.values,
            tokenizer_digest=named(self.tokenizer) if self.tokenizer else None,
            large=tuple(self.large),
            tensors=tuple(replace(tensor, start=data + tensor.start) for tensor in listed),
            tensors_start=tensors_start,
            data_start=data,
        )

    def _entry(self) -> None:
        start = self.position
        key = self._text()
        if key in self.values:
            raise self._refusal(f"says {key[:80]!r} twice")
        self.values[key] = self._value(self._number(_U32), depth=0)
        if key.startswith("tokenizer."):
            self.tokenizer = self.tokenizer or hashlib.sha256()
            self.tokenizer.update(memoryview(self.buffer)[start : self.position])
        if self.position - start >= LARGE_ENTRY_BYTES:
            self.large.append((start, self.position))

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

    def _tensor(self) -> GgufTensor:
        """A tensor, its start counted from where the data begins."""
        name = self._text()
        dimensions = self._number(_U32)
        if dimensions > DIMENSIONS_MAX:
            raise self._refusal(f"has a tensor of {dimensions} dimensions")
        shape = tuple(self._number(_U64) for _ in range(dimensions))
        return GgufTensor(name, self._number(_U32), shape, self._number(_U64))

    def _data_start(self) -> int:
        alignment = self.values.get("general.alignment", _DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
            raise self._refusal("has a senseless alignment")
        return -(-self.position // alignment) * alignment

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
            # A new buffer, not `+=`: views of the old one may still be in use. Each is a quarter
            # longer, so that a long header is not copied once for each of its pieces.
            had = len(self.buffer)
            self.buffer = self.buffer + self.read(min(max(end - had, had // 4), self.size - had))
            if end > len(self.buffer):
                raise self._refusal("became shorter while it was read")
        part = memoryview(self.buffer)[self.position : end]
        self.position = end
        return part

    def _refusal(self, problem: str) -> BadRequestError:
        return BadRequestError(
            f"{self.name} {problem}", advice="give a complete GGUF file of version 2 or 3"
        )
