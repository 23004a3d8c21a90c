"""What computes: llama.cpp and ONNX Runtime in worker processes, upstream servers, and an echo.

All of them are `Engine`s (terms/ports.py) and pass one conformance suite
(tests/contract/test_engines.py). `make_engine` is the only way in.
"""

from collections.abc import Callable

from littoral.adapters.engines.echo import EchoEngine
from littoral.adapters.engines.llama import LlamaEngine
from littoral.adapters.engines.onnx import OnnxEngine
from littoral.adapters.engines.place import EnginePlace
from littoral.adapters.engines.upstream import UpstreamEngine
from littoral.adapters.upstreams.upstreams import Upstreams
from littoral.terms.ports import Clock, Engine, Observe
from littoral.terms.values import EngineKind, ModelEntry

__all__ = ["EnginePlace", "make_engine"]


def make_engine(
    entry: ModelEntry,
    place: EnginePlace,
    *,
    clock: Clock,
    observe: Observe,
    upstreams: Upstreams,
    current: Callable[[], ModelEntry] | None = None,
) -> Engine:
    """The engine of a model, not yet running: `serve` runs it.

    Args:
        entry: the model.
        place: where it runs and what it may take.
        clock: time and randomness.
        observe: hears of deaths and of changed threads.
        upstreams: the connections to other servers.
        current: the entry as it is by now, where it may change while the engine runs.

    Raises:
        ConfigError: an upstream's entry is malformed.
    """
    match entry.engine:
        case EngineKind.LLAMA:
            return LlamaEngine(entry, place, clock=clock, observe=observe, current=current)
        case EngineKind.ONNX:
            return OnnxEngine(entry, place, clock=clock, observe=observe)
        case EngineKind.UPSTREAM:
            return UpstreamEngine(entry, upstreams, current)
        case EngineKind.ECHO:
            return EchoEngine(entry, place, clock=clock)
