"""The network told as a story on one machine, by real PoPs in processes of their own.

`machines` starts and ends the processes, `forger` is who wants in and may not, `story` has the
steps in their order, `told` what each of them found. `delivering` is another story, of how a model
gets to them, with `outlet` as its origin and `delivered` as what it found. Who prints them is the
command line.
"""

from littoral.node.demo.delivered import (
    Arrived,
    Asked,
    Caught,
    Delivered,
    Lacking,
    Mended,
    Resumed,
    Shared,
)
from littoral.node.demo.delivering import DeliveryStep, delivered
from littoral.node.demo.story import LARGER, MODEL, Step, Story, told
from littoral.node.demo.told import (
    Answer,
    Begins,
    FailedOver,
    Formed,
    Machine,
    Nearest,
    Proven,
    Refused,
    Repeated,
    Told,
)

__all__ = [
    "LARGER",
    "MODEL",
    "Answer",
    "Arrived",
    "Asked",
    "Begins",
    "Caught",
    "Delivered",
    "DeliveryStep",
    "FailedOver",
    "Formed",
    "Lacking",
    "Machine",
    "Mended",
    "Nearest",
    "Proven",
    "Refused",
    "Repeated",
    "Resumed",
    "Shared",
    "Step",
    "Story",
    "Told",
    "delivered",
    "told",
]
