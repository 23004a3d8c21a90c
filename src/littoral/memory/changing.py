"""What a change makes of a record."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from littoral.terms.memory import Patch, Record

__all__ = ["patched"]

V = TypeVar("V")


def patched(record: Record, patch: Patch) -> Record:
    """The record with the patch over it."""
    metadata = {} if patch.replace else dict(record.metadata)
    metadata |= patch.metadata
    for key in patch.without:
        metadata.pop(key, None)
    return msgspec.structs.replace(
        record,
        header=record.header if patch.header is None else patch.header,
        metadata=metadata,
        vectors=_over(record.vectors, patch.vectors),
        sparse=_over(record.sparse, patch.sparse),
    )


def _over(there: Mapping[str, V], put: Mapping[str, V | None]) -> dict[str, V]:
    return {name: value for name, value in {**there, **put}.items() if value is not None}
