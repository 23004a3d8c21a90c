"""The models of a PoP as each process of it knows them: their entries, without what runs them.

They are those of its catalogue, and guests: models that other PoPs answer for, which whoever knows
the fleet offers. A model of the catalogue hides a guest of its name; so does one that is on its way
here (arrivals.py), until it is in the catalogue.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final, Protocol

from littoral.adapters.models import Catalogue
from littoral.terms.errors import (
    LittoralError,
    NotAllowedError,
    UnknownModelError,
    UnsupportedError,
)
from littoral.terms.ids import ModelName
from littoral.terms.limits import CATALOGUE_WATCH_S
from littoral.terms.values import Caller, EngineKind, ModelEntry

__all__ = [
    "PIPELINE",
    "Entries",
    "KnownModels",
    "Told",
    "effective",
    "entry_for",
    "is_pipeline",
    "watch",
]

log = logging.getLogger("littoral")

PIPELINE: Final = "pipeline:"
"""What the name of a model begins with that is a pipeline."""

Told = Callable[[Collection[ModelName], Collection[ModelEntry]], None]
"""Hears which models have gone, and then which entries are new or changed. One whose place another
one takes (a guest's, a model of this machine) has gone, and is new."""


class KnownModels(Protocol):
    """What answers hot requests needs of the models: their entries."""

    def entry(self, name: ModelName) -> ModelEntry:
        """The entry of this name. Raises UnknownModelError."""

    def fallbacks(self, entry: ModelEntry) -> tuple[ModelEntry, ...]:
        """The models that this one falls back to, as far as they are here."""


def effective(entry: ModelEntry, kv_tokens: int) -> ModelEntry:
    """The entry with the context that a request really gets here, for all who show it."""
    if entry.engine is not EngineKind.LLAMA:
        return entry
    return replace(entry, context_tokens=min(entry.context_tokens, kv_tokens))


async def watch(rescan: Callable[[], None]) -> None:
    """Rescan until cancelled, so that what commands change is seen without a request."""
    while True:
        await asyncio.sleep(CATALOGUE_WATCH_S)
        try:
            rescan()
        except (LittoralError, OSError) as error:
            log.warning("the catalogue can't be read for now: %s", error)


def is_pipeline(name: ModelName) -> bool:
    """Whether this is the name of a pipeline, as clients write it for a model's."""
    return name.startswith(PIPELINE)


def entry_for(models: KnownModels, name: ModelName, caller: Caller) -> ModelEntry:
    """The model that is asked for, if the caller may use it.

    Raises:
        NotAllowedError: the key does not allow this model.
        UnknownModelError: there is none of this name.
    """
    if caller.models is not None and name not in caller.models:
        raise NotAllowedError(
            f"this key may not use {name}",
            advice=f"it may use {', '.join(caller.models) or 'no model'}",
            param="model",
        )
    return models.entry(name)


class Entries:
    """The catalogue, read again when it has changed, and guests. What is as it was stays so."""

    def __init__(
        self, catalogue: Catalogue, kv_tokens: int, told: Told = lambda _, __: None
    ) -> None:
        """Read it.

        Args:
            catalogue: of the PoP.
            kv_tokens: key-value cache of each local model, as `HostSettings` has it.
            told: of each difference from what was known, the first reading included.
        """
        self._catalogue = catalogue
        self._kv_tokens = kv_tokens
        self._told = told
        self._entries: Mapping[ModelName, ModelEntry] = {}
        self._own: Mapping[ModelName, ModelEntry] = {}
        self._guests: Mapping[ModelName, ModelEntry] = {}
        self._arriving: Mapping[ModelName, ModelEntry] = {}
        self._scanned_at: int | None = None
        self.rescan()

    @property
    def by_name(self) -> Mapping[ModelName, ModelEntry]:
        """All that are known now."""
        return self._entries

    def rescan(self) -> None:
        """See what any process has added, changed or removed."""
        changed_at = self._catalogue.changed_at()
        if changed_at == self._scanned_at:
            return
        read = [effective(each, self._kv_tokens) for each in self._catalogue.entries()]
        self._scanned_at = changed_at
        self._own = _kept(self._own, {entry.name: entry for entry in read})
        self._put_together()

    def offer(self, models: Mapping[ModelName, ModelEntry]) -> None:
        """Have these guests, and no others.

        Args:
            models: each is asked of other PoPs alone (`ModelEntry.guest`), by its own name.
        """
        assert all(entry.guest and entry.name == name for name, entry in models.items())
        guests = _kept(self._guests, models)
        if guests != self._guests:
            self._guests = guests
            self._put_together()

    def expect(self, models: Mapping[ModelName, ModelEntry]) -> None:
        """Have these that are still on their way, and no others; see what has arrived."""
        self.rescan()
        arriving = _kept(
            self._arriving, {n: effective(e, self._kv_tokens) for n, e in models.items()}
        )
        if arriving != self._arriving:
            self._arriving = arriving
            self._put_together()

    def guest(self, name: ModelName) -> ModelEntry | None:
        """The model of this name as other PoPs have it, also where this PoP's own hides it."""
        return self._guests.get(name)

    def _put_together(self) -> None:
        known, found = self._entries, {**self._guests, **self._arriving, **self._own}
        self._entries = found
        changed = [entry for name, entry in found.items() if entry is not known.get(name)]
        replaced = {
            entry.name
            for entry in changed
            if entry.name in known and known[entry.name].guest != entry.guest
        }
        self._told((known.keys() - found.keys()) | replaced, changed)

    def entry(self, name: ModelName) -> ModelEntry:
        """The entry of this name; looks again on disk before it says there is none.

        Raises:
            UnknownModelError: there is none.
            UnsupportedError: it is of a pipeline.
        """
        if name not in self._entries:
            self.rescan()
        entry = self._entries.get(name)
        if entry is None and name.startswith(PIPELINE):
            raise UnsupportedError(
                "a pipeline is no model, and is not asked for this",
                advice="ask it in a chat, a response or a message",
                param="model",
            )
        if entry is None:
            raise UnknownModelError(f"there is no model {name!r} on this PoP", param="model")
        return entry

    def fallbacks(self, entry: ModelEntry) -> tuple[ModelEntry, ...]:
        """The models that this one falls back to, as far as they are here."""
        return tuple(self._entries[name] for name in entry.fallbacks if name in self._entries)


def _kept(
    known: Mapping[ModelName, ModelEntry], found: Mapping[ModelName, ModelEntry]
) -> Mapping[ModelName, ModelEntry]:
    """What was found; entries that are as they were are the same objects."""
    return {
        name: known[name] if name in known and known[name] == entry else entry
        for name, entry in found.items()
    }
