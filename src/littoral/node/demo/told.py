"""What each step of the story found: what `littoral demo --json` prints, and people are told.

Times are in milliseconds where a person waits for an answer, and in seconds where for a machine.
Everything is of real responses, logs and clocks; nothing is said that was not measured.
"""

import msgspec

from littoral.terms.ids import ModelName, OwnerId, PopId, SiteName, ZoneName

__all__ = [
    "Answer",
    "Begins",
    "FailedOver",
    "Formed",
    "Line",
    "Machine",
    "Nearest",
    "Proven",
    "Refused",
    "Repeated",
    "Told",
]


class Begins(msgspec.Struct, frozen=True):
    """A step begins."""

    step: int


class Machine(msgspec.Struct, frozen=True):
    """One PoP of the story."""

    name: str
    pop: PopId
    zone: ZoneName
    site: SiteName
    models: tuple[ModelName, ...]
    """Those that it keeps loaded."""
    ready_s: float
    """From the start of its process."""
    rtt_ms: float | None
    """As the first edge measures it; None is itself."""


class Formed(msgspec.Struct, frozen=True):
    """Step 1: they are one network."""

    owner: OwnerId
    machines: tuple[Machine, ...]
    first_s: float
    """Until the first one answers, its models loaded."""
    joined_s: float
    """From then on, until two more have joined by a ticket each and run."""
    seen_s: float
    """From then on, until each knows both others, how far they are, and what they have."""
    delay_ms: float
    """Of the link to the origin, each way; so `bytes_per_s`."""
    bytes_per_s: float

    @property
    def seconds(self) -> float:
        """In all."""
        return self.first_s + self.joined_s + self.seen_s


class Answer(msgspec.Struct, frozen=True):
    """What a client was answered that asked the first edge."""

    model: ModelName
    prompt: str
    text: str
    first_ms: float
    """To the first token, at the client."""
    whole_ms: float
    by: str
    """The machine that has computed it, by the receipt; or the one whose cache had it."""
    pop: PopId
    """Of the header `littoral-pop`."""
    source: str
    """The header `littoral-source`."""
    cache_status: str
    receipt: str
    """The header `littoral-receipt`."""
    reasons: tuple[str, ...] = ()
    """What `littoral route explain` said just before, best first."""


class Nearest(msgspec.Struct, frozen=True):
    """Step 2: whoever is nearest has answered."""

    answer: Answer
    larger: Answer | None
    """Of a model that only the origin has, where it has one."""


class Repeated(msgspec.Struct, frozen=True):
    """Step 3: the same question, answered again."""

    answer: Answer


class FailedOver(msgspec.Struct, frozen=True):
    """Step 4: the nearest has died, and the next one answers."""

    killed: str
    gone_ms: float
    """Until the first edge knew."""
    answer: Answer


class Refused(msgspec.Struct, frozen=True):
    """Step 5: who wants in, and may not."""

    claimed: str
    """The name in the forged certificate."""
    dialled: str
    """What became of it where requests come in."""
    said: str
    """What became of it where state is said."""
    links: int
    """How many links it had to the fabric by the end of the step."""
    log: str
    """The line in the log of the one that it dialled."""
    stolen: str
    """What whoever used a ticket again was told."""
    stolen_log: str


class Line(msgspec.Struct, frozen=True):
    """One line of a verdict on a receipt."""

    standing: str
    name: str
    text: str


class Proven(msgspec.Struct, frozen=True):
    """Step 6: a receipt, checked."""

    receipt: str
    accepted: bool
    lines: tuple[Line, ...]
    altered_accepted: bool
    """The verdict on the same answer with one byte changed."""
    altered: tuple[Line, ...]
    """What is rejected of it."""


class Told(msgspec.Struct, frozen=True):
    """The whole story."""

    formed: Formed
    nearest: Nearest
    repeated: Repeated
    failed_over: FailedOver
    refused: Refused
    proven: Proven
    seconds: float
