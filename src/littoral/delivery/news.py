"""News: what PoPs that pull one artifact say to each other, one line of JSON each.

The first that is said over a link is whole: all chunks that the PoP has. What follows has changes
only. Links keep the order of what is said, and lose nothing unless they end.

Rules
- There are bounds for all of it, and no number is outside the artifact.
- News is never trusted for more than it costs: what is not true in it wastes time.
"""

from typing import Annotated, Final

import msgspec

from littoral.delivery.chunk_set import Run
from littoral.terms.limits import CHUNKS_MAX, NEWS_BYTES_MAX, NEWS_RUNS_MAX
from littoral.trust.decoding import UNREADABLE, PopName

__all__ = ["Deal", "News", "Table", "decoded", "encoded"]

_NUMBER: Final = msgspec.Meta(ge=0, le=2**53)
_CHUNK: Final = msgspec.Meta(ge=0, le=CHUNKS_MAX)
_RUNS: Final = msgspec.Meta(max_length=NEWS_RUNS_MAX)

Chunk = Annotated[int, _CHUNK]


class Deal(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One run of chunks, and the PoP that is to bring it into the group and pass it on."""

    first: Chunk
    end: Chunk
    owner: PopName


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the dealer of a group says of who reads what."""

    epoch: Annotated[int, _NUMBER]
    """Each dealer has a higher one than the one before; the higher counts, and of equal ones that
    of the lowest PopId."""
    number: Annotated[int, _NUMBER]
    """How many deals there were in this epoch, with these."""
    deals: Annotated[tuple[Deal, ...], _RUNS]
    """The later one counts where they overlap."""
    whole: bool = False
    """All that counts is here; what was said before does not."""


class News(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is new of one PoP."""

    uplink: Annotated[int, _NUMBER] = 0
    """Bytes in a second that it can send in all, as measured; 0 is not known."""
    pulling: bool = True
    """It wants what it lacks. Whoever has all, or gave up, does not, and stays a source."""
    holds: bytes | None = None
    """Whole news: all chunks that it has, as `ChunkSet.encoded`."""
    gained: Annotated[tuple[tuple[Chunk, Chunk], ...], _RUNS] = ()
    """Runs of chunks that it has now."""
    lost: Annotated[tuple[tuple[Chunk, Chunk], ...], _RUNS] = ()
    """Runs of chunks that it does not have any more, or doubts."""
    wrong: Annotated[tuple[tuple[Chunk, Chunk], ...], _RUNS] = ()
    """In a draft: runs of chunks that it read again at the origin, and found to be others than was
    vouched for. A hint: whoever lacks a seal looks there first."""
    hunger: Annotated[int, _NUMBER] = 0
    """Bytes that it could take on to bring in and pass on, beside those that it was dealt."""
    stuck: bool = False
    """What it was dealt can't be had from here now: others are to bring it in."""
    idle: bool = False
    """It has nothing to bring in now, and can take something even if it passes it on later."""
    heard: tuple[Annotated[int, _NUMBER], Annotated[int, _NUMBER]] = (0, 0)
    """The epoch and number of the deals that it has heard, which `hunger` takes into account."""
    table: Table | None = None
    """Said by the dealer."""


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(News)


def encoded(news: News) -> bytes:
    """As one line, without its end."""
    return _ENCODER.encode(news)


def decoded(line: bytes, chunks: int) -> News:
    """The news in this line.

    Args:
        line: as `encoded` makes it.
        chunks: how many the artifact has.

    Raises:
        ValueError: it is not news of such an artifact.
    """
    if len(line) > NEWS_BYTES_MAX:
        raise ValueError(f"news of {len(line)} bytes; at most {NEWS_BYTES_MAX} are read")
    try:
        news = _DECODER.decode(line)
    except UNREADABLE:
        raise ValueError("news is damaged, or of another version") from None
    if not _within(news, chunks):
        raise ValueError("news names chunks that the artifact does not have")
    return news


def _within(news: News, chunks: int) -> bool:
    """Whether all that it names is of the artifact."""
    runs: list[Run] = [*news.gained, *news.lost, *news.wrong]
    if news.table is not None:
        runs += [(deal.first, deal.end) for deal in news.table.deals]
    if not all(first < end <= chunks for first, end in runs):
        return False
    holds = news.holds
    if not holds:
        return True
    return holds[-1] != 0 and len(holds) * 8 - (8 - holds[-1].bit_length()) <= chunks
