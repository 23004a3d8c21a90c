"""What the fabric brings: records, and who can be reached. All are frozen."""

from dataclasses import dataclass

from littoral.terms.ids import PopId

__all__ = ["Gone", "Heard", "Here", "Said"]


@dataclass(frozen=True, slots=True)
class Said:
    """A record arrived over the fabric, as yet unchecked."""

    topic: str
    """The key that it came under (`trust.records.topic`), whatever it may be."""
    record: bytes


@dataclass(frozen=True, slots=True)
class Here:
    """Somebody of this name can be reached over the fabric, or says so: a hint, not a proof."""

    pop: PopId


@dataclass(frozen=True, slots=True)
class Gone:
    """The link to it is down, or it left."""

    pop: PopId


Heard = Said | Here | Gone
"""What the fabric brings."""
