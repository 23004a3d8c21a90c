"""The files that are open to be filled, by what they are known by: artifacts may share one."""

from threading import RLock

from littoral.adapters.artifacts.disk import Disk
from littoral.adapters.artifacts.places import Places, key_of
from littoral.adapters.artifacts.slot import Slot
from littoral.delivery.manifest import FileRow
from littoral.delivery.tables import Table

__all__ = ["Slots"]


class Slots:
    """Open files, each with how many have taken it. May be used on any thread."""

    def __init__(self, disk: Disk, places: Places) -> None:
        self._disk = disk
        self._places = places
        self._lock = RLock()
        self._open: dict[str, tuple[Slot, int]] = {}

    def take(self, row: FileRow, table: bytes) -> Slot:
        """Open a file, or share it with who has it open. Raises as `Slot`."""
        key = key_of(row)
        with self._lock:
            slot, users = self._open.get(key) or (self._opened(key, table), 0)
            self._open[key] = slot, users + 1
            return slot

    def give(self, row: FileRow) -> None:
        """Say that a file that was taken is not needed any more."""
        key = key_of(row)
        with self._lock:
            slot, users = self._open.pop(key)
            if users > 1:
                self._open[key] = slot, users - 1
            else:
                slot.close()

    def __contains__(self, key: str) -> bool:
        return key in self._open

    def lacking_bytes(self) -> int:
        """What all of them will take on disk beyond what they take now."""
        with self._lock:
            return sum(slot.lacking_bytes() for slot, _ in self._open.values())

    def _opened(self, key: str, table: bytes) -> Slot:
        alone = Table([table])
        return Slot(self._disk, self._places.slot(key), alone, lambda number: alone[number].hash)
