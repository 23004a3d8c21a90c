"""What is said between the process that reads files and the one that wants their passages.

A job goes in as one frame; what comes of it follows as frames, the last of which is `Done` or
`Failed`. A frame is four bytes of length, big-endian, and MessagePack.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from littoral.memory.passages import Cutting
from littoral.terms.memory import Record

__all__ = [
    "FRAME_BYTES_MAX",
    "LENGTH_BYTES",
    "Begun",
    "Done",
    "Failed",
    "Job",
    "Said",
    "Some",
    "Still",
    "decoded_job",
    "decoded_said",
    "framed",
]

LENGTH_BYTES: Final = 4

FRAME_BYTES_MAX: Final = 64 * 1024 * 1024
"""Some hundred records with their vectors; more is a mistake."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One file to be read and cut."""

    path: str
    name: str
    """What its document is called; by its end, too, it is known what the file is."""
    cutting: Cutting
    tokenizer: str = ""
    """A `tokenizer.json`, by which passages are kept short enough; empty is by characters alone."""
    tokens_max: int = 0
    """Of a passage."""
    context_tokens: int = 0
    """That the model reads; of what is longer it sees the beginning."""
    records: bool = True
    """Files of records are read as such; else JSONL is text, and Parquet is refused."""
    metadata: Mapping[str, object] = {}
    labels: tuple[str, ...] = ()


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """The file is one of these."""

    kind: str
    records: bool
    """It holds records, each for itself, and not the passages of one document."""


class Still(msgspec.Struct, frozen=True, tag="still"):
    """It is being read."""

    done: int
    total: int


class Some(msgspec.Struct, frozen=True, tag="some"):
    """Records or passages, the next in order."""

    records: tuple[Record, ...]
    bytes_done: int = 0
    """How far into the file they reach, of a file of records."""
    beyond: int = 0
    """Of these records, how many have more text than the model reads."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The file is read to its end."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It could not be read, or not further."""

    message: str
    advice: str
    code: str = "invalid_request"
    empty: bool = False
    """It was read, and there is nothing in it."""


Said = Begun | Still | Some | Done | Failed

decoded_job: Final[Callable[[bytes], Job]] = msgspec.msgpack.Decoder(Job).decode
decoded_said: Final[Callable[[bytes], Said]] = msgspec.msgpack.Decoder(Said).decode

_encode: Final = msgspec.msgpack.Encoder().encode


def framed(value: Job | Said) -> bytes:
    """A frame."""
    raw = _encode(value)
    return len(raw).to_bytes(LENGTH_BYTES, "big") + raw
