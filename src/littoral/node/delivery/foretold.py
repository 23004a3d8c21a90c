"""What a model that is still on its way will be: its entry, as soon as its header is here.

The header is the beginning of its file, and comes first. It is read of what is here, at growing
lengths, so that a long one costs no more than twice.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from littoral.adapters.models.describe import described_gguf
from littoral.adapters.models.gguf import parsed_gguf
from littoral.node.delivery.around import Around
from littoral.node.delivery.shelves import FillingShelf
from littoral.terms.ids import ModelName
from littoral.terms.values import ModelEntry, ModelFile

__all__ = ["foretold"]

_LOOK_S: Final = 0.1
_GROWN: Final = 1.5
_FIRST_BYTES: Final = 1024 * 1024


async def foretold(
    around: Around, shelf: FillingShelf, number: int, name: ModelName, file: ModelFile, origin: str
) -> ModelEntry:
    """The entry of a GGUF file that arrives, once its header is here.

    Args:
        around: has threads.
        shelf: what is here of its artifact.
        number: of the file in it.
        name: what the model is called.
        file: what its entry is to say of its file.
        origin: what it is pulled as.

    Raises:
        BadRequestError, UnsupportedError: it is no model that an engine here serves.
    """
    tried = 0
    while True:
        here = _beginning(shelf, number, 2 * tried + _FIRST_BYTES)
        length = sum(map(len, here))
        if length > tried * _GROWN:
            tried = length
            with suppress(_NotHereError):
                reading = _Beginning(here)
                header = await around.blocking(
                    partial(parsed_gguf, file.path, file.size_bytes, reading.read)
                )
                return described_gguf(name, header, file, origin)
        await asyncio.sleep(_LOOK_S)


def _beginning(shelf: FillingShelf, number: int, most: int) -> list[memoryview]:
    """What is here of a file from its first byte on, without a gap; of about so many bytes."""
    here: list[memoryview] = []
    first, end = shelf.intake.table.run_of(number)
    for chunk in range(first, end):
        held = shelf.held(chunk)
        if held is None or most <= 0:
            break
        here.append(held.data)
        most -= len(held.data)
    return here


class _Beginning:
    """Reads what is here, and no further."""

    def __init__(self, pieces: Sequence[memoryview]) -> None:
        self._pieces = iter(pieces)

    def read(self, least: int) -> bytes:
        """The next bytes."""
        found = b""
        while len(found) < least:
            piece = next(self._pieces, None)
            if piece is None:
                raise _NotHereError
            found += piece
        return found


class _NotHereError(Exception):
    """The header goes on in a chunk that is not here yet."""
