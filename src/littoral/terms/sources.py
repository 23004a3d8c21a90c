"""Sources: what a request wants of memory, and what memory gave for its answer."""

from typing import Annotated

import msgspec

from littoral.terms.filters import Filter
from littoral.terms.ids import ArtifactId, ModelName, ReceiptId
from littoral.terms.limits import RECALL_COLLECTIONS_MAX
from littoral.terms.memory import Cited, Recall

__all__ = ["MemoryWanted", "Sources", "StepDone"]

_Collection = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class MemoryWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be recalled for an answer; what is not said here is as in `Recall`."""

    collections: Annotated[
        tuple[_Collection, ...], msgspec.Meta(min_length=1, max_length=RECALL_COLLECTIONS_MAX)
    ]
    text: str = ""
    """What is looked for; empty is the last message of the user."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    where: Filter | None = None
    score_min: float | None = None
    per_document: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    variety: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    rerank: ModelName | None = None

    def recall(self, question: str) -> Recall:
        """The question to one collection."""
        return Recall(
            text=question,
            limit=self.limit,
            where=self.where,
            score_min=self.score_min,
            per_document=self.per_document,
            variety=self.variety,
            rerank=self.rerank,
        )


class StepDone(msgspec.Struct, frozen=True):
    """One step of a pipeline, once it is done."""

    name: str
    does: str
    """`embed`, `recall`, `rerank` or `generate`."""
    milliseconds: float
    receipt_id: ReceiptId | None = None
    """Of the model's answer, where one was asked for this step alone."""
    skipped: bool = False
    """It had nothing to change."""


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer was made from."""

    question: str
    passages: tuple[Cited, ...]
    """Those that the model was shown, in their order: the first is cited as [1]."""
    pipeline: str = ""
    """The pipeline that was asked, by its name; empty where a model was."""
    artifact: ArtifactId | None = None
    """That pipeline."""
    steps: tuple[StepDone, ...] = ()
