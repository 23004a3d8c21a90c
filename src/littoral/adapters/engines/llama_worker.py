"""The process that computes with llama.cpp: its own HTTP server on a Unix socket.

Run by worker.py as `python -m littoral.adapters.engines.llama_worker`. ggml ends its whole process
on some errors; here that costs one model and not the PoP.

Not here: anything about requests. llama.cpp answers them, llama.py asks.
"""

import threading
from typing import Final

import msgspec

from littoral.adapters.engines.lifeline import begin, take_signals

__all__ = ["LlamaArguments"]

_ERRORS: Final = 1
"""llama.cpp's log level for errors alone: warnings may quote a request."""

_BATCH_TOKENS: Final = 64
"""Prompt tokens between two looks for cancelled requests: about 0.4 s on one core, and no slower
than larger batches there."""


class LlamaArguments(msgspec.Struct, frozen=True, kw_only=True):
    """What the PoP says on standard input."""

    model_path: str
    arriving: bool
    """The file is still on its way: what is not here yet is waited for when it is read."""
    model_name: str
    socket_path: str
    key: str
    slots: int
    context_tokens: int
    kv_tokens: int
    threads: int
    embeddings: bool


def main() -> None:
    """Load the model, listen, say so, and stay until the PoP ends."""
    raw, line = begin()
    arguments = msgspec.convert(raw, LlamaArguments)
    line.stage("loading the engine")
    try:
        import xllamacpp  # noqa: PLC0415  # loaded only in this process, after the signals are set
    except ImportError:
        line.fail("xllamacpp is not installed; `pip install 'littoral[llama]'` brings it")
        return
    parameters = xllamacpp.CommonParams()
    parameters.model.path = arguments.model_path
    parameters.model_alias = {arguments.model_name}
    parameters.hostnames = [arguments.socket_path]
    parameters.api_keys = [arguments.key]
    parameters.n_ctx = arguments.kv_tokens
    parameters.n_parallel = arguments.slots
    parameters.kv_unified = True  # any slot may use what the others leave …
    parameters.kv_unified_per_slot = arguments.context_tokens  # … up to this much
    parameters.fit_params = False  # the sizes are chosen; fitting them would load the model twice
    parameters.n_batch = parameters.n_ubatch = _BATCH_TOKENS
    parameters.cpuparams.n_threads = arguments.threads
    parameters.cpuparams_batch.n_threads = arguments.threads
    parameters.cache_ram_mib = 0  # it is shared by all keys (placement/seats.py)
    parameters.cache_idle_slots = False
    parameters.sse_ping_interval = -1  # the PoP keeps its own deadlines
    parameters.endpoint_slots = True
    parameters.verbosity = _ERRORS
    if arguments.arriving:
        # Read in file order and kept: mapped, all of it would be asked for before any of it is
        # made ready, and be needed where it arrived for as long as this runs.
        parameters.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
        parameters.warmup = False  # the first request is there, and does as much
    if arguments.embeddings:
        parameters.embedding = True
        parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        # A text is embedded in one piece, so the batch must hold the longest.
        parameters.n_batch = parameters.n_ubatch = arguments.kv_tokens
    line.stage("loading the weights")
    try:
        server = xllamacpp.Server(parameters)
    except Exception as error:  # whatever it is, the PoP should know
        line.fail(f"llama.cpp could not load the model: {error}")
        return
    take_signals()
    devices = [str(device["name"]) for device in xllamacpp.get_device_info()]
    line.ready(
        version=xllamacpp.__version__,
        device=", ".join(devices).lower() or "cpu",
        address=server.listening_address,
    )
    threading.Event().wait()


if __name__ == "__main__":
    main()
