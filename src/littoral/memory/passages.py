"""What a document becomes in a collection: passages with their place; what a new version changes.

A reader gives a document as Markdown or plain text; a splitter says where it is cut; here the
pieces become records, each placed in its document by a header (title, section).

Rules
- An id is a digest of the document, the header, the text, and of how many equal ones stand before
  it. So the same file gives the same ids, wherever and whenever; a paragraph that is put in gives
  one new id and leaves the others; and what has the same id has the same vector.
- The header goes into `Record.header`, never into the text: what is cited is what was written.
- What a model has written behind a header (`contextual.py`) is no part of the id, and stays with a
  passage that is unchanged, or has only moved.
- A piece that is nothing but headings is left out where the next piece's header says them.

Not here: reading files and finding the places to cut (adapters/documents).
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Final

import msgspec
from blake3 import blake3

from littoral.memory.contextual import placing, written
from littoral.terms.limits import PASSAGE_CHARS, PASSAGE_CHARS_MAX
from littoral.terms.memory import Record

__all__ = [
    "Change",
    "Cutting",
    "Document",
    "Outline",
    "Piece",
    "changed",
    "cut_of_a_document",
    "passage_digest",
    "passages",
    "placed",
]

_ID_DIGITS: Final = 32
_TITLE_CHARS_MAX: Final = 120
_SECTION_CHARS_MAX: Final = 80
_SECTIONS_MAX: Final = 4
_BETWEEN: Final = " > "
_LINE_CHARS_MAX: Final = 1_000
"""A longer line is no heading, and is not looked at closely."""

_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE: Final = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_LINK: Final = re.compile(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_MARKS: Final = re.compile(r"[*`]+|\\(?=[^\w\s])|(?<!\w)_+|_+(?!\w)|<[^<>]*>")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was read."""

    name: str
    """What it is called in the collection: `Record.document`."""
    title: str
    text: str
    markdown: bool = True
    """Whether the text's marks mean something."""
    pages: tuple[int, ...] = ()
    """Where in the text each page begins, if it has pages."""


class Cutting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long passages are."""

    chars: Annotated[int, msgspec.Meta(ge=50, le=PASSAGE_CHARS_MAX)] = PASSAGE_CHARS
    """At most."""
    overlap: Annotated[int, msgspec.Meta(ge=0, le=PASSAGE_CHARS_MAX)] = 0
    """Of them at most so many that the passage before ends with."""


class Piece(msgspec.Struct, frozen=True):
    """A part of a document's text."""

    start: int
    text: str


class _Heading(msgspec.Struct, frozen=True):
    start: int
    level: int
    title: str


class Outline:
    """The headings of a document, by which its passages are placed."""

    def __init__(self, document: Document) -> None:
        """Read them."""
        self._title = _shortened(_plain(document.title), _TITLE_CHARS_MAX)
        self._headings = [*_headings(document.text)] if document.markdown else []
        self._starts = [heading.start for heading in self._headings]
        self._parents = _parents(self._headings)
        self._pages = document.pages

    def last_heading(self, start: int, end: int) -> int | None:
        """Where the last heading within this part of the text begins, after its own beginning."""
        place = bisect_left(self._starts, end) - 1
        return self._starts[place] if place >= 0 and self._starts[place] > start else None

    def header(self, piece: Piece) -> str:
        """What places a piece: the title, and the sections that it lies in."""
        path = [self._headings[place].title for place in self._above(piece.start)]
        own = self._at(piece.start)
        said = {*path[:1], own.title if own else None}
        title = [self._title] if self._title and self._title not in said else []
        path = [_shortened(each, _SECTION_CHARS_MAX) for each in path if each][-_SECTIONS_MAX:]
        return _BETWEEN.join(title + path)

    def page(self, piece: Piece) -> int | None:
        """The page that a piece begins on, counted from 1."""
        return bisect_right(self._pages, piece.start) or None

    def without_bare_headings(self, pieces: Sequence[Piece]) -> Iterator[Piece]:
        """The pieces, less those that the headers of others say whole."""
        for piece, after in pairwise([*pieces, None]):
            assert piece is not None
            if after is None or not self._is_said(piece, after):
                yield piece

    def _at(self, start: int) -> _Heading | None:
        place = bisect_left(self._starts, start)
        found = self._headings[place : place + 1]
        return found[0] if found and found[0].start == start else None

    def _above(self, start: int) -> list[int]:
        """The headings whose sections this place lies in; one that stands here is below them."""
        own = self._at(start)
        place = bisect_left(self._starts, start) - 1
        path = []
        while place >= 0:
            if own is None or self._headings[place].level < own.level:
                path.append(place)
            place = self._parents[place]
        return path[::-1]

    def _is_said(self, piece: Piece, after: Piece) -> bool:
        first = bisect_left(self._starts, piece.start)
        end = bisect_left(self._starts, piece.start + len(piece.text))
        return (
            first < end
            and {*range(first, end)} <= {*self._above(after.start)[-_SECTIONS_MAX:]}
            and not _without_headings(piece.text)
        )


