"""What a PoP answers again: `HOME/cache.db`, mode 0600, shared by all of its processes.

`store` is what a process uses: a bounded `front` in memory before the disk. `file` is the database,
`writer` the thread that writes it, `place` where it lies and how it is begun anew when it is
damaged, `shared` the few bytes by which a purge is seen in every process at once.

What may be kept and given to whom is decided in the cache room.
"""

from littoral.adapters.answers.file import ModelLine, Totals
from littoral.adapters.answers.place import CACHE_FILE
from littoral.adapters.answers.store import AnswerStore, CacheBounds, CacheStats, open_answers

__all__ = [
    "CACHE_FILE",
    "AnswerStore",
    "CacheBounds",
    "CacheStats",
    "ModelLine",
    "Totals",
    "open_answers",
]
