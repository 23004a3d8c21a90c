"""The network told as a story on one machine, by real PoPs in processes of their own.

`machines` starts and ends the processes, `forger` is who wants in and may not, `story` has the
steps in their order, `told` what each of them found. Who prints it is the command line.
"""

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
    "Begins",
    "FailedOver",
    "Formed",
    "Machine",
    "Nearest",
    "Proven",
    "Refused",
    "Repeated",
    "Step",
    "Story",
    "Told",
    "told",
]
