"""What makes room for what: the order in which kept answers go when the disk's share is full.

The policy is GDSF (greedy dual, size, frequency), with the time that an answer took to compute as
its cost. Each entry has a priority, and the lowest goes first:

    priority = clock + times asked for x seconds saved each time / bytes

The clock is the highest priority that has gone so far. Whoever is asked for now is placed from the
present clock on, so what was worth much long ago is overtaken by and by. Chosen by measurement:
docs/decisions/0010-what-the-answer-cache-drops-first.md.
"""

__all__ = ["priority", "weight"]


def weight(cost_us: int, size_bytes: int) -> float:
    """What one more hit of an entry is worth, for each byte that it takes.

    Args:
        cost_us: how long it took to compute.
        size_bytes: what it takes on disk.
    """
    return max(cost_us, 1) / max(size_bytes, 1)


def priority(clock: float, asked: int, entry_weight: float) -> float:
    """Where an entry stands now; the lowest goes first.

    Args:
        clock: the highest priority that has gone so far; 0 at first.
        asked: how often it was asked for, the first time included.
        entry_weight: its `weight`.
    """
    return clock + asked * entry_weight