def passages(
    document: Document,
    pieces: Iterable[Piece],
    *,
    metadata: Mapping[str, object],
    labels: Sequence[str] = (),
) -> tuple[Record, ...]:
    """The records of a document that was cut.

    Args:
        document: the whole.
        pieces: its parts, in their order.
        metadata: what is kept with each; of pages each has its own beside it.
        labels: who may see them.
    """
    outline = Outline(document)
    equal: dict[tuple[str, str], int] = {}
    found = []
    for position, piece in enumerate(pieces):
        header = outline.header(piece)
        before = equal.get((header, piece.text), 0)
        equal[header, piece.text] = before + 1
        page = outline.page(piece)
        found.append(
            Record(
                id=_id(document.name, header, piece.text, str(before)),
                text=piece.text,
                header=header,
                metadata={"page": page, **metadata} if page else metadata,
                document=document.name,
                position=position,
                labels=tuple(labels),
            )
        )
    return tuple(found)


def cut_of_a_document(records: Iterable[Record]) -> list[Record]:
    """Those of some documents' records that `passages` made: their ids are of what they say.

    What somebody else has written under a document's name, or has changed the words of, is not.
    """
    alike: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        says = (record.document, placing(record.header), record.text)
        alike.setdefault(says, []).append(record)
    found: list[Record] = []
    for says, some in alike.items():
        ids = {_id(*says, str(before)) for before in range(len(some))}
        found += (record for record in some if record.id in ids)
    return found


def passage_digest(text: str) -> str:
    """By which a passage is cited: `blake3:` and the digest of its text."""
    return f"blake3:{blake3(text.encode()).hexdigest()}"


class Change(msgspec.Struct, frozen=True):
    """What separates records as they are to be from those that are kept."""

    fresh: tuple[Record, ...]
    """Not there, or with other words: to be embedded."""
    moved: tuple[Record, ...]
    """There with the same words, and with something else about them: their vectors stay good."""
    gone: tuple[Record, ...]
    """Kept, and to be no more."""
    unchanged: int

    @property
    def nothing(self) -> bool:
        """Whether all is as it is to be."""
        return not (self.fresh or self.moved or self.gone)


def changed(kept: Iterable[Record], wanted: Sequence[Record]) -> Change:
    """What is to be done so that these are kept, and of `kept` no others."""
    there = {record.id: record for record in kept}
    fresh, moved, unchanged = [], [], 0
    for record in wanted:
        old = there.pop(record.id, None)
        if old is None or not _says_the_same(record, old):
            fresh.append(record)
        elif _about(old) != _about(record):
            moved.append(record)
        else:
            unchanged += 1
    return Change(tuple(fresh), tuple(moved), tuple(there.values()), unchanged)


def placed(record: Record, old: Record) -> Record:
    """A record that has moved, with the vectors and the written context that are kept of it."""
    return msgspec.structs.replace(
        record,
        header=old.header if _headed_alike(record.header, old.header) else record.header,
        vectors={**old.vectors, **record.vectors},
        sparse={**old.sparse, **record.sparse},
    )


def _says_the_same(record: Record, old: Record) -> bool:
    """Whether the words, and all vectors that a record brings, are kept already."""
    return (
        old.text == record.text
        and _headed_alike(record.header, old.header)
        and all(old.vectors.get(name) == each for name, each in record.vectors.items())
        and all(old.sparse.get(name) == each for name, each in record.sparse.items())
    )


def _headed_alike(header: str, old: str) -> bool:
    """Whether a header says nothing new: what a model has written behind it is left as it is."""
    return old == header or (written(header) is None and placing(old) == header)


def _about(record: Record) -> tuple[object, ...]:
    return record.document, record.position, record.labels, dict(record.metadata)


def _id(*parts: str) -> str:
    digest = blake3()
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()[:_ID_DIGITS]


def _headings(text: str) -> Iterator[_Heading]:
    """Headings of both kinds, outside of fenced code."""
    start, before, fence = 0, "", ""
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\r\n") if len(line) <= _LINE_CHARS_MAX else ""
        opened = _FENCE.match(bare)
        if fence:
            if opened and opened[1].startswith(fence) and not bare.strip().strip(fence[0]):
                fence = ""
            bare = ""
        elif opened:
            fence, bare = opened[1], ""
        elif (atx := _ATX.match(bare)) is not None:
            yield _Heading(start + bare.index("#"), len(atx[1]), _plain(atx[2] or ""))
            bare = ""
        elif before.strip() and (under := _UNDERLINE.match(bare)) is not None:
            at = start - len(before.lstrip())
            yield _Heading(at, 1 if under[1][0] == "=" else 2, _plain(before))
            bare = ""
        before = line if bare else ""
        start += len(line)


def _parents(headings: Sequence[_Heading]) -> list[int]:
    """For each heading the place of the one that it stands under, or -1."""
    parents: list[int] = []
    for place, heading in enumerate(headings):
        above = place - 1
        while above >= 0 and headings[above].level >= heading.level:
            above = parents[above]
        parents.append(above)
    return parents


def _without_headings(text: str) -> str:
    """What is left of a piece of Markdown without its headings."""
    left = list(text)
    for heading in _headings(text):
        end = text.find("\n", heading.start)
        end = len(text) if end < 0 else end
        left[heading.start : end] = " " * (end - heading.start)
    return "".join(left).strip(" \t\r\n=-")


def _plain(text: str) -> str:
    """A line of Markdown as a person says it."""
    return " ".join(_MARKS.sub("", _LINK.sub(r"\1", text)).split())


def _shortened(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1].rstrip() + "…"
