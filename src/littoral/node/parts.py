"""What every exchange of a PoP uses."""

from dataclasses import dataclass

from littoral.adapters.store import ReceiptBook
from littoral.node.host import ModelHost
from littoral.node.keyring import Keyring
from littoral.node.onward import Onward
from littoral.node.scribe import Scribe
from littoral.node.vectors import Vectors
from littoral.terms.ids import PopId
from littoral.terms.ports import Clock, Observe

__all__ = ["Parts"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What every exchange of a PoP uses."""

    pop: PopId
    host: ModelHost
    keyring: Keyring
    receipts: ReceiptBook
    scribe: Scribe
    clock: Clock
    observe: Observe
    wait: int
    """Nanoseconds that a request waits for its model, at most."""
    onward: Onward
    """What goes with a request to another PoP."""
    vectors: Vectors | None = None
    """The embeddings that are kept, unless the cache is off."""
