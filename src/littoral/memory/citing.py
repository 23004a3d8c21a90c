"""What an answer says of its sources: which passages its text cites, and how they are shown.

A citation is a number in brackets, `[2]` or `[1, 3]`, of a passage that the model was shown. A
number of no passage cites nothing, whatever the model meant by it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from littoral.terms.limits import QUOTE_CHARS
from littoral.terms.memory import Cited
from littoral.terms.sources import Sources

__all__ = ["PASSAGES_FIELD", "Mark", "cited_in", "fields_of", "marks_in", "quote_of", "shown"]

PASSAGES_FIELD: Final = "littoral-passages"
"""The header field that names the passages: `collection=digits+digits`, commas between."""

_TIMING: Final = "server-timing"
_MARK: Final = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")
_DIGITS: Final = 16


class Mark(msgspec.Struct, frozen=True):
    """Where a text cites a passage."""

    start: int
    """In characters; so is the end."""
    end: int
    passage: int
    """From 0."""


def marks_in(text: str, passages: int) -> list[Mark]:
    """The citations of a text, in their order.

    Args:
        text: what the model has said.
        passages: how many it was shown.
    """
    return [
        Mark(match.start(), match.end(), number - 1)
        for match in _MARK.finditer(text)
        for number in map(int, re.findall(r"\d+", match.group(1)))
        if 1 <= number <= passages
    ]


def cited_in(text: str, passages: int) -> frozenset[int]:
    """Which passages a text cites, from 0."""
    return frozenset(mark.passage for mark in marks_in(text, passages))


def quote_of(passage: Cited) -> str:
    """How a passage begins, on one line."""
    return " ".join(passage.text.split())[:QUOTE_CHARS]


def shown(sources: Sources, texts: Sequence[str]) -> dict[str, object]:
    """The `littoral` member of an answer.

    Args:
        sources: what it was made from.
        texts: of all its choices.
    """
    cited = {each for text in texts for each in cited_in(text, len(sources.passages))}
    passages = [
        {
            "number": place + 1,
            "collection": each.collection,
            "document": each.document,
            "position": each.position,
            "id": each.id,
            "digest": each.digest,
            "header": each.header,
            "score": round(each.score, 6),
            "quote": quote_of(each),
            "cited": place in cited,
        }
        for place, each in enumerate(sources.passages)
    ]
    said: dict[str, object] = {"passages": passages}
    if sources.pipeline:
        said |= {
            "pipeline": sources.pipeline,
            "artifact": sources.artifact,
            "steps": [msgspec.to_builtins(step) for step in sources.steps],
        }
    return said


def fields_of(sources: Sources) -> Mapping[str, str]:
    """The header fields of an answer that say the same in short."""
    fields = {PASSAGES_FIELD: ", ".join(_by_collection(sources.passages)) or "none"}
    if sources.pipeline:
        fields["littoral-pipeline"] = f"{sources.pipeline}@{sources.artifact}"
        fields[_TIMING] = ", ".join(
            f'{step.name};dur={step.milliseconds:.1f};desc="{step.does}"' for step in sources.steps
        )
    return fields


def _by_collection(passages: Sequence[Cited]) -> Iterator[str]:
    named: dict[str, list[str]] = {}
    for each in passages:
        digits = each.digest.removeprefix("blake3:")[:_DIGITS]
        named.setdefault(each.collection, []).append(digits)
    for collection, digests in named.items():
        yield f"{collection}={'+'.join(digests)}"
