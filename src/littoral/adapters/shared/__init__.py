"""What the processes of one PoP share: words in memory-mapped files.

`board` is such a file with its lock; `meters` are numbers that each process counts up in one of its
own. Nothing here decides: what the words mean is said by whoever is given them (trust/limits.py for
budgets, node/telemetry.py for metrics).
"""

from littoral.adapters.shared.board import Board, Lock
from littoral.adapters.shared.meters import OTHER, Meters, Series, series_words

__all__ = ["OTHER", "Board", "Lock", "Meters", "Series", "series_words"]
