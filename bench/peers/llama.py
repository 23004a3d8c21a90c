"""The engine alone: xllamacpp's own HTTP listener, with the settings that a PoP's worker has.

Arguments: model file, threads, slots, tokens of key-value cache. Prints one line of JSON when it is
ready, and ends when its standard input is closed or it is interrupted.
"""

import contextlib
import json
import sys

import xllamacpp


def main() -> None:
    """Serve until told to stop."""
    path, threads, slots, kv_tokens = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx = int(kv_tokens)
    params.n_parallel = int(slots)
    params.kv_unified = True
    params.n_batch = params.n_ubatch = 64
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
    params.cache_ram_mib = 0
    server = xllamacpp.Server(params)
    print(json.dumps({"url": server.listening_address}), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdin.read()


if __name__ == "__main__":
    main()
