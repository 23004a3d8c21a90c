"""Which texts have a word, and how often: kept in memory for words asked for, and ranked by.

FTS5 reads the length of each text that it ranks from a table, and that for every question. Here a
word is read once, a tenth of a microsecond for each text, and then only what came since.

Rules
- Scores are those of FTS5's `bm25()`, to the last bit: header and text count as one, the weight of
  a word is at least a millionth, and sums are made in the order of the words.
- Of what came since, how often a text has a word is solved from the score that FTS5 gives it, its
  length being known. Where that is no whole number FTS5 counts otherwise, and ranks by itself.
- A search has what its connection sees, neither less nor more (`Behind`).

Not here: which words are asked for (`wording.py`).
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

import msgspec

from littoral.adapters.memory.embedded.comparing import Array, numpy
from littoral.adapters.memory.embedded.indexing import Behind
from littoral.adapters.memory.embedded.kept import Filtered
from littoral.adapters.memory.embedded.layout import TOKENS
from littoral.adapters.memory.embedded.reading import Reader
from littoral.adapters.store.database import Row
from littoral.memory.words import BM25_B, BM25_K1
from littoral.terms.errors import MissingExtraError
from littoral.terms.limits import MEMORY_POSTINGS_BYTES

__all__ = ["Postings"]

_COLUMNS: Final = 2
"""Header and text."""
_THERE_MIN: Final = 0.75
"""Of the texts that have a number; else they are numbered anew, and words read again."""
_WEIGHT_MIN: Final = 1e-6
_WHOLE: Final = 1e-3
"""So near to a whole number is one: rounding takes a hundredth of that in the longest text."""
_ENTRY_BYTES: Final = 512
"""What a word takes beside its texts."""

_decode: Final = msgspec.json.Decoder(list[int]).decode

_TEMPORARY: Final = (
    f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.said USING fts5 (word, content = '', {TOKENS})",
    "CREATE VIRTUAL TABLE IF NOT EXISTS temp.said_words USING fts5vocab (temp, said, row)",
    "CREATE VIRTUAL TABLE IF NOT EXISTS temp.said_in USING fts5vocab (main, words, instance)",
    "INSERT INTO temp.said (said) VALUES ('delete-all')",
)
"""To see what FTS5 makes of a word, and the texts that have that."""


class _Unlike(Exception):  # noqa: N818 - no error: FTS5 ranks by itself
    """FTS5 counts otherwise than is known here."""


@dataclass(frozen=True, slots=True, eq=False)
class _Texts:
    """The texts there are after one change."""

    through: int
    rows: Array
    """Ascending, also some that went; the place of a text is that of its row here."""
    lengths: Array
    """In words."""
    there: Array
    """Whether it has not gone."""
    count: int
    """Of those that are there."""
    spread: Array
    """By how much the length of each puts off how often it has a word."""

    @property
    def went(self) -> int:
        """How many are not there."""
        return len(self.rows) - self.count


@dataclass(frozen=True, slots=True, eq=False)
class _Having:
    """The texts that have a word after one change."""

    through: int
    went: int
    """Of all texts, when those were taken out here."""
    places: Array
    times: Array


class Postings:
    """Those of one collection."""

    def __init__(self) -> None:
        """None yet."""
        self._lock = Lock()
        self._texts: _Texts | None = None
        self._kept: OrderedDict[str, _Having] = OrderedDict()
        """The word that was asked for last is the last; all by the same numbering of texts."""
        self._bytes = 0
        self._unlike = False

    def ranked(
        self, reader: Reader, through: int, words: Sequence[str], among: Filtered | None, count: int
    ) -> list[tuple[int, float]] | None:
        """The best rows with their scores in any order, and whatever is as good as the last.

        Args:
            reader: what is seen of the truth.
            through: the last change that it sees.
            words: what is asked for.
            among: the rows that are meant; None is all.
            count: how many are wanted.

        Returns:
            None where FTS5 is to be asked.

        Raises:
            Behind: try again with a later snapshot.
        """
        if self._unlike:
            return None
        try:
            numpy()
            with self._lock:
                texts = self._in_step(reader, through)
                having = self._of_words(reader, texts, words)
        except MissingExtraError:
            return None
        except _Unlike:
            self._unlike = True
            self.forget()
            return None
        return _best(texts, having, among, count)

    def forget(self) -> None:
        """Let go of what is in memory; the next search reads it again."""
        with self._lock:
            self._texts = None
            self._forget_words()

    def _in_step(self, reader: Reader, through: int) -> _Texts:
        texts = self._texts
        if texts is not None and texts.through == through:
            return texts
        if texts is not None and texts.through > through:
            raise Behind(texts.through)
        ((oldest,),) = reader.database.read("SELECT oldest_tombstone FROM state")
        if texts is None or oldest > texts.through:
            rows, lengths = _lengths(reader, 0)
            there = numpy().ones(len(rows), bool)
            self._forget_words()
        else:
            rows, lengths, there = _followed(reader, texts)
            if int(there.sum()) < len(rows) * _THERE_MIN:
                rows, lengths, there = rows[there], lengths[there], there[there]
                self._forget_words()
        self._texts = _texts(through, rows, lengths, there)
        return self._texts

    def _of_words(self, reader: Reader, texts: _Texts, words: Sequence[str]) -> list[_Having]:
        having = []
        for word in words:
            kept = self._kept.pop(word, None)
            self._bytes -= _size(kept)
            if kept is None:
                kept = _read(reader, texts, word)
            if kept.through != texts.through:
                kept = _brought_on(reader, texts, word, kept)
            self._kept[word] = kept
            self._bytes += _size(kept)
            having.append(kept)
        while self._bytes > MEMORY_POSTINGS_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _size(oldest)
        return having

    def _forget_words(self) -> None:
        self._kept.clear()
        self._bytes = 0


def _lengths(reader: Reader, after: int) -> tuple[Array, Array]:
    """The rows after one, ascending, and how many words each has, header and text together.

    FTS5 keeps a number for each column, seven bits in a byte, the first ones first; all bytes but
    the last of a number have the eighth bit (https://sqlite.org/fts5.html).
    """
    np = numpy()
    ((every, sizes),) = reader.database.read(
        "SELECT json_group_array(id), group_concat(hex(sz), '') "
        "FROM (SELECT id, sz FROM words_docsize WHERE id > ? ORDER BY id)",
        (after,),
    )
    rows = _numbers(every)
    packed = np.frombuffer(bytes.fromhex(sizes or ""), np.uint8)
    ends = np.flatnonzero(packed < 128)
    if len(ends) != _COLUMNS * len(rows) or (packed[-1:] >= 128).any():
        raise _Unlike
    numbers = packed[ends].astype(np.int64)
    goes_on, back = np.ones(len(ends), bool), 0
    while goes_on.any():
        back += 1
        before = packed[ends - back]
        goes_on &= before >= 128
        numbers += np.where(goes_on, before.astype(np.int64) - 128, 0) << 7 * back
    return rows, numbers.reshape(-1, _COLUMNS).sum(axis=1).astype(np.int32)


def _numbers(listed: str) -> Array:
    """Of a list in JSON: row by row they would take three times as long."""
    return numpy().array(_decode(listed), numpy().int64)


def _followed(reader: Reader, texts: _Texts) -> tuple[Array, Array, Array]:
    """Rows, lengths, and whether they are there, after what changed since."""
    np = numpy()
    gone = reader.database.read("SELECT row FROM gone WHERE seq > ?", (texts.through,))
    rows, lengths = _lengths(reader, texts.through)
    there = texts.there
    if gone:
        there = there & ~np.isin(texts.rows, [row for (row,) in gone])
    return (
        np.concatenate([texts.rows, rows]),
        np.concatenate([texts.lengths, lengths]),
        np.concatenate([there, np.ones(len(rows), bool)]),
    )


def _texts(through: int, rows: Array, lengths: Array, there: Array) -> _Texts:
    count = int(there.sum())
    mean = int(lengths[there].sum()) / count if count else 0
    spread = BM25_K1 * (1 - BM25_B + BM25_B * lengths / (mean or 1))
    return _Texts(through, rows, lengths, there, count, spread)


def _read(reader: Reader, texts: _Texts, word: str) -> _Having:
    """The texts that have a word; none, as of no change, where it is none to FTS5, or several."""
    np = numpy()
    for statement in _TEMPORARY:
        reader.database.write(statement)
    reader.database.write("INSERT INTO temp.said (rowid, word) VALUES (1, ?)", (word,))
    tokens = reader.database.read("SELECT term, cnt FROM temp.said_words")
    if len(tokens) != 1 or tokens[0][1] != 1:
        return _Having(0, texts.went, np.empty(0, np.int32), np.empty(0, np.uint8))
    ((every,),) = reader.database.read(
        "SELECT json_group_array(doc) FROM temp.said_in WHERE term = ?", tokens[0][:1]
    )
    rows, times = np.unique(_numbers(every), return_counts=True)
    return _Having(texts.through, texts.went, _places(texts, rows), _small(times))


def _brought_on(reader: Reader, texts: _Texts, word: str, having: _Having) -> _Having:
    """The same after what changed since."""
    np = numpy()
    places, times = having.places, having.times
    if having.went != texts.went:
        there = texts.there[places]
        places, times = places[there], times[there]
    if len(texts.rows) and texts.rows[-1] > having.through:
        found = reader.database.read(
            "SELECT rowid, -bm25(words) FROM words WHERE words MATCH ? AND rowid > ? "
            "ORDER BY rowid",
            (f'"{word}"', having.through),
        )
        if found:
            came, often = _solved(texts, len(places) + len(found), found)
            places, times = np.concatenate([places, came]), np.concatenate([times, often])
    return _Having(texts.through, texts.went, places, times)


def _solved(texts: _Texts, having: int, found: Sequence[Row]) -> tuple[Array, Array]:
    """The places of rows that have a word, and how often they have it, from their scores by it."""
    np = numpy()
    rows = np.fromiter((row for row, _ in found), np.int64, len(found))
    scores = np.fromiter((score for _, score in found), np.float64, len(found))
    places = _places(texts, rows)
    share = scores / _weight(texts, having)
    with np.errstate(all="ignore"):
        times = share * texts.spread[places] / (BM25_K1 + 1 - share)
        whole = np.rint(times)
        if not (whole >= 1).all() or not (np.abs(times - whole) < _WHOLE).all():
            raise _Unlike
    return places, _small(whole)


def _places(texts: _Texts, rows: Array) -> Array:
    np = numpy()
    places = np.searchsorted(texts.rows, rows)
    if (np.append(texts.rows, -1)[places] != rows).any():
        raise _Unlike
    return places.astype(np.int32)


def _small(numbers: Array) -> Array:
    """In as few bytes as they take."""
    return numbers.astype(numpy().min_scalar_type(int(numbers.max(initial=0))))


def _weight(texts: _Texts, having: int) -> float:
    """Of a word that so many texts have."""
    weight = math.log((texts.count - having + 0.5) / (having + 0.5))
    return weight if weight > 0 else _WEIGHT_MIN


def _best(
    texts: _Texts, having: Sequence[_Having], among: Filtered | None, count: int
) -> list[tuple[int, float]]:
    np = numpy()
    rows, scores = texts.rows, np.zeros(len(texts.rows))
    for each in having:
        times = each.times.astype(np.float64)
        shares = times * (BM25_K1 + 1)
        shares /= times + texts.spread[each.places]
        scores[each.places] += _weight(texts, len(each.places)) * shares
    if among is not None:
        places = np.searchsorted(rows, among.rows)
        places = places[np.append(rows, -1)[places] == among.rows]
        rows, scores = rows[places], scores[places]
    least = 0.0
    if len(scores) > count:
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
    chosen = np.flatnonzero(scores >= least) if least > 0 else np.flatnonzero(scores)
    return list(zip(rows[chosen].tolist(), scores[chosen].tolist(), strict=True))


def _size(having: _Having | None) -> int:
    return 0 if having is None else int(having.places.nbytes + having.times.nbytes) + _ENTRY_BYTES
