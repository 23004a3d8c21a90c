"""How quickly one file is read, beside another one of the same bytes: mapped, as engines do it."""

import mmap
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ["read_ratios"]


def read_ratios(file: Path, plain: Path, rounds: int) -> tuple[float, float]:
    """How many times as quickly one is read as the other: from the disk, and from memory.

    Args:
        file: what is measured.
        plain: the other.
        rounds: in which both are read, by turns first; the median counts.
    """
    cold: list[tuple[float, float]] = []
    warm: list[tuple[float, float]] = []
    for path in (file, plain):
        _forget(path)
    for number in range(rounds):
        order = (file, plain) if number % 2 else (plain, file)
        for kept, taken in ((False, cold), (True, warm)):
            took = {}
            for path in order:
                if not kept:
                    _forget(path)
                took[path] = _read_s(path)
            taken.append((took[file], took[plain]))
    return _ratio(cold), _ratio(warm)


def _ratio(taken: Sequence[tuple[float, float]]) -> float:
    return statistics.median(plain / file for file, plain in taken)


def _read_s(path: Path) -> float:
    """Seconds to touch every byte of a file, mapped."""
    with path.open("rb") as file:
        began = time.perf_counter()
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            words = np.frombuffer(data, dtype=np.uint64, count=len(data) // 8)
            total = int(words.sum())
            del words
        assert total >= 0
        return time.perf_counter() - began


def _forget(path: Path) -> None:
    """Have none of it in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
