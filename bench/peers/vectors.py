"""One vector engine in a process of its own: takes vectors in, then searches as it is told.

Run as `python -m bench.peers.vectors ENGINE VECTORS.npy QUERIES.npy TEXTS FOLDER`, by an
interpreter that has the engine. When everything is in and indexed it says how long that took, in
one line of JSON; then it answers each line that it reads: so many queries, with that effort and
filter.

Rules
- One query a call, ten neighbours.
- While searching, all threads of the process are on one core, and seconds are of the processor: who
  uses several threads, or shares the machine, is measured alike.
- What a library prints goes with the errors: standard output has answers alone.
"""

import itertools
import json
import os
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np

from bench.peers.vector_engines import ENGINES, Array, Engine

OURS = ("littoral", "littoral-index")
WRITES_S = 200
"""Records replaced a second while a writer runs beside."""


CORES = os.sched_getaffinity(0) if sys.platform == "linux" else set[int]()


def stay_on(cores: set[int]) -> None:
    """Let every thread of this process run on these cores alone, where the system can."""
    if not CORES:
        return
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread.name), cores)


def searched(engine: Engine, queries: Array, asked: dict[str, int]) -> dict[str, object]:
    """Do what a line asks for."""
    begin, count = asked["begin"], asked["count"]
    until = time.monotonic() + asked["seconds"]
    found, took = [], []
    for number in itertools.islice(itertools.cycle(range(len(queries))), begin, begin + count):
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        rows = engine.search(queries[number], asked["effort"], asked["share"])
        took.append((time.process_time() - began_cpu_s, time.perf_counter() - began_s))
        found.append([number, *map(int, rows)])
        if time.monotonic() > until:
            break
    cpu_s, wall_s = (sum(each) for each in zip(*took, strict=True))
    p50_ms = float(np.median([wall for _, wall in took])) * 1e3
    return {"found": found, "cpu_s": cpu_s, "wall_s": wall_s, "p50_ms": p50_ms}


def beside_writer(engine: Engine, queries: Array, asked: dict[str, int]) -> dict[str, object]:
    """The same while a thread replaces records. Seconds are those of the searching thread."""
    over, written = threading.Event(), 0
    replace = engine.replace  # type: ignore[attr-defined]

    def write() -> None:
        nonlocal written
        while not over.wait(1 / WRITES_S):
            replace(written)
            written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return searched(engine, queries, asked) | {"written": written}
    finally:
        over.set()
        writer.join()


def main() -> None:
    """Take everything in, then answer lines until they end."""
    name, *paths, folder = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    vectors, queries = np.load(paths[0], mmap_mode="r"), np.load(paths[1])
    lines = Path(paths[2]).read_text().splitlines()
    texts = [lines[i % len(lines)] for i in range(len(vectors))]
    engines = import_module("bench.peers.vector_ours").ENGINES if name in OURS else ENGINES
    engine = engines[name](Path(folder), vectors.shape[1])
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    engine.take(vectors, texts)
    taken_s = time.perf_counter() - began_s
    print(f"had all of them after {taken_s:,.0f} s", file=sys.stderr, flush=True)
    engine.build()
    said = {
        "taken_s": taken_s,
        "built_s": time.perf_counter() - began_s,
        "built_cpu_s": time.process_time() - began_cpu_s,
        "efforts": list(engine.efforts),
        "ram": getattr(engine, "ram_bytes", 0),
    }
    print(json.dumps(said), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        stay_on(CORES if asked["writer"] else {max(CORES, default=0)})
        try:
            answer = (beside_writer if asked["writer"] else searched)(engine, queries, asked)
        except Exception as error:  # whatever a library raises is the peer's answer
            answer = {"error": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps(answer), file=answers, flush=True)
    os._exit(0)  # some libraries have threads that never end


if __name__ == "__main__":
    try:
        main()
    except Exception as failure:  # whatever a library raises is why it is not measured
        sys.exit(" ".join(f"{type(failure).__name__}: {failure}".split())[:200])
