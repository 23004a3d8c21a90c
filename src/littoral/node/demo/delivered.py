"""What each step of the story of delivery found: what `littoral demo --deliver --json` prints.

Bytes are those of files; what leaves the origin is counted by the origin itself.
"""

import msgspec

from littoral.node.demo.told import Answer
from littoral.terms.ids import ArtifactId, ModelName, PopId, SiteName

__all__ = [
    "Arrived",
    "Asked",
    "Caught",
    "Delivered",
    "Lacking",
    "Mended",
    "Place",
    "Resumed",
    "Shared",
]


class Place(msgspec.Struct, frozen=True):
    """One PoP of the story."""

    name: str
    pop: PopId
    site: SiteName


class Lacking(msgspec.Struct, frozen=True):
    """Step 1: they are one network, and nobody has the model."""

    machines: tuple[Place, ...]
    model: ModelName
    refused: str
    """What a client is told that asks for it."""
    seconds: float
    """Until each of them knew the others."""
    delay_ms: float
    """Of links to the origin and to the far site, each way; so `bytes_per_s` of each connection."""
    bytes_per_s: float


class Arrived(msgspec.Struct, frozen=True):
    """What a pull came to."""

    name: str
    """Of the machine."""
    artifact: ArtifactId
    size_bytes: int
    origin_bytes: int
    neighbour_bytes: int
    reused_bytes: int
    """Of these, what was there before."""
    seconds: float


class Shared(msgspec.Struct, frozen=True):
    """Step 2: all three have wanted it at once."""

    arrived: tuple[Arrived, ...]
    left_bytes: int
    """That have left the origin for all three."""

    @property
    def copies(self) -> float:
        """Of the file, that have left the origin."""
        return self.left_bytes / self.arrived[0].size_bytes


class Resumed(msgspec.Struct, frozen=True):
    """Step 3: one has been killed in the middle of another file, and went on."""

    killed_at_bytes: int
    """What was there when it was killed."""
    arrived: Arrived
    """The pull that went on."""
    left_bytes: int
    """That have left the origin for both."""


class Caught(msgspec.Struct, frozen=True):
    """Step 4: a wrong chunk came, and where from is known."""

    tensor: str
    """The layer that is another than in the model that was there before."""
    tensor_bytes: int
    at: int
    """Where in the file a bit was flipped."""
    log: str
    """What the one has logged that was given the wrong chunk."""
    arrived: Arrived


class Mended(msgspec.Struct, frozen=True):
    """Step 5: the rotten chunk was found and fetched anew, and the third has it too."""

    rotten: tuple[str, ...]
    mended: Arrived
    third: Arrived
    left_bytes: int
    """That have left the origin for both."""


class Asked(msgspec.Struct, frozen=True):
    """Step 6: the model, asked at every PoP."""

    answers: tuple[Answer, ...]


class Delivered(msgspec.Struct, frozen=True):
    """The whole story."""

    lacking: Lacking
    shared: Shared
    resumed: Resumed
    caught: Caught
    mended: Mended
    asked: Asked
    seconds: float
