"""What a PoP answers again: `HOME/cache.db`, mode 0600, shared by all of its processes.

`store` is what a process uses: a bounded `front` in memory before the disk. `file` is the database,
`rows` what lies in it, `writer` the thread that writes it, `place` where it lies and how it is
begun anew when it is damaged, `shared` the few bytes by which every process sees a purge at once.

What may be kept and given to whom is decided in the cache room.
"""

from littoral.adapters.answers.place import CACHE_FILE, has_answers
from littoral.adapters.answers.rows import ModelLine, Totals
from littoral.adapters.answers.store import AnswerStore, CacheBounds, CacheStats, open_answers

__all__ = [
    "CACHE_FILE",
    "AnswerStore",
    "CacheBounds",
    "CacheStats",
    "ModelLine",
    "Totals",
    "has_answers",
    "open_answers",
]
