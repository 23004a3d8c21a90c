"""Which bytes of a file a request asks for, by its head alone (RFC 9110, sections 13 and 14).

Of ranges one at a time is answered; several are refused, not merged: no client of ours sends them,
and each costs a read. What is not understood is ignored, as the standard asks, and all is sent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["Span", "is_known", "wanted"]

_RANGE: Final = re.compile(r"bytes=(?P<first>\d{0,18})-(?P<last>\d{0,18})")
_RANGES: Final = re.compile(r"bytes=[\d ,-]*,[\d ,-]*")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` up to `end` of a file."""

    start: int
    end: int


def is_known(headers: Mapping[str, str], etag: str) -> bool:
    """Whether the client says that it has the file of this entity tag (quoted) already."""
    said = headers.get("if-none-match", "")
    tags = {tag.strip().removeprefix("W/") for tag in said.split(",")}
    return etag in tags or "*" in tags


def wanted(headers: Mapping[str, str], etag: str, size_bytes: int) -> Span | str | None:
    """What to send.

    Returns:
        The range that is asked for; None for the whole file; or, in words, why neither can be.
    """
    said = headers.get("range", "").strip()
    if not said or headers.get("if-range", etag) != etag:
        return None
    if _RANGES.fullmatch(said):
        return "ask for one range at a time"
    match = _RANGE.fullmatch(said)
    if match is None or not (match["first"] or match["last"]):
        return None
    if not match["first"]:
        last = int(match["last"])
        return Span(max(0, size_bytes - last), size_bytes) if last and size_bytes else _BEYOND
    start = int(match["first"])
    end = int(match["last"]) + 1 if match["last"] else size_bytes
    if end <= start and match["last"]:
        return None  # backwards: not a range at all
    return Span(start, min(end, size_bytes)) if start < size_bytes else _BEYOND


_BEYOND: Final = "the file ends before that"
