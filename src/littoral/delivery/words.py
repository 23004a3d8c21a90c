"""The words of a pull (pull.py): what it is told, and what it says is to be done.

Chunks are named by their numbers (`ChunkSet`), PoPs by their ids, the origin by `ORIGIN`. Events
and effects are Structs, as every chunk makes some.
"""

import enum
from typing import Final

import msgspec

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.news import News
from littoral.terms.ids import PopId

__all__ = [
    "ORIGIN",
    "Begin",
    "Blame",
    "Cancel",
    "Drop",
    "Effect",
    "Ended",
    "Event",
    "Fail",
    "Fetch",
    "Finish",
    "Landed",
    "Met",
    "Moving",
    "Parted",
    "Rates",
    "Replaced",
    "Role",
    "Seal",
    "SealFailed",
    "Sealed",
    "Spoiled",
    "Tell",
    "Told",
    "Wanted",
    "Woke",
]

ORIGIN: Final = PopId("")
"""In place of a PoP, as a source: the origin itself."""


class Role(enum.Enum):
    """What another PoP is to this one (`grouping.company` says it)."""

    EQUAL = "equal"
    """One of its group: they share out what comes from the group's spring, and pass it on."""
    SPRING = "spring"
    """The head of its site, which brings everything in: the group reads from it, not from the
    origin. At most one at a time."""
    BELOW = "below"
    """One of the site that this PoP is the head of."""


class Begin(msgspec.Struct, frozen=True, gc=False):
    """The pull begins; said once, before all else."""


class Met(msgspec.Struct, frozen=True):
    """A PoP with this artifact, or parts of it, can be reached. Said again if its role changes."""

    pop: PopId
    role: Role
    news: News
    """The first that it said over this link: whole."""


class Parted(msgspec.Struct, frozen=True, gc=False):
    """It can't be reached any more."""

    pop: PopId


class Told(msgspec.Struct, frozen=True):
    """It said what is new."""

    pop: PopId
    news: News


class Landed(msgspec.Struct, frozen=True, gc=False):
    """A chunk came, has the hash that it is to have, and is written.

    It may come late, after `Drop`, or unasked: whoever has it, has it. What was held is not written
    again, as another may vouch for it; only what comes from the origin in a draft is.
    """

    fetch: int
    chunk: int
    voucher: PopId = ORIGIN
    """In a draft: who said that this is its hash. `ORIGIN`: this PoP read it at the origin itself,
    or the manifest says it."""
    changed: bool = False
    """It was held already, and its bytes were others."""


class Moving(msgspec.Struct, frozen=True, gc=False):
    """Bytes of a fetch come, and its next chunk is not whole yet.

    Said about twice a second, so that a slow source is not taken for a silent one.
    """

    fetch: int


class Spoiled(msgspec.Struct, frozen=True, gc=False):
    """A chunk came with another hash, and was thrown away."""

    fetch: int
    chunk: int


class Ended(msgspec.Struct, frozen=True, gc=False):
    """A fetch is over, whatever came of it. Not said after `Drop`."""

    fetch: int
    error: str | None = None
    """What went wrong, in words; None where the source sent all that it was to send."""


class Rates(msgspec.Struct, frozen=True, gc=False):
    """What was measured of this PoP's own link."""

    uplink: int
    """Bytes in a second that it can send in all; 0 is not known."""


class Wanted(msgspec.Struct, frozen=True):
    """Somebody here waits for these chunks: an engine that reads what arrives.

    What would come late is asked for at once, and with it what follows it in the artifact. Wanted
    once is wanted until it has landed.
    """

    chunks: ChunkSet


class Woke(msgspec.Struct, frozen=True, gc=False):
    """The deadline that was asked for has come."""


class Sealed(msgspec.Struct, frozen=True, gc=False):
    """All files are what their origin promises, and are stored for good."""


class SealFailed(msgspec.Struct, frozen=True, gc=False):
    """A whole file has another digest than its origin promises."""

    first: int
    end: int
    """Its chunks: the first, and the one after the last."""


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """Nobody wants it any more. What came stays."""


Event = (
    Begin
    | Met
    | Parted
    | Told
    | Landed
    | Moving
    | Spoiled
    | Ended
    | Rates
    | Wanted
    | Woke
    | Sealed
    | SealFailed
    | Cancel
)


class Fetch(msgspec.Struct, frozen=True):
    """Ask a source for these chunks, beside what it is asked already.

    A PoP sends each as soon as it has it, in any order, those of older fetches first; so it may be
    asked for what it does not have yet. The origin is asked for one run at a time, each when what
    came before is nearly here: two at once would only make the first one late.
    """

    id: int
    source: PopId
    chunks: ChunkSet
    at_once: bool = False
    """It does not wait its turn at the origin."""


class Drop(msgspec.Struct, frozen=True, gc=False):
    """End this fetch; nothing more is wanted of it.

    A part of a fetch is not called off: what is asked elsewhere meanwhile may come twice, until the
    rest of the fetch is here and it is dropped. In worlds that costs a five-hundredth of the bytes.
    """

    id: int


class Tell(msgspec.Struct, frozen=True):
    """Say this to all PoPs that were met and have not parted; in order, to each."""

    news: News


class Blame(msgspec.Struct, frozen=True, gc=False):
    """This source gave wrong bytes under the name of this chunk, or said that they were right."""

    source: PopId
    chunk: int


class Replaced(msgspec.Struct, frozen=True, gc=False):
    """A source was too slow or silent, and others are asked instead."""

    source: PopId


class Seal(msgspec.Struct, frozen=True, gc=False):
    """All chunks are here: compare whole files with what the origin promises, and store them.

    `Sealed` or `SealFailed` is the answer.
    """


class Finish(msgspec.Struct, frozen=True, gc=False):
    """It is all here. The last effect."""


class Fail(msgspec.Struct, frozen=True, gc=False):
    """It can't be had. The last effect."""

    reason: str
    """In words, for whoever asked."""


Effect = Fetch | Drop | Tell | Blame | Replaced | Seal | Finish | Fail
