"""Whether a certificate is that of a member, and whether an issuer signed a word.

Rules
- A PoP is checked against the root of the owner that its name has, and no other: what one owner's
  issuer signs says nothing of another owner's PoPs.
- Its three names (URI, DNS, common name) agree, so that whoever knows one of them is right too.
- What a member may do is said by its admission (trust/admission.py), which is looked at besides.
- A word is good if its issuer's certificate was good when it was signed: it outlives the 30 days.

Nothing here is remembered; a check costs some 0.2 ms, once a connection.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from littoral.adapters.owner.bundle import Bundle
from littoral.adapters.owner.certificates import cn_of, issuer_pop, times_of, uris_of
from littoral.terms.errors import IdentityError
from littoral.terms.ids import OwnerId, PopId
from littoral.terms.limits import CERTIFICATE_BYTES_MAX, CHAIN_CERTIFICATES_MAX, CLOCK_SKEW_S
from littoral.trust.admission import ADMISSION, POLICY, Admission, OwnerPolicy, Signed
from littoral.trust.dsse import pae
from littoral.trust.members import Member

__all__ = ["Checked", "Checker"]

_ASK: Final = "have that PoP ask for a new certificate"
_RENEW: Final = (
    "it is renewed long before; so is a clock wrong? Compare both machines' with a time server's"
)
_CLOCK: Final = "is a clock wrong? Compare both machines' with a time server's"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a chain of certificates has proven."""

    member: Member
    issuer: PopId
    """Which PoP issued it, for `Roll.check`."""
    expires_unix_s: int


class Checker:
    """Checks what other PoPs show, against the roots of a bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._roots = bundle.certificates
        self._stores = {owner: Store([root]) for owner, root in self._roots.items()}

    def member(self, chain: Sequence[bytes], unix_s: int) -> Member:
        """Who showed this chain; `checked` says more.

        Raises:
            IdentityError: nobody whom an owner in the bundle vouches for; says why.
        """
        return self.checked(chain, unix_s).member

    def checked(self, chain: Sequence[bytes], unix_s: int) -> Checked:
        """Check a PoP's certificate.

        Args:
            chain: its own, then the issuer's, DER; a root after them does not matter.
            unix_s: now.

        Raises:
            IdentityError: as `member`.
        """
        certificates = _parsed(chain)
        leaf = certificates[0]
        try:
            member = _named(leaf)
            if member.owner not in self._stores:
                raise IdentityError(
                    f"{member.pop} is of {member.owner}, an owner that is not known here",
                    advice="exchange bundles with that owner first",
                )
            issuer = self._verified(certificates, member.owner, unix_s)
        except VerificationError as error:
            raise _explained(certificates, unix_s, str(error)) from None
        except (ValueError, UnsupportedAlgorithm):
            raise _damaged() from None
        return Checked(member, issuer, times_of(leaf)[1])

    def admission(self, signed: Signed, unix_s: int) -> Admission:
        """The admission of a PoP, if an issuer of its owner has signed it.

        Raises:
            IdentityError: none has; or it is dated beyond `unix_s`.
        """
        if signed.kind != ADMISSION:
            raise IdentityError("what was signed is not an admission")
        admission = Admission.of_payload(signed.payload)
        self._signed(signed, admission.member.owner, admission.at // 1000, unix_s)
        return admission

    def policy(self, signed: Signed, owner: OwnerId, unix_s: int) -> OwnerPolicy:
        """The policy for a foreign owner, if an issuer of this (our) owner has signed it.

        Raises:
            IdentityError: none has; it is dated beyond `unix_s`; or the root in it is not that of
                the owner it is about.
        """
        if signed.kind != POLICY:
            raise IdentityError("what was signed is not a policy for an owner")
        policy = OwnerPolicy.of_payload(signed.payload)
        self._signed(signed, owner, policy.at // 1000, unix_s)
        if Bundle([policy.root]).owners != (policy.owner,):
            raise IdentityError(f"the policy for {policy.owner} has another owner's root")
        return policy

    def _verified(
        self, certificates: Sequence[x509.Certificate], owner: OwnerId, unix_s: int
    ) -> PopId:
        """Which PoP issued the first of these, up to this owner's root."""
        policy = PolicyBuilder().store(self._stores[owner]).max_chain_depth(1)
        verifier = policy.time(_time(unix_s)).build_client_verifier()
        path = verifier.verify(certificates[0], list(certificates[1:])).chain
        issuer = issuer_pop(path[1])
        if len(path) != 3 or issuer is None or path[2] != self._roots[owner]:
            raise IdentityError("the certificate was not issued by an owner's issuer", advice=_ASK)
        return issuer

    def _signed(self, signed: Signed, owner: OwnerId, at_unix_s: int, unix_s: int) -> None:
        """See that an issuer of this owner signed it, when it says."""
        root = self._roots.get(owner)
        if root is None:
            raise IdentityError(f"{owner} is an owner that is not known here")
        if at_unix_s > unix_s + CLOCK_SKEW_S:
            ahead_s = at_unix_s - unix_s
            raise IdentityError(f"this was signed {ahead_s} s in the future", advice=_CLOCK)
        issuer = _parsed(signed.chain)[0]
        try:
            _check_issuer(issuer, root, at_unix_s)
            key = issuer.public_key()
            assert isinstance(key, ec.EllipticCurvePublicKey), "checked"
            words = pae(signed.kind, signed.payload)
            key.verify(signed.signature, words, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise IdentityError(f"no issuer of {owner} has signed this") from None
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound):
            raise _damaged() from None


