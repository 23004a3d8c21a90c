"""Requests for certificates (CSRs): a PoP asks for one for a key, and proves that it holds the key.

Only the key and the PoP's id are taken from a request. Everything else in a certificate is decided
by whoever issues it.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from littoral.adapters.owner.certificates import cn_of, spki_of
from littoral.terms.errors import JoinRejectedError
from littoral.terms.ids import PopId

__all__ = ["Requested", "make_request", "read_request"]


@dataclass(frozen=True, slots=True)
class Requested:
    """What a request asks for."""

    pop: PopId
    key: ec.EllipticCurvePublicKey
    spki: bytes
    """The key, SubjectPublicKeyInfo in DER."""


def make_request(key: ec.EllipticCurvePrivateKey, pop: PopId) -> bytes:
    """A request for a certificate of this key, DER."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, pop)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.DER)


def read_request(csr: bytes, pop: PopId) -> Requested:
    """Read a request that this PoP makes.

    Raises:
        JoinRejectedError: it can't be read, is another PoP's, or does not prove that whoever makes
            it holds the key; `reason` is `csr`.
    """
    try:
        request = x509.load_der_x509_csr(csr)
        key, holds, name = request.public_key(), request.is_signature_valid, cn_of(request)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _rejected("the request for a certificate can't be read") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _rejected("the request for a certificate is for a key that is not P-256")
    if not holds:
        raise _rejected("the request for a certificate is not signed by the key it is for")
    if name != pop:
        raise _rejected(f"the request for a certificate is for {name[:64]!r} and not for {pop}")
    return Requested(pop, key, spki_of(key))


def _rejected(message: str) -> JoinRejectedError:
    return JoinRejectedError(message, details={"reason": "csr"})
