"""A mover that gives others wrong bytes for some chunks: one bit of them is another.

It is littoral.node.delivery.mover in all else, and started as that is.
"""

from typing import Final

from littoral.adapters.moving.words import Held
from littoral.node.delivery import mover
from littoral.node.delivery.shelves import FillingShelf

__all__ = ["EVERY"]

EVERY: Final = 16
"""One chunk in so many."""
_PLACE: Final = 1000
_held = FillingShelf.held


def _lying(self: FillingShelf, number: int) -> Held | None:
    held = _held(self, number)
    if held is None or number % EVERY != EVERY // 2 or len(held.data) <= _PLACE:
        return held
    wrong = bytearray(held.data)
    wrong[_PLACE] ^= 1
    return Held(held.digest, memoryview(wrong))


if __name__ == "__main__":
    FillingShelf.held = _lying  # type: ignore[method-assign]
    mover.main()
