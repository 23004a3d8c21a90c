"""An index of vectors that is derived from the truth: codes scanned, the best compared exactly.

`VectorScan` (scan.py) is what an owner has. `generation` is what lies on disk, `building` makes it,
`growth` holds what came after, `quantiser` makes codes, `kernels` compare exactly, `views` keep
where the candidates of a filter stand, `searching` puts them together as memory/planner.py says,
`multi` for records that have many vectors each.
"""

from littoral.adapters.memory.scan.building import Truth
from littoral.adapters.memory.scan.scan import VectorScan
from littoral.adapters.memory.scan.searching import Neighbours
from littoral.adapters.memory.scan.views import Among

__all__ = ["Among", "Neighbours", "Truth", "VectorScan"]
