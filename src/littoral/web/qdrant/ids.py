"""Qdrant's ids of points as ids of records, and back.

A point's id is an unsigned integer of 64 bits or a UUID. An integer becomes `#` and twenty digits,
a UUID its usual form: so integers come before UUIDs, each in their order, as Qdrant scrolls. Ids of
any other form were given by other doors; they are shown as they are and may be asked for.
"""

import re
from typing import Final
from uuid import UUID

from littoral.terms.errors import BadRequestError

__all__ = ["new_record_id", "point_id", "record_id"]

_INTEGER_MAX: Final = 2**64 - 1
_INTEGER: Final = re.compile(r"#[0-9]{20}")
_USUAL: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UUID: Final = re.compile(
    r"[0-9a-f]{32}|(?:urn:uuid:)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE
)


def record_id(point: int | str) -> str:
    """The id of the record that a point is.

    Raises:
        BadRequestError: it is a number that can't be an id.
    """
    if isinstance(point, int):
        if not 0 <= point <= _INTEGER_MAX:
            raise BadRequestError(
                "an id is a number below 0 or above 64 bits", advice="have 0 to 2**64 - 1"
            )
        return f"#{point:020d}"
    if _USUAL.fullmatch(point) or not _UUID.fullmatch(point):
        return point
    return str(UUID(point))


def new_record_id(point: int | str) -> str:
    """The same, for a point that is to be kept.

    Raises:
        BadRequestError: it is neither a number nor a UUID.
    """
    if isinstance(point, str) and not _UUID.fullmatch(point):
        raise BadRequestError(
            f"{point[:40]!r} is not a valid point id",
            advice="have an unsigned integer or a UUID",
            param="id",
        )
    return record_id(point)


def point_id(record: str) -> int | str:
    """The id of the point that a record is."""
    return int(record[1:]) if record[:1] == "#" and _INTEGER.fullmatch(record) else record
