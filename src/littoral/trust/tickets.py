"""Tickets: the one line of text by which a PoP is invited into an owner's fabric.

    ltj_<base64url of: version, secret, fingerprint, addresses, checksum>

A ticket says where to go (addresses of the inviter's fabric listeners), whom to believe there (the
SHA-256 of the owner's root key, so that nobody in between can pose as the owner), and with what
(a secret that is good a few times). The owner's name follows from the fingerprint.

Rules
- The secret never travels: whoever joins proves it (`joining.py`). What an issuer keeps is derived
  from it: an id, safe to show and log, and the key that proofs are checked with.
- A text with a slip of the hand fails its checksum, so it is told apart from a ticket that no
  issuer knows. One ticket has one text.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self

from littoral.terms.errors import BadRequestError, TicketRejectedError
from littoral.terms.ids import OwnerId, SiteName, TicketId, ZoneName
from littoral.terms.limits import TICKET_ADDRESSES_MAX, TICKET_CHARS_MAX
from littoral.trust.members import owner_of_fingerprint

__all__ = ["TICKET_RANDOM_BYTES", "Ticket", "TicketRecord", "ticket_refused"]

TICKET_RANDOM_BYTES: Final = 16
"""Randomness that one ticket takes: its secret."""

_PREFIX: Final = "ltj_"
_VERSION: Final = 1
_FINGERPRINT_BYTES: Final = 32
_CHECKSUM_BYTES: Final = 4
_HEAD_BYTES: Final = 1 + TICKET_RANDOM_BYTES + _FINGERPRINT_BYTES
_ADDRESS: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,127})|\[[0-9A-Fa-f:.]{2,45}\]):([1-9][0-9]{0,4})"
)
_TYPED: Final = "copy the whole ticket again, from `ltj_` to its last character"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What one ticket says."""

    addresses: tuple[str, ...]
    """`host:port`, IPv6 in brackets; 1 to TICKET_ADDRESSES_MAX, the best first."""
    fingerprint: bytes
    """SHA-256 of the SubjectPublicKeyInfo of the owner's root, 32 bytes."""
    secret: bytes
    """TICKET_RANDOM_BYTES bytes."""

    def __post_init__(self) -> None:
        """Check the parts.

        Raises:
            BadRequestError: an address is none, or there are too few or too many.
        """
        if len(self.secret) != TICKET_RANDOM_BYTES or len(self.fingerprint) != _FINGERPRINT_BYTES:
            raise ValueError("a secret has 16 bytes and a fingerprint 32")
        if not 1 <= len(self.addresses) <= TICKET_ADDRESSES_MAX:
            raise BadRequestError(
                f"a ticket names 1 to {TICKET_ADDRESSES_MAX} addresses, not {len(self.addresses)}",
                advice="name those by which other machines reach this one",
            )
        for address in self.addresses:
            parts = _ADDRESS.fullmatch(address)
            if parts is None or int(parts[1]) > 65535:
                raise BadRequestError(
                    f"{address[:200]!r} is not the address of a PoP",
                    advice="give HOST:PORT, an IPv6 address in brackets",
                )

    @property
    def owner(self) -> OwnerId:
        """Whose fabric it is."""
        return owner_of_fingerprint(self.fingerprint)

    @property
    def ticket_id(self) -> TicketId:
        """Its name in the issuer's store, which tells nothing of the secret."""
        return TicketId(f"t{self._derived(b'id')[:8].hex()}")

    @property
    def proof_key(self) -> bytes:
        """What shows that a PoP holds this ticket: the key of an HMAC, 32 bytes."""
        return self._derived(b"proof")

    def text(self) -> str:
        """What is handed to whoever is invited. A secret."""
        addresses = [address.encode() for address in self.addresses]
        body = bytes([_VERSION]) + self.secret + self.fingerprint
        body += b"".join(bytes([len(address)]) + address for address in addresses)
        return _PREFIX + base64.urlsafe_b64encode(body + _checksum(body)).decode().rstrip("=")

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Read a ticket; blanks around it do not matter.

        Raises:
            TicketRejectedError: it is none, or was copied wrongly; `reason` is `malformed`,
                `mistyped` or `version`.
        """
        text = text.strip()
        if not text.startswith(_PREFIX):
            raise _rejected("malformed", "this is not a ticket: one begins with `ltj_`", _TYPED)
        data = _bytes_of(text.removeprefix(_PREFIX)) if len(text) <= TICKET_CHARS_MAX else None
        if data is None or len(data) < _HEAD_BYTES + _CHECKSUM_BYTES:
            raise _rejected("malformed", "this ticket is cut off or has other characters in it")
        body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
        if _checksum(body) != checksum:
            raise _rejected("mistyped", "a character of this ticket is wrong or missing")
        if body[0] != _VERSION:
            advice = "install the version of Littoral that the inviting PoP has"
            raise _rejected("version", f"this ticket is of version {body[0]}", advice)
        secret, fingerprint = body[1 : 1 + TICKET_RANDOM_BYTES], body[17:_HEAD_BYTES]
        try:
            return cls(_addresses(body[_HEAD_BYTES:]), fingerprint, secret)
        except (BadRequestError, UnicodeError, IndexError):
            raise _rejected("malformed", "the addresses in this ticket can't be read") from None

    def _derived(self, purpose: bytes) -> bytes:
        return hashlib.sha256(b"littoral-ticket-v1 " + purpose + b" " + self.secret).digest()

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Ticket({self.ticket_id} of {self.owner} at {', '.join(self.addresses)})"


@dataclass(frozen=True, slots=True)
class TicketRecord:
    """What an issuer keeps of a ticket, and what whoever holds it becomes."""

    ticket_id: TicketId
    proof_key: bytes
    zone: ZoneName
    site: SiteName
    uses_left: int
    expires_unix_s: int
    issuer: bool = True
    """A PoP that joins by it may be made an issuer, while the owner has too few."""


def ticket_refused(reason: str) -> TicketRejectedError:
    """The error for a ticket that is read well and opens nothing.

    Args:
        reason: `unknown`, `expired` or `used_up`.
    """
    said = {
        "unknown": "this PoP has given out no such ticket, or has withdrawn it",
        "expired": "this ticket has expired",
        "used_up": "this ticket was used as often as it may be",
    }
    return TicketRejectedError(said[reason], details={"reason": reason})


def _addresses(data: bytes) -> tuple[str, ...]:
    """Each is its length in one byte, then its text.

    Raises:
        IndexError, UnicodeError: it is not so.
    """
    addresses, at = [], 0
    while at < len(data):
        end = at + 1 + data[at]
        if end > len(data):
            raise IndexError(end)
        addresses.append(data[at + 1 : end].decode("ascii"))
        at = end
    return tuple(addresses)


def _bytes_of(text: str) -> bytes | None:
    """The bytes that this text is the one way to write."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.urlsafe_b64encode(data).decode().rstrip("=") == text else None


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(b"littoral-ticket-v1 sum " + body).digest()[:_CHECKSUM_BYTES]


def _rejected(reason: str, message: str, advice: str = _TYPED) -> TicketRejectedError:
    return TicketRejectedError(message, advice=advice, details={"reason": reason})
