"""What all pulls of a mover stand on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from littoral.adapters.identity import Identity
from littoral.adapters.models import Catalogue
from littoral.adapters.origins.kept import OriginsNow
from littoral.node.delivery.around import Around, Turns
from littoral.node.delivery.arriving import Arriving
from littoral.node.delivery.holdings import Holdings
from littoral.node.delivery.others import Others

__all__ = ["Parts"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What all pulls of a mover share."""

    around: Around
    holdings: Holdings
    origins: OriginsNow
    catalogue: Catalogue
    identity: Identity
    arriving: Arriving
    """Has files be opened before they are whole."""
    others: Callable[[], Others]
    """As they are now."""
    folder: Path
    """Of the store."""
    bytes_max: int
    """What all artifacts together may take on the disk."""
    turns: Turns = field(default_factory=Turns)
