"""The three kinds of certificate, as they are made: root, issuer, and leaf of a PoP.

Rules
- All keys are EC P-256, which every TLS library signs and checks fastest or nearly so.
- A root and an issuer carry the owner's trust domain as URI, a leaf the PoP's name as URI, and the
  PoP's id as common name (Zenoh's access rules know nothing else) and as DNS name (SNI).
- No name constraints: neither `cryptography` nor rustls knows those of URIs, and both refuse what
  they do not know. `checking` sees that a PoP is named by the owner of its root instead.
"""

import datetime as dt
import re
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from littoral.terms.ids import OwnerId, PopId
from littoral.terms.limits import CLOCK_SKEW_S, ISSUER_DAYS, LEAF_S, ROOT_DAYS
from littoral.terms.ports import Clock
from littoral.trust.members import Member, owner_id

__all__ = [
    "DAY_S",
    "Authority",
    "cn_of",
    "issuer_pop",
    "make_issuer",
    "make_key",
    "make_leaf",
    "make_root",
    "pem_of",
    "spki_of",
    "times_of",
    "uris_of",
]

DAY_S: Final = 86_400
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""How many private keys P-256 has, and one."""

_ISSUER: Final = re.compile(r"issuer (pop-[0-9a-f]{16})")

_BOTH_SIDES: Final = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
)


class Authority:
    """A certificate that signs others, with its key and chance for their numbers."""

    __slots__ = ("certificate", "clock", "key")

    def __init__(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, clock: Clock
    ) -> None:
        self.certificate = certificate
        self.key = key
        self.clock = clock


def make_key(clock: Clock) -> ec.EllipticCurvePrivateKey:
    """A new key, of the clock's randomness; 64 spare bits leave no key likelier than another."""
    drawn = int.from_bytes(clock.random_bytes(40), "big")
    return ec.derive_private_key(drawn % (_ORDER - 1) + 1, ec.SECP256R1())


def spki_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """SubjectPublicKeyInfo in DER."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pem_of(*certificates: x509.Certificate) -> bytes:
    """A file of certificates, one after another."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def make_root(key: ec.EllipticCurvePrivateKey, clock: Clock, unix_s: int) -> x509.Certificate:
    """An owner's root, signed by itself."""
    owner = owner_id(spki_of(key.public_key()))
    built = _builder(owner, key.public_key(), (unix_s, unix_s + ROOT_DAYS * DAY_S), clock)
    built = _authority(built, owner, path_length=1).issuer_name(_name(owner))
    return _signed(built, key)


def make_issuer(
    pop: PopId, key: ec.EllipticCurvePublicKey, root: Authority, unix_s: int
) -> x509.Certificate:
    """The certificate by which a PoP may issue those of others."""
    owner = OwnerId(cn_of(root.certificate))
    until = min(unix_s + ISSUER_DAYS * DAY_S, times_of(root.certificate)[1])
    built = _builder(f"issuer {pop}", key, (unix_s, until), root.clock)
    built = _authority(built, owner, path_length=0).issuer_name(root.certificate.subject)
    return _signed(built, root.key)


def make_leaf(
    member: Member, key: ec.EllipticCurvePublicKey, issuer: Authority, unix_s: int
) -> x509.Certificate:
    """The certificate by which a PoP speaks to others."""
    until = min(unix_s + LEAF_S, times_of(issuer.certificate)[1])
    built = _builder(member.pop, key, (unix_s, until), issuer.clock)
    names = [x509.UniformResourceIdentifier(member.name), x509.DNSName(member.pop)]
    built = (
        built.issuer_name(issuer.certificate.subject)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(_BOTH_SIDES, critical=False)
    )
    return _signed(built, issuer.key)


def issuer_pop(certificate: x509.Certificate) -> PopId | None:
    """Which PoP holds this issuer's key, by the certificate's name; None if it is no issuer's."""
    parts = _ISSUER.fullmatch(cn_of(certificate))
    return None if parts is None else PopId(parts[1])


def cn_of(certificate: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """The common name of a certificate or request; empty unless it has exactly one."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def uris_of(certificate: x509.Certificate) -> list[str]:
    """The URIs that a certificate is for.

    Raises:
        ValueError: an extension is malformed.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def times_of(certificate: x509.Certificate) -> tuple[int, int]:
    """From when and until when it is good, Unix seconds."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return int(begin.timestamp()), int(end.timestamp())


def _builder(
    name: str, key: ec.EllipticCurvePublicKey, times: tuple[int, int], clock: Clock
) -> x509.CertificateBuilder:
    """What all three have in common."""
    begin, end = times
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key)
        .serial_number(int.from_bytes(clock.random_bytes(16), "big") | 1)
        .not_valid_before(_time(begin - CLOCK_SKEW_S))
        .not_valid_after(_time(end))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _authority(
    built: x509.CertificateBuilder, owner: OwnerId, *, path_length: int
) -> x509.CertificateBuilder:
    domain = x509.UniformResourceIdentifier(f"spiffe://{owner}")
    return (
        built.add_extension(x509.SubjectAlternativeName([domain]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )


def _signed(built: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return built.add_extension(by, critical=False).sign(key, hashes.SHA256())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Both sign; an issuer signs admissions beside certificates."""
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _time(unix_s: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(unix_s, dt.UTC)
