"""A record as servers keep it: one JSON text for all of it that is no vector to be compared.

What a server gives back is then the record as it was put, to the last digit: servers round numbers,
normalise vectors and cut precision as they like. Vectors that a server compares in another form
than they were given (`scoring.prepared`) are in the text beside.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

import msgspec

from littoral.adapters.memory.scoring import prepared
from littoral.terms.errors import BadRequestError, StoreError
from littoral.terms.limits import SERVED_BATCH_BYTES_MAX
from littoral.terms.memory import CollectionSpec, Record, Sparse

__all__ = [
    "Body",
    "bare",
    "body_of",
    "check_text",
    "in_batches",
    "read_body",
    "record_of",
    "vectors_sent",
]


Item = TypeVar("Item")


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All of a record but vectors that the server keeps as they were given."""

    id: str
    text: str = ""
    header: str = ""
    document: str = ""
    position: int = 0
    labels: tuple[str, ...] = ()
    metadata: Mapping[str, object] = {}
    vectors: Mapping[str, bytes] = {}
    """As they were given, where they are compared in another form."""
    compared: tuple[str, ...] = ()
    """Names of vectors that are compared as they were given."""
    sparse: Mapping[str, Sparse] = {}


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Body)


def vectors_sent(spec: CollectionSpec, record: Record) -> dict[str, tuple[bytes, bool]]:
    """Each vector as a server compares it, and whether the body has to keep the given one."""
    fields = {field.name: field for field in spec.vectors}
    return {name: prepared(fields[name], vector) for name, vector in record.vectors.items()}


def body_of(record: Record, apart: Iterable[str]) -> bytes:
    """The text.

    Args:
        record: the record.
        apart: names of vectors that the text has to keep.
    """
    kept = {name: record.vectors[name] for name in apart}
    return _ENCODER.encode(
        Body(
            id=record.id,
            text=record.text,
            header=record.header,
            document=record.document,
            position=record.position,
            labels=record.labels,
            metadata=record.metadata,
            vectors=kept,
            compared=tuple(name for name in record.vectors if name not in kept),
            sparse=record.sparse,
        )
    )


def check_text(record: Record) -> None:
    """Refuse what is no text of Unicode, or no number or object of JSON.

    Raises:
        BadRequestError: with which record it is.
    """
    try:
        body_of(record, ())
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError):
        raise BadRequestError(f"{record.id[:40]!r} has what is no JSON, or no text") from None


def read_body(text: bytes | str) -> Body:
    """What a server has given back. Raises StoreError where somebody else has changed it."""
    try:
        return _DECODER.decode(text)
    except msgspec.MsgspecError as error:
        raise StoreError(
            "a record on the server is not as Littoral has written it",
            advice="something else writes there: restore the collection, or drop it",
        ) from error


def record_of(body: Body, vectors: Mapping[str, bytes]) -> Record:
    """The record, of its text and the vectors of the server.

    Some servers have a vector in each row: those that no record was given are left out.
    """
    given = {name: vectors[name] for name in body.compared if name in vectors}
    return Record(
        id=body.id,
        vectors={**given, **body.vectors},
        sparse=body.sparse,
        text=body.text,
        header=body.header,
        metadata=body.metadata,
        document=body.document,
        position=body.position,
        labels=body.labels,
    )


def bare(record: Record) -> Record:
    """The record without its vectors."""
    return msgspec.structs.replace(record, vectors={}, sparse={})


def in_batches(
    items: Iterable[Item], size_of: Callable[[Item], int], most: int = SERVED_BATCH_BYTES_MAX
) -> Iterator[list[Item]]:
    """Items in their order, in lists that a server takes at once; none of them is empty."""
    batch, size = list[Item](), 0
    for item in items:
        added = size_of(item)
        if batch and size + added > most:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += added
    if batch:
        yield batch
