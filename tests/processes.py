"""Processes of PoPs that tests look for."""

import psutil

__all__ = ["mover_under"]


def mover_under(pid: int) -> psutil.Process | None:
    """The mover that this process, or one that it has started, runs; None where there is none."""
    for child in psutil.Process(pid).children(recursive=True):
        line = child.cmdline()
        if "littoral.node.delivery.mover" in line and child.status() != psutil.STATUS_ZOMBIE:
            return child
    return None
