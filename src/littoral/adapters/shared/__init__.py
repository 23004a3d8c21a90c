"""What the processes of one PoP share: words in memory-mapped files.

`board` is such a file with its lock. Nothing here decides: what the words mean is said by whoever
is given them (trust/limits.py for budgets, node/meters.py for metrics).
"""

from littoral.adapters.shared.board import Board, Lock

__all__ = ["Board", "Lock"]
