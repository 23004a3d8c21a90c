"""Cuts documents into passages: by their structure, and then by what a model can take.

Rules
- First by characters, which is quick: Markdown at its headings, paragraphs and lists, text at its
  paragraphs and sentences. Then all pieces are counted in one go by the model's own tokenizer,
  headers included, and the few that are too long are cut again.
- The tokenizer's own truncation and padding are switched off: files of tokenizers carry them, and
  everything would seem short enough.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import ceil
from typing import Final

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from littoral.adapters.documents.kinds import refused
from littoral.memory.passages import Cutting, Document, Outline, Piece
from littoral.terms.limits import PASSAGE_CHARS_MAX, PASSAGES_MAX

__all__ = ["TokenLimit", "pieces_of"]

_SLACK: Final = 0.95
"""Of the characters that seem to fit: words differ in their tokens."""

_STRETCH_CHARS: Final = 2 * PASSAGE_CHARS_MAX

_GROUP: Final = 1_024
"""Pieces that are counted at once."""


class TokenLimit:
    """How many tokens a model takes, by its own tokenizer."""

    def __init__(self, path: str, tokens_max: int) -> None:
        """Read the tokenizer."""
        from tokenizers import Tokenizer  # noqa: PLC0415  # not for who cuts by characters

        self._tokenizer = Tokenizer.from_file(path)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.tokens_max = tokens_max

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each, the model's own marks included."""
        return [
            len(encoding.ids)
            for start in range(0, len(texts), _GROUP)
            for encoding in self._tokenizer.encode_batch_fast(texts[start : start + _GROUP])
        ]


def pieces_of(document: Document, cutting: Cutting, limit: TokenLimit | None) -> list[Piece]:
    """Where a document is cut.

    Args:
        document: what is cut.
        cutting: how long pieces may be.
        limit: of the model that embeds them, if it is known.

    Raises:
        BadRequestError: there would be too many pieces.
    """
    overlap = min(cutting.overlap, cutting.chars // 2)
    kind = MarkdownSplitter if document.markdown else TextSplitter
    splitter = kind(cutting.chars, overlap=overlap)
    outline = Outline(document)
    pieces = [
        Piece(stretch.start + start, text)
        for stretch in _stretches(document.text, outline)
        for start, text in splitter.chunk_indices(stretch.text)
        if any(map(str.isalnum, text))  # a rule, or the end of a block of code, says nothing
    ]
    pieces = list(outline.without_bare_headings(pieces))
    if limit is not None:
        pieces = _short_enough(pieces, outline, limit)
    if len(pieces) > PASSAGES_MAX:
        raise refused(
            document.name,
            f"makes {len(pieces):,} passages",
            f"cut it into several files, or take longer passages: at most {PASSAGES_MAX:,} fit",
        )
    return pieces


def _stretches(text: str, outline: Outline) -> Iterator[Piece]:
    """The text in parts that the splitter takes one after the other.

    It takes time as the square of a text that has no structure; so a long one is parted before, at
    a heading if there is one, else at an empty line, the end of a line, or somewhere.
    """
    start = 0
    while len(text) - start > _STRETCH_CHARS:
        middle, end = start + _STRETCH_CHARS // 2, start + _STRETCH_CHARS
        cut = outline.last_heading(start, end) or end
        if cut == end and (line := text.rfind("\n", middle, end)) > 0:
            paragraph = text.rfind("\n\n", middle, end)
            cut = (paragraph if paragraph > 0 else line) + 1
        yield Piece(start, text[start:cut])
        start = cut
    yield Piece(start, text[start:])


def _short_enough(pieces: Sequence[Piece], outline: Outline, limit: TokenLimit) -> list[Piece]:
    """The pieces, those that are too long cut until none is."""
    headers = [outline.header(piece) for piece in pieces]
    whole = [f"{header}\n{piece.text}" for header, piece in zip(headers, pieces, strict=True)]
    beside = dict(zip(set(headers), limit.counts([*set(headers)]), strict=True))
    found: list[Piece] = []
    for piece, header, count in zip(pieces, headers, limit.counts(whole), strict=True):
        if count <= limit.tokens_max:
            found.append(piece)
        else:
            # A header that fills the model by itself leaves half of it for the text all the same.
            room = max(limit.tokens_max - beside[header], limit.tokens_max // 2)
            found.extend(_cut(piece, room, limit))
    return found


def _cut(piece: Piece, room: int, limit: TokenLimit) -> list[Piece]:
    (count,) = limit.counts([piece.text])
    if count <= room or len(piece.text) < 2:
        return [piece]
    parts = ceil(count / room)
    chars = max(1, int(min(len(piece.text) * room / count * _SLACK, len(piece.text) / parts + 32)))
    chars = min(chars, len(piece.text) - 1)
    return [
        part
        for start, text in _by_chars(chars).chunk_indices(piece.text)
        if text
        for part in _cut(Piece(piece.start + start, text), room, limit)
    ]


@lru_cache(maxsize=64)
def _by_chars(chars: int) -> TextSplitter:
    return TextSplitter(chars)
