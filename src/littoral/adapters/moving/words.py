"""The words between the transport of chunks and those who use it.

A *group* is what PoPs pull together: an artifact, or a draft of one. Its chunks are numbered; what
has come of them is on a *shelf*, which is written by one process and read by all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from littoral.adapters.http.words import HttpError
from littoral.delivery.encoding import Encoding, Place
from littoral.trust.members import Member

__all__ = [
    "Base",
    "BaseDoubtedError",
    "Coder",
    "Fetching",
    "Hears",
    "HearsNews",
    "Held",
    "Library",
    "Peer",
    "RefusedError",
    "Shelf",
]


class RefusedError(HttpError):
    """The peer has answered, and does not give what was asked for."""

    def __init__(self, status: int) -> None:
        super().__init__(f"it answered {status}")
        self.status = status


class BaseDoubtedError(HttpError):
    """A chunk came against a base and is not right: the peer is wrong, or the base is here."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A mover of another PoP, and where it listens."""

    member: Member
    host: str
    """An IP address: names are looked up by whoever knows them. Empty where it can't be dialled,
    and is asked over connections that it holds here (held.py)."""
    port: int


@dataclass(frozen=True, slots=True)
class Held:
    """A chunk that is here, and is what it is called."""

    digest: bytes
    """Its BLAKE3, 32 bytes."""
    data: memoryview
    """Its bytes in the page cache; good as long as anybody holds it."""


class Shelf(Protocol):
    """What is here of one group's chunks."""

    def size_bytes(self, number: int) -> int:
        """Of a chunk, here or not.

        Raises:
            KeyError: there is no such chunk.
        """

    def held(self, number: int) -> Held | None:
        """The chunk; None while it is not here. Never one that has not been verified."""

    def put(self, number: int, data: memoryview, digest: bytes) -> bool:
        """Take a chunk if it is what it is to be: its BLAKE3 is looked at before anything else.

        Args:
            number: which; of the right size.
            data: its bytes, good during this call only.
            digest: what the peer calls it, 32 bytes.

        Returns: whether it was right, and is here now.
        """

    def watch(self, hear: Callable[[int], None]) -> Callable[[], None]:
        """Have the number of each chunk told that is here from now on; the answer ends that."""


@dataclass(frozen=True, slots=True)
class Base:
    """A whole artifact that is here, against which others may encode chunks."""

    artifact: str
    span: Callable[[Place, int], memoryview | None]
    """So many of its bytes from a place on; None where it has no such."""


class Coder(Protocol):
    """Encodes chunks of one group for one peer (`delivery/encoding.py`)."""

    def coded(self, number: int, held: Held) -> tuple[Encoding, memoryview] | None:
        """A chunk that is here, encoded; None where it had better go as it is."""


class Library(Protocol):
    """What this PoP gives to others."""

    def shelf(self, group: str, peer: Member) -> Shelf | None:
        """The chunks of a group; None where there is none, or none for this peer."""

    def coder(self, group: str, peer: Member, base: str) -> Coder | None:
        """Encodes chunks of a group; None where nothing is to be encoded.

        Args:
            group: that there is a shelf of for this peer.
            peer: who takes them.
            base: the artifact that it says it has whole; empty where it has none.
        """

    def document(self, artifact: str, name: str, peer: Member) -> memoryview | None:
        """`manifest`, `claims`, `tables/N`, `tensors/N`, `files/N`; None if this peer gets none."""

    def news(self, group: str, peer: Member, say: Callable[[bytes], None]) -> "HearsNews | None":
        """Who hears the news of a peer that has called, and `say`s its own; None to refuse it."""


class Hears(Protocol):
    """Who has asked for chunks; told in order, `ended` last and once, whatever happens."""

    def landed(self, number: int, size_bytes: int, came_bytes: int) -> None:
        """A chunk has come, was right, and is on the shelf; encoded it took so many bytes."""

    def spoiled(self, number: int) -> None:
        """A chunk has come that is not what it is to be; the stream goes on."""

    def ended(self, error: HttpError | None) -> None:
        """Nothing more comes; None if everything that was asked for has come."""


class HearsNews(Protocol):
    """Who hears what a peer says."""

    def told(self, line: bytes) -> None:
        """One line, without its end."""

    def parted(self, error: HttpError | None) -> None:
        """Nothing more comes, and nothing more can be said. Told once."""


class Fetching(Protocol):
    """Something asked of a peer, as whoever asked holds it."""

    @property
    def received_bytes(self) -> int:
        """How much has come of the answer, in all."""

    def drop(self) -> None:
        """It is not wanted any more: nobody hears of it again."""
