"""What this machine really grants: cores by affinity and quota, memory by what is free and allowed.

A container sees all cores of its host and may use two of them; `os.cpu_count()` does not know.
Numbers are read from the kernel's files each time, so that a changed quota is seen.

Not here: deciding on threads (placement/threads.py) or whether a model fits.
"""

import os
from pathlib import Path
from typing import Final

import psutil

__all__ = ["granted_cores", "granted_memory_bytes"]

_CGROUP: Final = Path("/sys/fs/cgroup")
_PROC: Final = Path("/proc/self/cgroup")
_UNLIMITED_BYTES: Final = 1 << 60
"""Version 1 writes a number near 2^63 for no limit."""


def granted_cores(*, root: Path = _CGROUP, membership: Path = _PROC) -> float:
    """Cores this process may use, possibly a fraction; at least 0.1.

    Args:
        root: where control groups are mounted.
        membership: the file that says which of them this process is in.
    """
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0)
    cores = cores or float(os.cpu_count() or 1)
    for folder in _folders(root, membership, "cpu"):
        quota = _quota(folder)
        if quota is not None:
            cores = min(cores, quota)
    return max(cores, 0.1)


def granted_memory_bytes(*, root: Path = _CGROUP, membership: Path = _PROC) -> int:
    """Memory this process may still take, by what is free and what its group allows.

    Args:
        root: where control groups are mounted.
        membership: the file that says which of them this process is in.
    """
    available = int(psutil.virtual_memory().available)
    for folder in _folders(root, membership, "memory"):
        left = _memory_left(folder)
        if left is not None:
            available = min(available, left)
    return max(available, 0)


def _folders(root: Path, membership: Path, controller: str) -> list[Path]:
    """This process's groups and those around them, in version 2 and version 1.

    In a container the group's own folder is often mounted as the root itself; then the path in
    the membership file leads nowhere, and the root is what counts.
    """
    found: list[Path] = []
    for line in _text(membership).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            base = root
        elif controller in controllers.split(","):
            base = root / controller
        else:
            continue
        folder = base / path.lstrip("/")
        found.append(base)
        while folder != base and base in folder.parents:
            found.append(folder)
            folder = folder.parent
    return found


def _quota(folder: Path) -> float | None:
    """Cores that this group may use, or None when it says nothing."""
    quota, _, period = _text(folder / "cpu.max").partition(" ")  # version 2: "150000 100000"
    if not quota:
        quota = _text(folder / "cpu.cfs_quota_us")  # version 1: -1 is no limit
        period = _text(folder / "cpu.cfs_period_us")
    try:
        microseconds, each = int(quota), int(period)
    except ValueError:
        return None
    return microseconds / each if microseconds > 0 and each > 0 else None


def _memory_left(folder: Path) -> int | None:
    """Bytes this group may still take, or None when it has no limit.

    File cache counts as used by the group and is given back when needed, so the part of it that
    is inactive is not subtracted.
    """
    limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
    used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
    if limit is None or used is None or limit >= _UNLIMITED_BYTES:
        return None
    cache = 0
    for line in _text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in {"inactive_file", "total_inactive_file"} and value.isdigit():
            cache = int(value)
    return limit - max(0, used - cache)


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    """A small kernel file's text, stripped; empty when it can't be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
