"""What kind of file one is: by how its name ends and how its bytes begin.

The bytes decide where they can be told (PDF, Parquet, ZIP); the name says what plain text means. A
name that says one thing and bytes that say another are refused: one of them is a mistake.
"""

import enum
from pathlib import Path, PurePath
from typing import Final

from littoral.terms.errors import BadRequestError, UnsupportedError

__all__ = [
    "HEAD_BYTES",
    "SUFFIXES",
    "Kind",
    "holds_records",
    "is_readable_name",
    "kind_of",
    "printable",
    "refused",
]

HEAD_BYTES: Final = 4_096
"""What is looked at of a file."""


class Kind(enum.Enum):
    """What a file may be."""

    TEXT = "text"
    MARKDOWN = "Markdown"
    HTML = "HTML"
    PDF = "PDF"
    DOCX = "DOCX"
    JSONL = "JSONL"
    PARQUET = "Parquet"

    @property
    def holds_records(self) -> bool:
        """Whether it holds records, and not one document."""
        return self in {Kind.JSONL, Kind.PARQUET}


SUFFIXES: Final = {
    ".txt": Kind.TEXT,
    ".text": Kind.TEXT,
    ".rst": Kind.TEXT,
    ".adoc": Kind.TEXT,
    ".org": Kind.TEXT,
    ".md": Kind.MARKDOWN,
    ".mdx": Kind.MARKDOWN,
    ".markdown": Kind.MARKDOWN,
    ".html": Kind.HTML,
    ".htm": Kind.HTML,
    ".xhtml": Kind.HTML,
    ".pdf": Kind.PDF,
    ".docx": Kind.DOCX,
    ".jsonl": Kind.JSONL,
    ".ndjson": Kind.JSONL,
    ".parquet": Kind.PARQUET,
}
"""What is taken from a folder; any other file is read as text when it is named itself."""

_BINARY: Final = {Kind.PDF, Kind.DOCX, Kind.PARQUET}
_MARKS: Final = ((b"PK\x03\x04", Kind.DOCX), (b"PAR1", Kind.PARQUET))
_UNICODE_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_HTML: Final = (b"<!doctype html", b"<html")


def is_readable_name(name: str) -> bool:
    """Whether a file of this name is taken from a folder."""
    return PurePath(name).suffix.lower() in SUFFIXES


def holds_records(name: str) -> bool:
    """Whether a file of this name holds records, and not one document."""
    kind = SUFFIXES.get(PurePath(name).suffix.lower())
    return kind is not None and kind.holds_records


def kind_of(path: Path, name: str) -> Kind:
    """What a file is.

    Raises:
        UnsupportedError: it is none of these.
        BadRequestError: it can't be read, is empty, or is not what its name says.
    """
    try:
        if not path.is_file():
            raise refused(name, "is no file", "name a file, or a folder of them")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise refused(
            name, f"can't be read ({error.strerror})", "check the path and its permissions"
        ) from error
    if not head.strip() and len(head) < HEAD_BYTES:
        raise refused(name, "is empty", "leave it out", empty=True)
    by_name = SUFFIXES.get(PurePath(name).suffix.lower())
    by_bytes = _told_by(head)
    if by_bytes is None and by_name in _BINARY:
        raise refused(
            name,
            f"is called a {by_name.value} file and is none",
            "give the whole file, under the name that fits it",
        )
    if by_bytes in _BINARY and by_name not in {None, by_bytes}:
        raise refused(
            name, "has other contents than its name says", f"is it a {by_bytes.value} file?"
        )
    found = by_name or by_bytes or Kind.TEXT
    if found not in _BINARY and b"\0" in head and not head.startswith(_UNICODE_MARKS):
        raise UnsupportedError(
            f"{name[-200:]} is neither text nor any other kind that is read",
            advice="give text, Markdown, HTML, PDF, DOCX, JSONL or Parquet",
        )
    return found


def _told_by(head: bytes) -> Kind | None:
    if b"%PDF-" in head[:1_024]:
        return Kind.PDF
    found = next((kind for mark, kind in _MARKS if head.startswith(mark)), None)
    if found is None and head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML):
        return Kind.HTML
    return found


def refused(name: str, why: str, advice: str, *, empty: bool = False) -> BadRequestError:
    """The error for a file: which one, why, what to do; and whether it was read and is empty."""
    details: dict[str, object] = {"empty": True} if empty else {}
    message = f"{printable(name[-200:])} {why}"
    return BadRequestError(message, advice=advice, param="file", details=details)


def printable(name: str) -> str:
    """A file's name as it can be shown, whatever bytes it is made of."""
    return name.encode("utf-8", "backslashreplace").decode()
