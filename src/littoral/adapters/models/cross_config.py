"""What the `config.json` beside the weights says of a model that sorts passages.

transformers and sentence-transformers write it. Members that are not known here mean nothing here.
"""

from pathlib import Path
from typing import Final

import msgspec

from littoral.terms.errors import UnsupportedError
from littoral.terms.limits import CROSS_CONFIG_BYTES_MAX, RERANK_TOKENS_MAX

__all__ = ["CrossConfig", "config_at", "read_config"]

_SORTS: Final = "ForSequenceClassification"
_OFFSET_TYPES: Final = frozenset({"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "mpnet"})
"""Models that count the positions of their tokens from after the one of the padding."""
_IDENTITY: Final = "Identity"


class _Sentences(msgspec.Struct):
    activation_fn: str | None = None


class _Config(msgspec.Struct):
    architectures: list[str] | None = None
    model_type: str = ""
    max_position_embeddings: int | None = None
    pad_token_id: int | None = None
    num_labels: int | None = None
    id2label: dict[str, object] | None = None
    sbert_ce_default_activation_function: str | None = None
    sentence_transformers: _Sentences | None = None


_decode: Final = msgspec.json.Decoder(_Config).decode


class CrossConfig(msgspec.Struct, frozen=True):
    """What matters of it here."""

    context_tokens: int
    """Most of question and passage together."""
    squashed: bool
    """Its makers have its scores pressed between 0 and 1; that is so unless they say otherwise."""


def config_at(path: Path) -> CrossConfig:
    """The same of a file. Raises as `read_config`."""
    with path.open("rb") as file:
        return read_config(file.read(CROSS_CONFIG_BYTES_MAX + 1), path.name)


def read_config(data: bytes, name: str) -> CrossConfig:
    """Read it.

    Args:
        data: all of it, or enough to see that it is too much.
        name: of the file, for errors.

    Raises:
        UnsupportedError: it is of another kind of model, or of none.
    """
    try:
        said = _decode(data[:CROSS_CONFIG_BYTES_MAX])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnsupportedError(
            f"{name} is not the description of a model",
            advice="give the folder as transformers or sentence-transformers has written it",
        ) from error
    kinds = said.architectures or []
    if not any(kind.endswith(_SORTS) for kind in kinds):
        raise UnsupportedError(
            f"{name} is of a model {', '.join(kinds)[:200] or 'that it does not name'}; of ONNX "
            f"models those that sort passages are taken, whose name ends in {_SORTS}",
            advice="add a cross-encoder, such as hf:cross-encoder/ms-marco-MiniLM-L6-v2",
        )
    labels = len(said.id2label) if said.id2label is not None else said.num_labels
    if labels not in {None, 1}:
        raise UnsupportedError(
            f"{name} is of a model that tells {labels} classes apart and gives no score",
            advice="add a cross-encoder with one output",
        )
    return CrossConfig(_context(said), _squashed(said))


def _context(said: _Config) -> int:
    places = said.max_position_embeddings or RERANK_TOKENS_MAX
    if said.model_type in _OFFSET_TYPES:
        places -= (1 if said.pad_token_id is None else said.pad_token_id) + 1
    return max(1, min(places, RERANK_TOKENS_MAX))


def _squashed(said: _Config) -> bool:
    newer = said.sentence_transformers
    name = (newer.activation_fn if newer else None) or said.sbert_ce_default_activation_function
    return name is None or not name.endswith(_IDENTITY)
