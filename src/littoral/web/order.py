"""Ids in the order of their bytes, as scans give them."""

from typing import Final

__all__ = ["before"]

_LAST: Final = "\U0010ffff"


def before(record_id: str) -> str:
    """What a scan is to go on after, so that this id comes next, or whatever begins with it."""
    code = ord(record_id[-1])
    if not code:
        return record_id[:-1]
    previous = 0xD7FF if code == 0xE000 else code - 1  # between them are no characters
    return record_id[:-1] + chr(previous) + _LAST
