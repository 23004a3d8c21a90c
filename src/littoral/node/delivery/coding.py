"""Encodes what goes to others, where that makes it quicker; `delivery/encoding.py` says how.

Rules
- Only while the uplink carries less than this machine could encode with a part of one core: on a
  quick network the bytes are not what takes the time.
- What was encoded last is kept for a while: in a broadcast each chunk goes to all others at about
  the same time.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from littoral.adapters.moving.words import Held
from littoral.delivery.encoding import Encoding
from littoral.delivery.resemblance import Tensors, encoded
from littoral.delivery.tables import Table
from littoral.node.delivery.whole import Whole
from littoral.terms.limits import ENCODED_KEPT_BYTES

__all__ = ["Coding"]

_Coded = tuple[Encoding, memoryview]

_SLOW_BYTES_S: Final = 100_000_000
"""Of an uplink: what a quarter of a core encodes as deltas, a sixth in planes; 0.8 Gbit/s."""
_NOTE_BYTES: Final = 256
"""What it takes to know that a chunk is not worth it, or where it is kept."""


class Coding:
    """Of one mover. Called on its loop."""

    def __init__(self, uplink: Callable[[], float | None]) -> None:
        """Encode nothing yet.

        Args:
            uplink: bytes in a second that this PoP can send in all; None before that is measured.
        """
        self._uplink = uplink
        self._kept: OrderedDict[tuple[bytes, str], _Coded | None] = OrderedDict()
        self._kept_bytes = 0

    @property
    def pays(self) -> bool:
        """Whether the uplink is slow enough."""
        measured = self._uplink()
        return measured is None or measured < _SLOW_BYTES_S

    def coder(self, table: Table, own: Tensors, base: Whole | None) -> "_Coder":
        """Encodes chunks of one artifact for one peer.

        Args:
            table: of the artifact, or of a draft of it.
            own: its tensors.
            base: an artifact that is here and that the peer has too.
        """
        return _Coder(self, table, own, base)

    def found(self, key: tuple[bytes, str], code: Callable[[], _Coded | None]) -> _Coded | None:
        """What a chunk is encoded; `code` makes it where it is not kept."""
        kept = self._kept
        if key in kept:
            kept.move_to_end(key)
            return kept[key]
        made = kept[key] = code()
        self._kept_bytes += _bytes_of(made)
        while self._kept_bytes > ENCODED_KEPT_BYTES:
            _, gone = kept.popitem(last=False)
            self._kept_bytes -= _bytes_of(gone)
        return made


class _Coder:
    """See moving.Coder."""

    def __init__(self, coding: Coding, table: Table, own: Tensors, base: Whole | None) -> None:
        self._coding = coding
        self._table = table
        self._own = own
        self._base = base

    def coded(self, number: int, held: Held) -> _Coded | None:
        """See moving.Coder."""
        if not self._coding.pays:
            return None
        against = "" if self._base is None else self._base.artifact
        return self._coding.found((held.digest, against), lambda: self._code(number, held))

    def _code(self, number: int, held: Held) -> _Coded | None:
        base = None if self._base is None else (self._base.tensors, self._base.span)
        made = encoded(self._table[number], held.data, self._own, base)
        return None if made is None else (made[0], memoryview(made[1]))


def _bytes_of(coded: _Coded | None) -> int:
    return _NOTE_BYTES + (0 if coded is None else len(coded[1]))
