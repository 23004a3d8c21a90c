"""Pipelines: what is asked of which models, in which order, to answer one request.

A pipeline names what it needs, models, prompts and collections, and has steps. Each step takes the
input of the request or results of steps before it, and gives one result: a text, a vector, or
passages. The result of the last step is the pipeline's.

What makes one a good one is checked in `delivery/pipelines.py`.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from littoral.terms.ids import ArtifactId, PopId

__all__ = [
    "INPUT",
    "Embed",
    "Generate",
    "Name",
    "Pipeline",
    "PipelineRow",
    "PipelineShown",
    "PipelineWanted",
    "PipelinesShown",
    "Recall",
    "Rerank",
    "Step",
]

INPUT: Final = "input"
"""What the text of a request is called among results."""

Name = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9_-]{0,63}\Z")]
"""Of a pipeline, and of what is in it."""

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_Prompt = Annotated[str, msgspec.Meta(min_length=1, max_length=65_536)]
_Most = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Tokens = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Embed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="embed", tag_field="does"):
    """Makes a vector of a text."""

    name: Name
    model: Name
    text: Name


class Recall(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="recall", tag_field="does"
):
    """Finds passages of a collection."""

    name: Name
    collection: Name
    query: Name
    """A text or a vector."""
    most: _Most = 10


class Rerank(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="rerank", tag_field="does"
):
    """Sorts passages by how well they answer a text, and keeps the best."""

    name: Name
    model: Name
    query: Name
    passages: Name
    most: _Most = 5
    sure: _Share | msgspec.UnsetType = msgspec.UNSET
    """Leave it as it is where the second passage's score is lower than the first's by this share or
    more. Documents from before it was there have no place for it: unset is not written."""


class Generate(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="generate", tag_field="does"
):
    """Writes a text."""

    name: Name
    model: Name
    prompt: Name
    uses: Mapping[str, Name]
    """A text or passages for each `{name}` in the prompt."""
    tokens_max: _Tokens = 512


Step = Embed | Recall | Rerank | Generate


class Pipeline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What its author writes."""

    name: Name
    about: Annotated[str, msgspec.Meta(max_length=1_000)]
    models: Mapping[Name, _Text]
    """What steps call a model, and what PoPs call it."""
    prompts: Mapping[Name, _Prompt]
    """Text with a `{name}` wherever something is put in; `{{` and `}}` are braces."""
    collections: Mapping[Name, _Text]
    steps: tuple[Step, ...]


class PipelineWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pipeline is to be defined here."""

    text: str
    """As its author wrote it, in TOML."""


class PipelineRow(msgspec.Struct, frozen=True):
    """A pipeline that is here."""

    name: str
    artifact: ArtifactId
    pop: PopId
    """Who has defined it."""
    about: str
    steps: tuple[str, ...]
    """What each does."""


class PipelinesShown(msgspec.Struct, frozen=True):
    """All of them, by name."""

    pipelines: tuple[PipelineRow, ...]


class PipelineShown(msgspec.Struct, frozen=True):
    """One of them, whole."""

    artifact: ArtifactId
    pop: PopId
    pipeline: Pipeline
