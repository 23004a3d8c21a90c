"""What a refused request is told: one sentence, whose limit it is, and when to try again."""

from littoral.terms.errors import (
    EngineStartError,
    LittoralError,
    LoadingError,
    MemoryShortError,
    NotDeliveredError,
    QueueFullError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from littoral.terms.ids import ModelName
from littoral.terms.values import SECOND, Starting

__all__ = ["engine_down", "no_room_yet", "queue_full", "still_loading", "too_large"]

_SAID_AS_THEY_ARE = (
    MemoryShortError,
    NotDeliveredError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)


def queue_full(model: ModelName, in_flight: int, waiting: int) -> LittoralError:
    """Every slot is taken and the queue is full, or the wait in it was too long."""
    return QueueFullError(
        f"this machine's queue for {model} is full: {in_flight} at work and {waiting} waiting",
        advice="it is the machine's limit, not your key's; try again later or elsewhere",
        retry_after_s=2.0,
        details={"in_flight": in_flight, "waiting": waiting},
    )


def engine_down(model: ModelName, cause: LittoralError) -> LittoralError:
    """The engine is not up. Its log, files and settings are its operator's, not the caller's."""
    if isinstance(cause, _SAID_AS_THEY_ARE):
        return cause
    return EngineStartError(
        f"the engine of {model} is not up",
        advice="try again later; its operator finds the reason in the PoP's log",
        retry_after_s=5.0,
    )


def no_room_yet(model: ModelName) -> LittoralError:
    """Every model that could make room has requests in flight."""
    return MemoryShortError(
        f"there is no room for {model} yet: every loaded model is at work",
        advice="try again when they are done, or raise --memory-bytes",
        retry_after_s=5.0,
    )


def too_large(model: ModelName, need_bytes: int, budget_bytes: int) -> LittoralError:
    """The model would not fit even alone."""
    return MemoryShortError(
        f"{model} needs {need_bytes / 1e6:,.0f} MB of memory and models may use "
        f"{budget_bytes / 1e6:,.0f} MB",
        advice="stop other programs, lower --kv-tokens, raise --memory-bytes, or use a smaller "
        "model",
        details={"needed_bytes": need_bytes, "budget_bytes": budget_bytes},
    )


def still_loading(
    model: ModelName, at: Starting, *, elapsed: int, last_took: int | None
) -> LittoralError:
    """The wait for a loading model is over; says how far it is.

    Args:
        model: its name.
        at: what the engine, or what brings the model, is at.
        elapsed: nanoseconds since the load began.
        last_took: nanoseconds that the last load took, if there was one.
    """
    stage, fraction, eta_s = at.stage, at.fraction, at.left_s
    if eta_s is None and fraction and fraction > 0.02:
        eta_s = elapsed / fraction * (1 - fraction) / SECOND
    elif eta_s is None and last_took is not None and last_took > elapsed:
        eta_s = (last_took - elapsed) / SECOND
    progress: dict[str, object] = {"stage": stage, "elapsed_s": round(elapsed / SECOND, 1)}
    if fraction is not None:
        progress["fraction"] = round(fraction, 3)
    if eta_s is not None:
        progress["eta_s"] = round(eta_s, 1)
    return LoadingError(
        f"{model} is still loading ({stage})",
        advice="try again when it is ready",
        retry_after_s=max(1.0, eta_s) if eta_s is not None else 5.0,
        details={"loading": progress},
    )
