"""The writing of contexts for the passages of a collection: what is asked for, how far it has come.

What is left to do is not here: it follows from the passages themselves (`memory/contextual.py`).
"""

import enum

import msgspec

from littoral.terms.ids import KeyId, ModelName

__all__ = ["ContextJob", "ContextShown", "ContextState", "ContextWanted"]


class ContextState(enum.Enum):
    """How far the work is."""

    NONE = "none"
    """Nobody has asked for it."""
    RUNNING = "running"
    DONE = "done"
    """No passage was left; what comes later waits until it is asked for again."""
    STOPPED = "stopped"
    FAILED = "failed"


class ContextWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That contexts be written."""

    model: str
    """Writes them: a model that chats."""


class ContextJob(msgspec.Struct, frozen=True, kw_only=True):
    """The work on one collection, as it is kept."""

    scope: str
    collection: str
    model: ModelName
    key_id: KeyId
    """On whose limits it counts."""
    state: ContextState = ContextState.RUNNING
    message: str = ""
    """Why it has failed."""
    written: int = 0
    without: int = 0
    """Passages of which the model has said nothing that is of use."""
    number: int = 0
    """Only grows: who asks again begins another."""


class ContextShown(msgspec.Struct, frozen=True, kw_only=True):
    """The work on one collection, as it is shown; who may not see all of it is told no numbers."""

    collection: str
    state: ContextState
    model: str = ""
    message: str = ""
    written: int = 0
    without: int = 0
    left: int | None = None
    """Passages that the model was not asked about yet, as far as is known."""
    waits: str = ""
    """For what it waits, in words."""
