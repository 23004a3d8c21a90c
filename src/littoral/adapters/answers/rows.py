"""The rows of the cache's database, and what is asked of it and said by it, as values.

An entry lies there as one blob: a letter for its kind, and the struct in MessagePack. Its checksum
is over all of that, so over its key too, and the columns by which it is purged must agree with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import msgspec

from littoral.adapters.store.database import Row
from littoral.cache.answers import Entry, StoredAnswer, StoredVector

__all__ = [
    "Group",
    "ModelLine",
    "Totals",
    "Written",
    "checksum_of",
    "encoded",
    "entry_of",
    "tags_text",
]

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_answer: Final = msgspec.msgpack.Decoder(StoredAnswer).decode
_decode_vector: Final = msgspec.msgpack.Decoder(StoredVector).decode

_ANSWER: Final = b"a"
_VECTOR: Final = b"v"
_CHECKSUM_BYTES: Final = 16


@dataclass(slots=True)
class Group:
    """What is written at once."""

    puts: list[tuple[Entry, int]] = field(default_factory=list)
    """Each with the epoch at which its request began."""
    asked: Mapping[bytes, int] = field(default_factory=dict)
    """How often each key was asked for and found."""
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Hits and misses by model."""
    damaged: Sequence[bytes] = ()
    """Keys of entries that were found to be damaged."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a write changed."""

    stored: int
    dropped: int
    bytes: int
    """Stored less dropped."""


@dataclass(frozen=True, slots=True)
class ModelLine:
    """What is kept, and was asked for, of one model."""

    model: str
    entries: int
    bytes: int
    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class Totals:
    """The cache as it is now on disk."""

    entries: int
    bytes: int
    """Of entries, with what each takes beside its own bytes."""
    used_bytes: int
    """Of the file: what the bound is on."""
    bytes_max: int
    """The bound of whoever wrote last; 0 when nobody has."""
    evicted: int
    damaged: int
    since_unix_ns: int
    models: tuple[ModelLine, ...]


def encoded(entry: Entry) -> bytes:
    """The entry as it is kept."""
    return (_ANSWER if isinstance(entry, StoredAnswer) else _VECTOR) + _encode(entry)


def entry_of(row: Row) -> Entry | None:
    """The entry of a row, if it is what was stored."""
    key, model, scope, key_id, tags, body, checksum, _ = row
    if checksum_of(body) != checksum:
        return None
    try:
        decode = _decode_answer if body[:1] == _ANSWER else _decode_vector
        entry: Entry = decode(memoryview(body)[1:])
    except msgspec.MsgspecError:
        return None
    said = (entry.key, entry.model, entry.scope, entry.key_id, tags_text(entry.tags))
    return entry if said == (key, model, scope, key_id, tags) else None


def checksum_of(body: bytes) -> bytes:
    """What is kept beside an entry to tell whether it is whole."""
    return blake2b(body, digest_size=_CHECKSUM_BYTES).digest()


def tags_text(tags: Sequence[str]) -> str:
    """Tags as one text in which each can be found: `,a,b,`."""
    return f",{','.join(tags)}," if tags else ""
