"""Who is admitted to the fabric, and what a foreign owner may do in it: signed words that travel.

An issuer of the owner signs an *admission* of each PoP, and a *policy* for each foreign owner whose
root it was given. Every PoP keeps all of them, checks them offline (adapters/owner/checking.py) and
passes them on, so that whoever hears of a revocation obeys it, whoever said so.

Rules
- Of two admissions of one PoP everybody keeps the same: a revoked one for ever, else that of the
  higher version, else that whose bytes are greater. Merging is therefore commutative, associative
  and idempotent (invariant I7); so it is of policies.
- The payload that was signed is kept as it came, and there is one way to write it.
- A revocation can't be undone: the PoP makes itself a new identity, and is invited anew.

A signature is not checked here: that takes certificates.
"""

import enum
from collections.abc import Iterable, Mapping
from typing import Annotated, Final

import msgspec

from littoral.terms.errors import IdentityError
from littoral.terms.ids import ModelName, OwnerId, PopId, ZoneName
from littoral.terms.limits import (
    CERTIFICATE_BYTES_MAX,
    CHAIN_CERTIFICATES_MAX,
    NOTE_CHARS_MAX,
    POLICY_NAMES_MAX,
)
from littoral.trust.decoding import ENCODER, decode_exactly
from littoral.trust.members import Member
from littoral.trust.names import pop_id

__all__ = [
    "ADMISSION",
    "POLICY",
    "Admission",
    "Membership",
    "OwnerPolicy",
    "Roll",
    "Signed",
    "merged",
    "merged_policy",
    "merged_signed",
]

ADMISSION: Final = "application/vnd.littoral.admission.v1+json"
POLICY: Final = "application/vnd.littoral.owner-policy.v1+json"
"""What a signed payload is, which is signed with it."""

_Version = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
_UnixMs = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Note = Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)]
_Limit = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
_Certificate = Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_BYTES_MAX)]


class Membership(enum.Enum):
    """How a PoP stands with its owner."""

    ADMITTED = "admitted"
    DRAINED = "drained"
    """A member that is to be asked nothing new."""
    REMOVED = "removed"
    """No member any more; it may be invited again."""
    REVOKED = "revoked"
    """No member any more, and never again."""


