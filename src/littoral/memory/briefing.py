"""Passages for a very small model: little of them, and examples in the place of instructions.

Models of some hundred million weights repeat an instruction, or answer it, rather than follow it;
and the longer a passage is, the less they find in it. What they do is go on as before. So they are
shown two questions that were answered as this one is to be, and of a passage the few lines that
have most words in common with the question.

Tried with SmolLM2-135M on six questions to this project's documents, against twelve ways of
instructing it: this one alone never fell into repeating itself, took a third of the time, and was
right most often. That is not often: such a model shows that all is connected, and is no expert.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from littoral.memory.filters import words_of
from littoral.terms.limits import SMALL_MODEL_BYTES
from littoral.terms.memory import Cited
from littoral.terms.values import ModelEntry

__all__ = ["EXAMPLES", "gist", "is_small", "told_briefly"]

EXAMPLES: Final = (
    (
        "<source>\nPumps: Starting\n\nTurn the valve first. Then run `pumpctl start NAME`, which "
        "starts the pump and prints its number. `pumpctl stop` ends it.\n</source>\n\n"
        "How do I start a pump?",
        "Turn the valve first, then run `pumpctl start NAME`. [1]",
    ),
    (
        "<source>\nPumps: Files\n\nWhat a pump has done is in `/var/pump.log`, one line for each "
        "start. It is kept for 30 days.\n</source>\n\nHow long is the log kept?",
        "The log is kept for 30 days. [1]",
    ),
)
"""Questions and answers, as they would have been before."""

_LINES: Final = 6
_LINE: Final = re.compile(r"\n|(?<=[.:;]) ")
_STEM: Final = 5
"""Characters in which words are alike that mean the same: `join` and `joins`."""
_LIGHT: Final = words_of(
    "a an and are as be by can do does for how i in is it its me my of on or that the their this "
    "to we what when where which who why with you your"
)


def is_small(entry: ModelEntry) -> bool:
    """Whether a model is told briefly."""
    return 0 < entry.size_bytes < SMALL_MODEL_BYTES


def told_briefly(question: str, passages: Sequence[Cited], plain: Callable[[str], str]) -> str:
    """What the user's last message becomes.

    Args:
        question: as the user has put it.
        passages: what it is to be answered from.
        plain: makes a text that can't be taken for the marks around it.
    """
    told = (
        f"<source>\n{plain(each.header or each.document)}\n\n{plain(gist(each.text, question))}\n"
        "</source>\n"
        for each in passages
    )
    return "\n".join((*told, question))


def gist(text: str, question: str) -> str:
    """The lines and sentences of a text that have most words in common with a question."""
    wanted = _stems(question)
    lines = [line for line in _LINE.split(text.strip()) if line.strip()]
    shared = [len(wanted & _stems(line)) for line in lines]
    best = sorted(range(len(lines)), key=lambda place: (-shared[place], place))[:_LINES]
    return "\n".join(lines[place] for place in sorted(best))


def _stems(text: str) -> frozenset[str]:
    return frozenset(word[:_STEM] for word in words_of(text) - _LIGHT)
