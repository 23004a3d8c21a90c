"""How the nearest vectors are looked for: which way costs least for the recall that is wanted.

There are four ways. `EXACT` compares the query with every vector. `GATHERED` compares it with the
vectors of given candidates. `SCAN` goes over short codes of all vectors (4 bits for each of a few
parts) and compares the best of them exactly; `VIEW` does so with the codes of given candidates.

Rules
- Costs are of one core, in nanoseconds, and were measured (AMD EPYC with AVX-512, faiss 1.15.1, 384
  dimensions); only their ratios matter. So the scan begins to win at about 1,500 vectors of 384
  dimensions: 2,000 take 40 us exactly and 25 us by codes, 100,000 take 4,900 and 120.
- How many of the scan's best are compared exactly follows from how well the codes rank, which is
  measured whenever they are made (`Codes.hardness`), so that 99 of 100 neighbours are found; for
  a query that is unlike them, a search sees by itself that these are too few, and takes more. Codes
  that rank too badly lose against the exact way by their cost.
- A filter narrows the search before it, never after it.

Not here: inverted lists and graphs. At 1 M vectors of 384 dimensions the scan does 580 searches a
second of a core at a recall of 0.996. 1,024 inverted lists of the same codes do 720 at 0.963 and
390 at 0.991: queries come from elsewhere than documents, and so many lists must be looked at. What
graphs give, and after how long, bench/memory.py prints.
"""

import enum
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

__all__ = [
    "CODED_ROWS_MIN",
    "Codes",
    "HARDNESS_NEIGHBOURS",
    "Kind",
    "Plan",
    "parts_of",
    "plan",
    "rescored_among",
    "rescored_of",
]

CODED_ROWS_MIN: Final = 4_096
"""Vectors from which codes are made: fewer are compared exactly in 100 us, and train 16 values of
each part badly."""

HARDNESS_NEIGHBOURS: Final = 100
"""Nearest neighbours whose rank among the codes is measured."""

_PARTS_FULL: Final = 112
"""Parts of short vectors, at most: 56 bytes each."""

_PART_DIMENSIONS_MAX: Final = 4
"""Dimensions that share one 4-bit value in long vectors: one bit each."""

_EXACT_ROW_NS: Final = 1.5
"""One vector in the order of the file: beginning it, and sorting its score in."""

_EXACT_NS, _FAR_NS = 0.05, 0.12
"""One dimension of it: while all fit into the processor's cache, and when they don't."""

_CACHE_BYTES: Final = 16 * 1024 * 1024

_GATHERED_ROW_NS, _GATHERED_NS = 10.0, 0.08
"""One vector from anywhere in the file, and each of its dimensions."""

_CODE_NS: Final = 0.01
"""One part of one vector's code."""

_SCAN_NS: Final = 8_000.0
"""Beginning a scan: tables of the query, and sorting."""

_RESCORED_NS: Final = 60.0
"""Keeping one more of the scan's best, to be compared."""

_MARGIN: Final = 1.6
"""Queries are other texts than documents, and rank worse: by up to 1.3 at 30k, 100k and 1 M vectors
of texts, by up to 1.5 where several texts' vectors make one."""

_SLOPE: Final = 0.8
"""The rank of the n-th neighbour grows as n to this power: 0.75 to 0.82 in the same data."""

_RESCORED_MIN: Final = 96
"""A query far from all vectors has many that are about as near; these cost 6 us."""


_RESCORED_AMONG_MIN, _AMONG_ROOT = 48, 0.15


class Kind(enum.Enum):
    """A way to look for the nearest."""

    EXACT = "exact"
    GATHERED = "gathered"
    VIEW = "view"
    SCAN = "scan"


@dataclass(frozen=True, slots=True)
class Codes:
    """What is known of a collection's codes."""

    parts: int
    hardness: float
    """The 100 nearest of a vector are among so many of the scan's best, 99 of 100 times."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, and why."""

    kind: Kind
    rescored: int
    """Compared exactly after a scan; 0 where all are."""
    reasons: tuple[str, ...]


