"""What purges named: as a clause, and remembered for answers that were being computed meanwhile.

A put that began before a purge is kept only if that purge is remembered and names it not. The last
PURGES_KEPT are; each has the epoch that it began.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from littoral.adapters.store.database import Database
from littoral.cache.answers import Entry, Selector

__all__ = ["PURGES_KEPT", "LaterPurges", "later_purges", "remember", "where_of"]

PURGES_KEPT: Final = 256

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Selector).decode


@dataclass(frozen=True, slots=True)
class LaterPurges:
    """Those after some epoch, as far as they are remembered."""

    _epoch: int
    _purges: Sequence[tuple[int, Selector]]

    def spare(self, entry: Entry, began: int) -> bool:
        """Whether all purges since this epoch are remembered, and none names the entry."""
        later = [selector for number, selector in self._purges if number > began]
        return len(later) == self._epoch - began and not any(one.selects(entry) for one in later)


def later_purges(database: Database, since: int, epoch: int) -> LaterPurges:
    """Those after the epoch `since`, up to the present one."""
    if since == epoch:
        return LaterPurges(epoch, ())
    rows = database.read("SELECT epoch, selector FROM purges WHERE epoch > ?", (since,))
    return LaterPurges(epoch, [(number, _decode(selector)) for number, selector in rows])


def remember(database: Database, epoch: int, selector: Selector) -> None:
    """A purge begins this epoch, and names this."""
    database.write("INSERT INTO purges VALUES (?, ?)", (epoch, _encode(selector)))
    database.write("DELETE FROM purges WHERE epoch <= ?", (epoch - PURGES_KEPT,))


def where_of(selector: Selector) -> tuple[str, list[object]]:
    """The clause that selects, and its values; none for all, which is much faster."""
    given = {
        "key = ?": selector.answer,
        "key_id = ?": selector.key_id,
        "model = ?": selector.model,
        "scope = ?": selector.scope,
        "instr(tags, ?)": None if selector.tag is None else f",{selector.tag},",
    }
    said = {condition: value for condition, value in given.items() if value is not None}
    return f" WHERE {' AND '.join(said)}" if said else "", list(said.values())
