"""The models a caller may use, in OpenAI's and in Anthropic's words.

Beyond the API's own fields each model says its context, state, engine, licence and digest.
A model's release date is not known here, so `created` is the epoch, as both APIs allow.
"""

from collections.abc import Sequence
from typing import Final

from littoral.terms.errors import UnknownModelError
from littoral.terms.values import Down, EngineState, ModelStatus, Ready, Starting
from littoral.web.errors import Shape

__all__ = ["find_model", "model_list", "model_object"]

_EPOCH: Final = "1970-01-01T00:00:00Z"


def model_list(models: Sequence[ModelStatus], shape: Shape) -> dict[str, object]:
    """All of them, as `GET /v1/models` answers."""
    data = [model_object(each, shape) for each in models]
    match shape:
        case Shape.OPENAI:
            return {"object": "list", "data": data}
        case Shape.ANTHROPIC:
            return {
                "data": data,
                "has_more": False,
                "first_id": models[0].entry.name if models else None,
                "last_id": models[-1].entry.name if models else None,
            }


def find_model(models: Sequence[ModelStatus], name: str) -> ModelStatus:
    """The one of this name.

    Raises:
        UnknownModelError: it is not among them.
    """
    for each in models:
        if each.entry.name == name:
            return each
    raise UnknownModelError(f"no model here is named {name[:96]!r}", param="model")


def model_object(model: ModelStatus, shape: Shape) -> dict[str, object]:
    """One model."""
    entry = model.entry
    extras: dict[str, object] = {
        "description": entry.description,
        "kinds": [kind.value for kind in entry.kinds],
        "context_length": entry.context_tokens,
        "state": _state(model.state),
        "engine": entry.engine.value,
        "licence": entry.licence,
        "digest": entry.digest,
        "size_bytes": entry.size_bytes,
        "origin": entry.origin,
    }
    if isinstance(model.state, Starting) and model.state.arriving:
        extras["arriving"] = round(model.state.fraction or 0.0, 3)
    match shape:
        case Shape.OPENAI:
            own: dict[str, object] = {
                "id": entry.name,
                "object": "model",
                "created": 0,
                "owned_by": "littoral",
            }
        case Shape.ANTHROPIC:
            own = {
                "type": "model",
                "id": entry.name,
                "display_name": entry.name,
                "created_at": _EPOCH,
                "lifecycle": "active",
                "max_input_tokens": entry.context_tokens,
            }
    return own | extras


def _state(state: EngineState | None) -> str:
    match state:
        case None:
            return "cold"
        case Starting(arriving=True):
            return "arriving"
        case Starting():
            return "loading"
        case Ready():
            return "ready"
        case Down():
            return "down"
