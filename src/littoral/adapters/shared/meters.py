"""Meters: numbers that a process counts up in a file, so that they survive it and can be added up.

Each worker of a PoP has a file, `meters-NUMBER.bin` in HOME/run: series one after another, each its
text (name and labels) and its cells, floating-point numbers.

Rules
- Only the owner writes its file, and holds its lock as long as it lives; so nothing is locked to
  count, and a reader sees whether the owner lives. A new owner goes on where the last one stopped.
- A series is there once it is whole: its end is written last. Killing the owner loses no count.
- The file does not grow. When it is full, further series of a name are counted together under
  labels that all say `other`, for which room is kept.
- A reader sees each cell whole, and several cells as of slightly different moments.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

import msgspec

from littoral.adapters.shared.board import Board
from littoral.terms.limits import METERS_BYTES_MAX

__all__ = ["OTHER", "Meters", "Series", "series_words"]

OTHER: Final = "other"
"""What all labels of a series say that counts for those that had no room."""

_WORD_BYTES: Final = 8
_END: Final = 0
"""The word that says where the last whole series ends."""
_FIRST: Final = 8
"""Where the first series begins."""

_TEXT: Final = msgspec.json.Decoder(tuple[str, tuple[str, ...]])


class Series(NamedTuple):
    """One series as it was read."""

    name: str
    labels: tuple[str, ...]
    cells: list[float]
    alive: bool
    """Whether its owner lives: what only a living process can say is void otherwise."""


class Meters:
    """One worker's file, open for counting: `cells[at] += 1`. Closed by whoever opened it."""

    def __init__(self, board: Board, *, reserved_words: int) -> None:
        """Count on this board, of which nobody else writes a word.

        Args:
            board: as it was made, or as an earlier owner left it.
            reserved_words: room that is kept for the series of what has no room.
        """
        self._board = board
        self._words = board.words
        self.cells = board.floats
        self._end_max = len(board.words) - reserved_words
        if not self._words[_END]:
            self._words[_END] = _FIRST
        self._places = {(name, labels): at for name, labels, at, _ in _rows(board)}

    @classmethod
    def own(cls, run: Path, worker: int, *, reserved_words: int) -> Self:
        """Open or make the file of this worker, after the death of any earlier owner.

        Raises:
            DiskShortError, HomeUnwritableError, StoreError: it can't be used.
        """
        path = run / f"meters-{worker}.bin"
        board = Board.open_or_create(path, METERS_BYTES_MAX // _WORD_BYTES)
        board.lock.keep()
        return cls(board, reserved_words=reserved_words)

    @classmethod
    def private(cls, *, reserved_words: int) -> Self:
        """Meters of one process alone, in a file without a name."""
        board = Board.private(METERS_BYTES_MAX // _WORD_BYTES)
        return cls(board, reserved_words=reserved_words)

    def series(self, name: str, labels: Sequence[str], cells: int) -> int:
        """Where the first of a series' cells is; it is made if need be, all 0."""
        labels = tuple(labels)
        at = self._places.get((name, labels))
        if at is None:
            if self._words[_END] + series_words(name, labels, cells) > self._end_max:
                labels = (OTHER,) * len(labels)
                at = self._places.get((name, labels))
            if at is None:
                at = self._places[name, labels] = self._make(name, labels, cells)
        return at

    def own_series(self) -> list[Series]:
        """Every series of this worker."""
        return list(_read(self._board, alive=True))

    def everyone(self) -> Iterator[Series]:
        """Every series of this worker and of all others of its PoP, also of those that died."""
        yield from self.own_series()
        own = self._board.path
        for path in sorted(own.parent.glob("meters-*.bin")) if own else ():
            if path != own:
                with Board.open(path) as board:
                    yield from _read(board, alive=board.lock.held_elsewhere())

    def close(self) -> None:
        """Let go of the file, which stays."""
        self._board.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make(self, name: str, labels: tuple[str, ...], cells: int) -> int:
        words, at = self._words, self._words[_END]
        text = _text(name, labels)
        end = at + series_words(name, labels, cells)
        assert end <= len(words), "room is kept for the series of the rest"
        begin = end - cells
        words[at], words[at + 1] = len(text), cells
        padded = text.ljust((begin - at - 2) * _WORD_BYTES, b"\0")
        for number in range(begin - at - 2):
            word = padded[number * _WORD_BYTES : (number + 1) * _WORD_BYTES]
            words[at + 2 + number] = int.from_bytes(word, "little", signed=True)
        for cell in range(begin, end):
            self.cells[cell] = 0.0
        words[_END] = end
        return begin


def series_words(name: str, labels: Sequence[str], cells: int) -> int:
    """How many words a series takes."""
    return 2 - len(_text(name, labels)) // -_WORD_BYTES + cells


def _text(name: str, labels: Sequence[str]) -> bytes:
    return msgspec.json.encode((name, labels))


def _rows(board: Board) -> Iterator[tuple[str, tuple[str, ...], int, int]]:
    """Name, labels, first cell and count of cells of each series."""
    words, at, end = board.words, _FIRST, board.words[_END]
    while at < end:
        size, cells = words[at], words[at + 1]
        first = at + 2 - size // -_WORD_BYTES
        text = b"".join(
            word.to_bytes(_WORD_BYTES, "little", signed=True) for word in words[at + 2 : first]
        )
        name, labels = _TEXT.decode(text[:size])
        yield name, labels, first, cells
        at = first + cells


def _read(board: Board, *, alive: bool) -> Iterator[Series]:
    for name, labels, first, cells in _rows(board):
        yield Series(name, labels, list(board.floats[first : first + cells]), alive)
