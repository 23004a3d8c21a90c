"""Which words are said in a record, and how often: what BM25 counts."""

from littoral.memory.filters import words_of
from littoral.terms.memory import Record

__all__ = ["BM25_B", "BM25_K1", "spoken"]

BM25_K1 = 1.2
"""How soon saying a word again stops to matter."""

BM25_B = 0.75
"""How much the length of a text matters."""


def spoken(record: Record) -> list[str]:
    """Every word of its header and text, once for each time."""
    return [word for part in f"{record.header} {record.text}".split() for word in words_of(part)]
