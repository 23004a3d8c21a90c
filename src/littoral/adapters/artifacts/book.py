"""The book of a store: how often each artifact was asked for, what fetching took, what is pinned.

It is one small file, written whole. Pins are on disk before `pin` returns; of uses the latest may
be lost with a kill, which changes what goes first and nothing else.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import msgspec

from littoral.adapters.artifacts.disk import Disk, translated
from littoral.delivery.eviction import worth
from littoral.terms.errors import StoreError
from littoral.terms.ids import ArtifactId

__all__ = ["Book", "Entry", "read_book"]


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of one artifact."""

    asked: int = 0
    priority: float = 0.0
    """As GDSF has it: the lowest goes first."""
    refetch_s: float | None = None
    pinned: bool = False


class _Pages(msgspec.Struct, forbid_unknown_fields=True, tag=1, tag_field="v"):
    clock: float = 0.0
    scrubbed: str = ""
    entries: dict[ArtifactId, Entry] = {}


_DECODER: Final = msgspec.json.Decoder(_Pages)
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


def read_book(path: Path) -> Mapping[ArtifactId, Entry]:
    """The entries that are on disk. Raises as `_read`."""
    return _read(path).entries


def _read(path: Path) -> _Pages:
    """All that is on disk.

    Raises:
        StoreError: they are damaged, or can't be read.
    """
    with translated():
        data = path.read_bytes() if path.exists() else b'{"v":1}'
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeError):
        raise StoreError(
            f"{path} is damaged, or of another version",
            advice="remove it: pins and the order in which artifacts go are lost, and nothing else",
        ) from None


class Book:
    """The book, in the hands of its one writer. It does not lock."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._path = path
        pages = _read(path)
        self._clock, self._entries = pages.clock, pages.entries
        self.scrubbed = pages.scrubbed
        """The file where scrubbing is; written with the next change."""
        self._changed = False

    def entry(self, artifact: ArtifactId) -> Entry:
        """What is known of an artifact."""
        return self._entries.get(artifact, Entry())

    def use(self, artifact: ArtifactId, size_bytes: int, refetch_s: float | None) -> None:
        """Count that an artifact was asked for; `refetch_s` is None where it was not measured."""
        entry = self._entries.setdefault(artifact, Entry())
        entry.asked += 1
        entry.refetch_s = entry.refetch_s if refetch_s is None else refetch_s
        entry.priority = self._clock + worth(entry.asked, entry.refetch_s, size_bytes)
        self._changed = True

    def pin(self, artifact: ArtifactId, *, pinned: bool) -> None:
        """Note a pin, on disk."""
        entry = self._entries.setdefault(artifact, Entry())
        entry.pinned, before = pinned, entry.pinned
        self._changed = True
        try:
            self.write()
        except BaseException:
            entry.pinned = before
            raise

    def advance(self, clock: float) -> None:
        """Artifacts up to this priority have gone."""
        self._clock = max(self._clock, clock)
        self._changed = True

    def forget_all_but(self, artifacts: Collection[ArtifactId]) -> None:
        """Forget what is not here any more."""
        for gone in self._entries.keys() - set(artifacts):
            del self._entries[gone]
            self._changed = True

    def write(self) -> None:
        """Have all of it on disk."""
        if self._changed:
            self._disk.write_whole(
                self._path, _ENCODER.encode(_Pages(self._clock, self.scrubbed, self._entries))
            )
            self._changed = False
