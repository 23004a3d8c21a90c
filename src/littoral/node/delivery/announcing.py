"""Has a model be asked for while it is still on its way.

Its entry is said as soon as its header is here. Its file may be opened already where every byte can
be checked (the artifact is known, not a draft) and where there can be a mount; else whoever wants
the model waits for all of it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from littoral.adapters.models import Catalogue
from littoral.node.delivery.adding import NO_MODEL, digest_present, model_among
from littoral.node.delivery.around import Around
from littoral.node.delivery.arriving import Arriving, Showing
from littoral.node.delivery.finding import FoundDraft, FoundManifest
from littoral.node.delivery.foretold import foretold
from littoral.node.delivery.group import Group
from littoral.terms.errors import LittoralError
from littoral.terms.ids import ModelName
from littoral.terms.values import ModelEntry, ModelFile

__all__ = ["Announced"]

log = logging.getLogger("littoral")


@dataclass(slots=True)
class Announced:
    """The model of one pull, as far as it is known."""

    around: Around
    arriving: Arriving
    catalogue: Catalogue
    changed: Callable[[], None]
    """Told when there is an entry to say."""
    name: ModelName | None = None
    """What the model will be called, if that is known."""
    entry: ModelEntry | None = None
    """As it will be, once that is known."""
    _showing: Showing | None = None

    async def begin(
        self, found: FoundManifest | FoundDraft, group: Group, reference: str, name: str | None
    ) -> None:
        """Say what it will be, as soon as that is known; nothing where there is no one model.

        Where it was given a name and turns out to be none, nothing more is fetched.
        """
        try:
            chosen = model_among(found.files, reference, name)
            if chosen is not None:
                self.name = chosen[1]
                await self._begin(found, group, reference, *chosen)
        except LittoralError as error:
            log.info("%s can't be asked for before it is here: %s", reference, error)
            if name is not None and isinstance(error, NO_MODEL):
                group.fail(error)

    async def _begin(
        self,
        found: FoundManifest | FoundDraft,
        group: Group,
        reference: str,
        number: int,
        name: ModelName,
    ) -> None:
        draft = isinstance(found, FoundDraft)
        row = found.files[number]
        if row.sha256 is None or digest_present(self.catalogue, name) is not None:
            return
        file = ModelFile(row.path, row.size_bytes, row.sha256)
        entry = await foretold(self.around, group.shelf, number, name, file, reference)
        path = ""
        if not draft:
            folder = found.name.removeprefix("blake3:")[:16]
            self._showing = self.arriving.show(folder, group.shelf, found.paths, group.want)
            path = "" if self._showing is None else str(self._showing.paths[number])
        self.entry = replace(entry, files=(replace(file, path=path),), arriving=True)
        self.changed()

    def end(self, *, whole: bool) -> None:
        """It is in the catalogue, or will never be."""
        if self._showing is not None:
            self._showing.end(whole=whole)
            self._showing = None