class Admission(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one PoP stands, as an issuer says."""

    name: str
    """Its SPIFFE id."""
    receipt_key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    """Its own Ed25519 public key in full; its name has 64 bits of the hash."""
    version: _Version
    status: Membership
    issuer: bool
    """It may issue certificates."""
    at: _UnixMs
    """When this was signed, by the issuer's clock."""
    note: _Note = ""

    @property
    def member(self) -> Member:
        """The PoP.

        Raises:
            IdentityError: the name is none of a PoP.
        """
        return Member.of_name(self.name)

    @property
    def good(self) -> bool:
        """Whether it is a member."""
        return self.status in (Membership.ADMITTED, Membership.DRAINED)

    def encoded(self) -> bytes:
        """The payload to sign."""
        return ENCODER.encode(self)

    @classmethod
    def of_payload(cls, payload: bytes) -> "Admission":
        """The admission that these bytes are the one way to write.

        Raises:
            IdentityError: they are none, or the key is another PoP's.
        """
        admission = decode_exactly(_ADMISSION, payload, "this admission", IdentityError)
        if pop_id(admission.receipt_key) != admission.member.pop:
            raise IdentityError(f"this admission of {admission.member.pop} has another PoP's key")
        return admission


class OwnerPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the PoPs of a foreign owner may do here, and what is asked of them."""

    owner: OwnerId
    root: _Certificate
    """The owner's root certificate, DER."""
    version: _Version
    at: _UnixMs
    """When this was signed, by the issuer's clock."""
    may_ask: bool = False
    """It may send us requests."""
    may_serve: bool = False
    """We may send it requests."""
    models: Annotated[tuple[ModelName, ...], msgspec.Meta(max_length=POLICY_NAMES_MAX)] | None = (
        None
    )
    """Models that it may ask for; None is all."""
    zones: Annotated[tuple[ZoneName, ...], msgspec.Meta(max_length=POLICY_NAMES_MAX)] | None = None
    """Zones of its PoPs that may serve requests of ours; None is all."""
    requests_per_minute: _Limit | None = None
    """For all of its PoPs together, at each of ours; None is no limit. So the next."""
    tokens_per_minute: _Limit | None = None
    revoked: bool = False
    """Nothing of it is trusted any more, for ever."""
    note: _Note = ""

    def encoded(self) -> bytes:
        """The payload to sign."""
        return ENCODER.encode(self)

    @classmethod
    def of_payload(cls, payload: bytes) -> "OwnerPolicy":
        """The policy that these bytes are the one way to write.

        Raises:
            IdentityError: they are none.
        """
        return decode_exactly(_POLICY, payload, "this policy of an owner", IdentityError)


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A payload that an issuer has signed, with what it takes to check it offline."""

    kind: str
    """ADMISSION or POLICY."""
    payload: Annotated[bytes, msgspec.Meta(max_length=64 * 1024)]
    signature: Annotated[bytes, msgspec.Meta(max_length=128)]
    """ECDSA P-256 with SHA-256, DER, over `dsse.pae(kind, payload)`."""
    chain: Annotated[tuple[_Certificate, ...], msgspec.Meta(max_length=CHAIN_CERTIFICATES_MAX)]
    """The issuer's certificate, DER. What follows it, roots say, is not looked at."""

    def encoded(self) -> bytes:
        """What is stored and passed on."""
        return ENCODER.encode(self)

    @classmethod
    def of_bytes(cls, data: bytes) -> "Signed":
        """Read it.

        Raises:
            IdentityError: it is none.
        """
        return decode_exactly(_SIGNED, data, "this signed word", IdentityError)


_ADMISSION: Final = msgspec.json.Decoder(Admission)
_POLICY: Final = msgspec.json.Decoder(OwnerPolicy)
_SIGNED: Final = msgspec.json.Decoder(Signed)


def merged(one: Admission, other: Admission) -> Admission:
    """Of two admissions of one PoP, the one that everybody keeps."""
    assert one.member.pop == other.member.pop, "admissions of one PoP"
    return max(one, other, key=_order)


def merged_policy(one: OwnerPolicy, other: OwnerPolicy) -> OwnerPolicy:
    """Of two policies for one owner, the one that everybody keeps."""
    assert one.owner == other.owner, "policies for one owner"
    return max(one, other, key=_order)


def merged_signed(one: Signed, other: Signed) -> Signed:
    """The same of what is signed; of two signatures of one payload, the greater bytes.

    Raises:
        IdentityError: one of them has no payload of its kind.
    """
    assert one.kind == other.kind, "words of one kind"
    return max(one, other, key=lambda signed: (_order(_content(signed)), signed.encoded()))


class Roll:
    """Every admission that is known, by PoP: who is a member. A value: `with_` makes the next."""

    __slots__ = ("admissions",)

    def __init__(self, admissions: Iterable[Admission] = ()) -> None:
        """Of two of one PoP, the one that everybody keeps."""
        by_pop: dict[PopId, Admission] = {}
        for each in admissions:
            pop = each.member.pop
            by_pop[pop] = merged(by_pop[pop], each) if pop in by_pop else each
        self.admissions: Mapping[PopId, Admission] = by_pop

    def with_(self, admission: Admission) -> "Roll":
        """The roll once this has been heard."""
        return Roll((*self.admissions.values(), admission))

    def check(self, member: Member, issuer: PopId) -> Admission | None:
        """The admission of a PoP whose certificate was checked, or None if there was no word of it.

        Then its certificate speaks for it, as an issuer admits a PoP before it signs: that word is
        on its way.

        Args:
            member: the PoP, as its certificate names it.
            issuer: which PoP issued that certificate.

        Raises:
            IdentityError: it is no longer a member, or not there; or whoever issued the certificate
                was revoked, so that it may be anybody's.
        """
        by = self.admissions.get(issuer)
        if by is not None and by.status is Membership.REVOKED:
            raise IdentityError(
                f"the certificate of {member.pop} was issued by {issuer}, which was revoked",
                advice="have it ask another issuer for a new certificate",
                details={"reason": "not_admitted"},
            )
        admission = self.admissions.get(member.pop)
        if admission is None:
            return None
        if not admission.good:
            raise IdentityError(
                f"{member.pop} was {admission.status.value}",
                advice=_JOIN,
                details={"reason": "not_admitted"},
            )
        if admission.member != member:
            raise IdentityError(
                f"the certificate names {member.name}, and its owner knows it as {admission.name}",
                advice="have it ask for a new certificate",
            )
        return admission


_JOIN: Final = "invite it with a new ticket, if it should be one"


def _content(signed: Signed) -> Admission | OwnerPolicy:
    if signed.kind == ADMISSION:
        return Admission.of_payload(signed.payload)
    if signed.kind == POLICY:
        return OwnerPolicy.of_payload(signed.payload)
    raise IdentityError(f"{signed.kind[:100]!r} is nothing that an issuer signs")


def _order(content: Admission | OwnerPolicy) -> tuple[bool, int, bytes]:
    """What everybody keeps is greatest in this."""
    match content:
        case Admission():
            final = content.status is Membership.REVOKED
        case OwnerPolicy():
            final = content.revoked
    return final, content.version, content.encoded()
