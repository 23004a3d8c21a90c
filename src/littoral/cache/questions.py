"""Whether two questions may be the same one: what words alone can tell, before any similarity.

Embeddings place a question beside its opposite: "is A larger than B" and "is B larger than A" have
a similarity over 0.95. So similarity is asked only about pairs in which no word says otherwise.

Rules (`difference` names the one that was broken)
- Hard words are equal as multisets: numbers, negations, quantifiers, tense, modality, comparison,
  direction, opposites, persons, times, units, question words; symbols, quotes, code, addresses, and
  spellings such as `maxSize`, `B2`, `US`.
- Names (capitalised within a sentence in either) occur equally often in both.
- The same content words in another order, or with other words or commas between them, are another
  question: "in the box" is not "on the box".
- Near copies, in which at most a third of the content words (or two) are exchanged or added, are
  other questions, unless the words mean the same (question_words.SAME).
- What is left is worded quite differently. It shares a content word, and what it shares stands in
  the same order. Whether it means the same is for the learner (learner.py) to find out.

The tables are English. In other languages every word is a content word, and nearly the same words
are still never the same question; only the rewordings are judged by less.

It does not understand: two texts that it calls different may well be the same question.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from littoral.cache.question_words import EXPANSIONS, HARD, LIGHT, LINKS, OPENINGS, SAME, SOFT

__all__ = ["Reading", "difference", "plain", "reading"]

_TOKEN: Final = re.compile(
    r"""(?P<verbatim>```.*?```|`[^`]+`|"[^"]+"|“[^”]+”|«[^»]+»|(?<!\w)'[^']+'(?!\w)"""
    r"""|(?:https?://|www\.)\S+|[\w.+-]+@[\w-]+\.[\w.]+|(?<![\w/])[~.]?/[\w./-]+)"""
    r"""|(?P<number>(?<![\w.)])-?\d[\d,.:/]*\d|(?<![\w.)])-?\d|\d[\d,.]*)"""
    r"""|(?P<word>[^\W\d_][\w]*(?:[-'\u2019.][^\W_]\w*)*|_\w+)"""
    r"""|(?P<symbol>[.?!](?=\w)|[^\w\s.?!'\u2019"])|(?P<end>[.?!\n])""",
    re.VERBOSE | re.DOTALL,
)

_SPELLING: Final = re.compile(r".*(?:\d|_|[a-z][A-Z]|[A-Z]{2}|\w\.\w).*|[B-HJ-Z]")
"""A word that is written in a way of its own: code, versions, abbreviations, single letters."""

_MARKS: Final = "=~,"
"""What words that are not content begin with in a reading."""

_EXCHANGED_MAX: Final = 2


@dataclass(frozen=True, slots=True)
class Reading:
    """One question, taken apart."""

    text: str
    """As it stands, with spaces made one."""
    words: tuple[str, ...]
    """In their order: `=word` hard, `word` content, `~word` links, and commas."""
    hard: Counter[str]
    content: Counter[str]
    names: frozenset[str]
    """Words that are capitalised where nothing but a name is, in lower case."""
    spoken: Counter[str]
    """Every word, in lower case."""


def plain(text: str) -> str:
    """The text with spaces made one and without a closing mark."""
    return " ".join(text.split()).rstrip(" .?!")


def reading(text: str) -> Reading:
    """Take a question apart."""
    words: list[str] = []
    names: set[str] = set()
    spoken: Counter[str] = Counter()
    opening = True
    for match in _TOKEN.finditer(_opened(plain(text).replace("\u2019", "'"))):
        found = match.group()
        kind = match.lastgroup
        if kind == "word":
            lower = found.lower().removesuffix("'s")
            spoken[lower] += 1
            if not opening and found[0].isupper() and lower not in HARD and lower not in SOFT:
                names.add(lower)
            words += _said(found, lower)
        elif kind in {"verbatim", "number"}:
            words.append(f"={found.rstrip(',.')}")
        elif kind == "symbol":
            words.append("," if found == "," else f"={found}")
        opening = kind == "end" or found in {":", "("}
    return Reading(
        plain(text),
        tuple(words),
        Counter(word for word in words if word.startswith("=")),
        Counter(word for word in words if word[0] not in _MARKS),
        frozenset(names),
        spoken,
    )


def difference(one: Reading, other: Reading) -> str | None:
    """Why these are two questions, in a word or two; None when words alone do not say so."""
    if one.text == other.text:
        return None
    if one.hard != other.hard:
        return "hard words"
    if any(one.spoken[name] != other.spoken[name] for name in one.names | other.names):
        return "names"
    if one.content == other.content:
        if one.words == other.words:
            return None
        return "order" if sorted(one.words) == sorted(other.words) else "words between"
    return _difference_of_wording(one, other)


def _difference_of_wording(one: Reading, other: Reading) -> str | None:
    """Why two questions of other content words are two questions, if words alone say so."""
    left, right = one.content - other.content, other.content - one.content
    exchanged = max(left.total(), right.total())
    if exchanged <= max(_EXCHANGED_MAX, max(one.content.total(), other.content.total()) // 3):
        return "nearly the same words"
    shared = one.content & other.content
    if not shared:
        return "no word in common"
    if _kept(one.words, shared) != _kept(other.words, shared):
        return "order"
    return None


def _opened(text: str) -> str:
    """The text without politeness before it, and contractions written out."""
    text = OPENINGS.sub("", text) or text
    for pattern, written in EXPANSIONS:
        text = pattern.sub(written, text)
    return text


def _said(found: str, lower: str) -> list[str]:
    """What one word says: nothing, something hard, or content."""
    if _SPELLING.fullmatch(found):
        return [f"={found}"]
    if lower in SOFT or lower in LIGHT:
        return []
    word = SAME.get(lower, lower)
    mark = "=" if word in HARD else "~" if word in LINKS else ""
    return [mark + word]


def _kept(words: Sequence[str], shared: Counter[str]) -> list[str]:
    """Of these words those that are hard or shared, in their order."""
    left = Counter(shared)
    kept = []
    for word in words:
        if word.startswith("="):
            kept.append(word)
        elif left[word]:
            left[word] -= 1
            kept.append(word)
    return kept
