"""One copy of another PoP's collection: what is known of it, and how it takes things in.

Not here: when it is kept up to date, and by whom (`following.py`).
"""

import asyncio
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from littoral.node.memory.opened import Kept
from littoral.terms.collections import Replicated
from littoral.terms.errors import ConflictError, RecordRejectedError
from littoral.terms.ids import PopId
from littoral.terms.replicas import Changes, Followed, Offer, Staleness
from littoral.terms.values import SECOND, Instant

__all__ = ["Copy", "CopyKey", "in_words", "read_said", "taken_in"]

T = TypeVar("T")

CopyKey = tuple[str, PopId]
"""A collection's name and its home."""


@dataclass(slots=True)
class Copy:
    """One copy."""

    kept: Kept
    through: int
    ever: bool
    offer: Offer | None = None
    """What its home says of it; None until that is heard."""
    fresh: Instant | None = None
    """When it last had all that its home had."""
    tries: int = 0
    """To have it from segments, since it was whole."""
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    @property
    def collection(self) -> Replicated:
        """Where its records are."""
        assert isinstance(self.kept.collection, Replicated)
        return self.kept.collection

    def rest(self) -> None:
        """Follow no more; it goes on answering."""
        if self.task is not None:
            self.task.cancel()
            self.task = None

    def staleness(self, home: PopId, now: Instant) -> Staleness:
        """How old it may be."""
        ago = None if self.fresh is None else (now - self.fresh) / SECOND
        return Staleness(home, ago, self.through)


def taken_in(copy: Copy, changes: Changes, offer: Offer, home: PopId) -> Followed:
    """Take in changes. Blocks. That there are labels is known before anything is found by them."""
    labels = any(record.labels for record in changes.records)
    if labels:
        copy.kept.labelled = True
    try:
        return copy.collection.follow(changes, offer.incarnation)
    except ConflictError as error:
        raise RecordRejectedError(f"{home} sends what is not asked for: {error}") from None
    finally:
        if labels:  # again: the loop may have been just about to say that there were none before
            copy.kept.labelled = True


def read_said(said: bytes, kind: type[T], home: PopId) -> T:
    """What a home answers, if it is of this kind.

    Raises:
        RecordRejectedError: it is not.
    """
    try:
        return msgspec.json.decode(said, type=kind)
    except (msgspec.MsgspecError, UnicodeError):
        raise RecordRejectedError(f"{home} says what is not understood") from None


def in_words(staleness: Staleness) -> str:
    """What is said of a copy in the plan of a search."""
    if staleness.seconds is None:
        return f"a copy; its home {staleness.home} was not reached since the start"
    return f"a copy, as of {staleness.seconds:.1f} s ago, of {staleness.home}"
