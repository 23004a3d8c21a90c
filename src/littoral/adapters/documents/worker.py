"""The process that reads files: jobs come in, passages and records go out.

Run by reader.py as `python -m littoral.adapters.documents.worker`. What it may take of memory is
bounded from its first moment, so that a file made to burst fails here and nowhere else; it writes
no file, and goes behind what people wait for. The end of its input ends it, whatever it is doing.
"""

import os
import queue
import resource
import sys
import threading
from typing import BinaryIO, Final

from littoral.adapters.documents.reading import read
from littoral.adapters.documents.words import LENGTH_BYTES, Job, Said, decoded_job, framed
from littoral.adapters.engines.lifeline import take_signals
from littoral.terms.limits import DOCUMENT_MEMORY_BYTES_MAX

__all__ = ["main"]

_NICENESS: Final = 10
_RECURSION_MAX: Final = 2_000
"""Nested elements of HTML take some calls each; a thousand is Python's own bound."""


def main() -> None:
    """Do one job after the other."""
    take_signals()
    for what, bound in (
        (resource.RLIMIT_AS, DOCUMENT_MEMORY_BYTES_MAX),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (bound, bound))
    os.nice(_NICENESS)
    sys.setrecursionlimit(_RECURSION_MAX)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print as they please
    jobs: queue.Queue[Job] = queue.Queue(1)
    threading.Thread(target=_take, args=(sys.stdin.buffer, jobs), daemon=True).start()

    def say(said: Said) -> None:
        out.write(framed(said))
        out.flush()

    while True:
        read(jobs.get(), say)


def _take(source: BinaryIO, jobs: "queue.Queue[Job]") -> None:
    """Take jobs until there are no more; then nobody waits for anything."""
    while head := source.read(LENGTH_BYTES):
        jobs.put(decoded_job(source.read(int.from_bytes(head, "big"))))
    os._exit(0)


if __name__ == "__main__":
    main()
