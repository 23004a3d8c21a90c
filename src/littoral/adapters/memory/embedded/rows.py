"""Records as rows, and back.

Not here: their vectors, which lie in tables of their own and are put in by whoever reads them.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from littoral.adapters.store.database import Row
from littoral.terms.errors import BadRequestError
from littoral.terms.memory import Record, Sparse

__all__ = ["COLUMNS", "joined", "packed_sparse", "record_of", "rest_of", "unpacked_sparse"]

COLUMNS: Final = "row, id, seq, document, rest, header, text"
"""What `record_of` reads."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[dict[str, Any], int, tuple[str, ...]]).decode
_decode_sparse: Final = msgspec.msgpack.Decoder(Sparse).decode


def rest_of(record: Record) -> bytes:
    """What has no column of its own."""
    try:
        return _encode((record.metadata, record.position, record.labels))
    except (TypeError, OverflowError, RecursionError) as error:
        raise BadRequestError(
            f"the metadata of {record.id[:80]!r} can't be kept ({error})",
            advice="have values of JSON alone, and whole numbers of 64 bits",
            param="metadata",
        ) from None


def record_of(row: Row) -> Record:
    """The record of a row of `COLUMNS`."""
    _, record_id, _, document, rest, header, text = row
    metadata, position, labels = _decode(rest)
    return Record(
        id=record_id,
        text=text,
        header=header,
        metadata=metadata,
        document=document,
        position=position,
        labels=labels,
    )


def packed_sparse(vector: Sparse) -> bytes:
    """As it is kept."""
    return _encode(vector)


def unpacked_sparse(data: bytes) -> Sparse:
    """As it was."""
    return _decode_sparse(data)


def joined(record: Record, vectors: Mapping[str, bytes], sparse: Mapping[str, Sparse]) -> Record:
    """The record with these."""
    return msgspec.structs.replace(record, vectors=vectors, sparse=sparse)
