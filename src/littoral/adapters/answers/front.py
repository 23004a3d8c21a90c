"""What one process keeps of the cache in memory, so that a hit costs a microsecond.

Bounded in bytes; whoever was asked for longest ago goes first. The disk behind it has the better
policy and keeps what goes here.
"""

from collections import OrderedDict
from collections.abc import Iterable

from littoral.cache.answers import Entry

__all__ = ["Front"]


class Front:
    """Entries by key, in the order in which they were asked for."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._touch = self._entries.move_to_end

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """What is in it takes so much memory, nearly."""
        return self._bytes

    def get(self, key: bytes) -> Entry | None:
        """The entry of this key, now the last to go."""
        entry = self._entries.get(key)
        if entry is not None:
            self._touch(key)
        return entry

    def put(self, entry: Entry) -> None:
        """Keep an entry, if there is room for it at all."""
        self.drop((entry.key,))
        size = entry.size_bytes
        if size > self._bytes_max:
            return
        self._entries[entry.key] = entry
        self._bytes += size
        while self._bytes > self._bytes_max:
            _, gone = self._entries.popitem(last=False)
            self._bytes -= gone.size_bytes

    def drop(self, keys: Iterable[bytes]) -> None:
        """Forget these."""
        for key in keys:
            gone = self._entries.pop(key, None)
            if gone is not None:
                self._bytes -= gone.size_bytes

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    def check(self) -> None:
        """Assert that the bytes are counted right and within the bound."""
        assert self._bytes == sum(entry.size_bytes for entry in self._entries.values())
        assert self._bytes <= self._bytes_max