def parts_of(dimensions: int) -> int:
    """Of how many 4-bit values the code of a vector is: one for at most four dimensions.

    So codes take 1/32 of the vectors: 48 bytes at 384 dimensions, 96 at 768, 192 at 1,536. Fewer
    would save memory and lose neighbours: half as many find 0.93 of what these find.
    """
    each = min(-(-dimensions // _PARTS_FULL), _PART_DIMENSIONS_MAX)
    return -(-dimensions // each)


def rescored_of(count: int, hardness: float) -> int:
    """How many of a scan's best are compared exactly to find `count` neighbours."""
    share = count / HARDNESS_NEIGHBOURS
    wanted = _MARGIN * hardness * (share**_SLOPE if share < 1 else share)
    return max(_RESCORED_MIN, 2 * count, math.ceil(wanted))


def rescored_among(rescored: int, rows: int, candidates: int) -> int:
    """How many are compared exactly of fewer candidates, as many of all rows being enough.

    The rank of a neighbour grows as the fourth root of the vectors (554 at 30k, 752 at 100k, 1,340
    at 1 M); but candidates of a filter may be alike, so it is taken to fall slower.
    """
    if candidates >= rows:
        return rescored
    share: float = (candidates / rows) ** _AMONG_ROOT
    return max(_RESCORED_AMONG_MIN, math.ceil(rescored * share))


@lru_cache(maxsize=1_024)
def plan(
    rows: int,
    candidates: int | None,
    dimensions: int,
    count: int,
    *,
    codes: Codes | None,
    kept: bool = True,
    exact: bool = False,
) -> Plan:
    """Choose the way that costs least.

    Args:
        rows: vectors in all.
        candidates: how many of them may be found; None is all.
        dimensions: of a vector.
        count: neighbours wanted.
        codes: of the vectors; None where there are none yet.
        kept: candidates have a name under which a view of them is kept for the next search.
        exact: no neighbour may be missed.
    """
    looked_at = rows if candidates is None else min(candidates, rows)
    all_kind = Kind.EXACT if candidates is None else Kind.GATHERED
    why_here = _whole(rows) if candidates is None else _narrowed(rows, looked_at)
    exact_us = _exact_us(looked_at, dimensions, gathered=candidates is not None)
    if exact:
        return Plan(all_kind, 0, (why_here, "compared exactly, as asked for"))
    if codes is None:
        return Plan(
            all_kind, 0, (why_here, f"compared exactly (about {exact_us:,.0f} us): no codes")
        )
    if candidates is not None and not kept:
        why = f"compared exactly (about {exact_us:,.0f} us): a view would serve this search alone"
        return Plan(all_kind, 0, (why_here, why))
    rescored = rescored_among(rescored_of(count, codes.hardness), rows, looked_at)
    rescored = min(max(rescored, 2 * count), looked_at)
    scan_ns = _SCAN_NS + looked_at * codes.parts * _CODE_NS
    scan_us = (scan_ns + rescored * _RESCORED_NS) / 1e3
    scan_us += _exact_us(rescored, dimensions, gathered=True)
    if exact_us <= scan_us:
        why = f"compared exactly: about {exact_us:,.0f} us, by codes {scan_us:,.0f}"
        return Plan(all_kind, 0, (why_here, why))
    why = f"codes scanned, the best {rescored:,} compared exactly: about {scan_us:,.0f} us"
    kind = Kind.SCAN if candidates is None else Kind.VIEW
    return Plan(kind, rescored, (why_here, f"{why}, all exactly {exact_us:,.0f}"))


def _exact_us(rows: int, dimensions: int, *, gathered: bool) -> float:
    if gathered:
        return rows * (_GATHERED_ROW_NS + dimensions * _GATHERED_NS) / 1e3
    near = rows * dimensions * 4 <= _CACHE_BYTES
    return rows * (_EXACT_ROW_NS + dimensions * (_EXACT_NS if near else _FAR_NS)) / 1e3


def _whole(rows: int) -> str:
    return f"all {rows:,} vectors"


def _narrowed(rows: int, candidates: int) -> str:
    share = candidates / rows if rows else 0.0
    return f"{candidates:,} candidates of {rows:,} vectors ({share:.1%})"