def _check_issuer(issuer: x509.Certificate, root: x509.Certificate, unix_s: int) -> None:
    """See that this root made it an issuer, then.

    Raises:
        InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound: it did not.
        IdentityError: not for then, or not for this.
    """
    if issuer.issuer != root.subject:
        raise InvalidSignature
    issuer.verify_directly_issued_by(root)
    limits = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    right = isinstance(issuer.public_key(), ec.EllipticCurvePublicKey)
    if not right or not limits.ca or not usage.digital_signature or issuer_pop(issuer) is None:
        raise IdentityError("this was not signed by an owner's issuer")
    for certificate in (issuer, root):
        begin, end = times_of(certificate)
        if not begin <= unix_s <= end:
            raise IdentityError("this was signed when its issuer's certificate was not good")


def _named(leaf: x509.Certificate) -> Member:
    """Whom a certificate names, if it is one of a PoP and its names agree.

    Raises:
        IdentityError: it is not, or they do not.
        ValueError: an extension is malformed.
    """
    extensions = leaf.extensions
    try:
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise IdentityError("the certificate is an authority's, not a PoP's", advice=_ASK)
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise IdentityError("the certificate names no PoP", advice=_ASK) from None
    uris, hosts = uris_of(leaf), names.get_values_for_type(x509.DNSName)
    if len(uris) != 1:
        raise IdentityError("the certificate names no PoP, or several", advice=_ASK)
    member = Member.of_name(uris[0])
    if cn_of(leaf) != member.pop or hosts != [member.pop]:
        raise IdentityError(
            f"the certificate's names do not agree: {member.pop}, {cn_of(leaf)[:64]!r}",
            advice=_ASK,
        )
    return member


def _explained(
    certificates: Sequence[x509.Certificate], unix_s: int, otherwise: str
) -> IdentityError:
    """Why a chain does not hold, in words."""
    for place, certificate in enumerate(certificates[:2]):
        what = "its issuer's certificate" if place else "the certificate"
        begin, end = times_of(certificate)
        if unix_s > end:
            said = f"{what} ran out {unix_s - end} s ago"
            return IdentityError(said, advice=_RENEW, details={"reason": "expired"})
        if unix_s < begin:
            said = f"{what} is good only in {begin - unix_s} s"
            return IdentityError(said, advice=_CLOCK, details={"reason": "early"})
    owner = _named(certificates[0]).owner
    return IdentityError(
        f"no issuer of {owner} vouches for the certificate ({otherwise[:200]})", advice=_ASK
    )


def _parsed(chain: Sequence[bytes]) -> Sequence[x509.Certificate]:
    if not 1 <= len(chain) <= CHAIN_CERTIFICATES_MAX:
        raise IdentityError(
            f"{len(chain)} certificates were shown; a PoP shows 2 or 3", advice=_ASK
        )
    if max(map(len, chain)) > CERTIFICATE_BYTES_MAX:
        raise IdentityError("a certificate is too large to be a PoP's", advice=_ASK)
    try:
        return [x509.load_der_x509_certificate(each) for each in chain]
    except ValueError:
        raise _damaged() from None


def _damaged() -> IdentityError:
    return IdentityError("a certificate can't be read", advice=_ASK)


def _time(unix_s: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(unix_s, dt.UTC)
