"""Which core does what, and what a process tree has cost, in the kernel's own accounting.

What is measured runs on one core and everything else on another, so that neither gets in the
other's way and a proxy can't win by using more of the machine. Where only one core is granted,
both share it. All of this is Linux's; elsewhere nothing is pinned, and no time is counted.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

__all__ = ["MEASURED", "STAND", "cpu_s", "on_core", "processes_of", "rss_mb_max"]

_GRANTED = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else [0]
STAND, MEASURED = _GRANTED[0], _GRANTED[-1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Processes started meanwhile stay on this core, with all their threads and children."""
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def processes_of(pid: int) -> list[int]:
    """A process and all its descendants that are alive."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def cpu_s(pids: list[int]) -> float:
    """Seconds that the threads of these processes have run, system calls included."""
    total_ns = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):
                total_ns += int(thread.read_text().split()[0])
    return total_ns / 1e9


def rss_mb_max(pids: list[int]) -> float:
    """Resident memory of the largest of these processes."""
    sizes = [0]
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            sizes.append(psutil.Process(pid).memory_info().rss)
    return max(sizes) / 1e6
