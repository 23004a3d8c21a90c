"""The bundle: the root certificates of every owner whose PoPs are known by name here."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from littoral.adapters.files import write_whole
from littoral.adapters.owner.certificates import pem_of, spki_of, uris_of
from littoral.terms.errors import HomeUnwritableError, IdentityError
from littoral.terms.ids import OwnerId
from littoral.terms.limits import CERTIFICATE_BYTES_MAX, OWNERS_MAX
from littoral.trust.members import owner_id

__all__ = ["Bundle", "root_spki"]

_ADVICE = "have the bundle of that owner sent again"


class Bundle:
    """Roots by owner. A value: `with_root` and `without` make the next one."""

    __slots__ = ("_roots",)

    def __init__(self, roots: Iterable[bytes] = ()) -> None:
        """Take these roots, DER.

        Raises:
            IdentityError: one is no owner's root; or there are more than OWNERS_MAX and ours.
        """
        checked = map(_root, roots)
        self._roots: dict[OwnerId, x509.Certificate] = {
            owner_id(root_spki(root)): root for root in checked
        }
        if len(self._roots) > OWNERS_MAX + 1:
            raise IdentityError(
                f"there are {len(self._roots)} owners, and {OWNERS_MAX + 1} at most are trusted",
                advice="leave those out that are no longer worked with",
            )

    @property
    def owners(self) -> tuple[OwnerId, ...]:
        """Whose roots it has, sorted."""
        return tuple(sorted(self._roots))

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The roots in DER, in the order of `owners`."""
        return tuple(map(self.root, self.owners))

    def root(self, owner: OwnerId) -> bytes:
        """The root of an owner that it has, DER."""
        return self._roots[owner].public_bytes(Encoding.DER)

    @property
    def fingerprints(self) -> tuple[bytes, ...]:
        """SHA-256 of the roots' keys, as tickets have it, in the order of `owners`."""
        spkis = (root_spki(self._roots[owner]) for owner in self.owners)
        return tuple(hashlib.sha256(spki).digest() for spki in spkis)

    @property
    def certificates(self) -> Mapping[OwnerId, x509.Certificate]:
        """The roots, for this package."""
        return self._roots

    def with_root(self, root: bytes) -> "Bundle":
        """The bundle with one more owner; with this root in place of an older one of the same key.

        Raises:
            IdentityError: it is no owner's root, or there is no room.
        """
        return Bundle((*self.roots, root))

    def without(self, owner: OwnerId) -> "Bundle":
        """The bundle without an owner."""
        return Bundle(self.root(each) for each in self.owners if each != owner)

    def pem(self) -> bytes:
        """The file that `read` reads, and that TLS libraries take."""
        return pem_of(*(self._roots[owner] for owner in self.owners))

    def write(self, path: Path) -> None:
        """Put it in the place of what is there.

        Raises:
            HomeUnwritableError: it can't be written.
        """
        try:
            write_whole(path, self.pem(), mode=0o644)
        except OSError as error:
            raise HomeUnwritableError(f"{path} can't be written ({error.strerror})") from None

    @classmethod
    def of_pem(cls, pem: bytes) -> "Bundle":
        """Read what `pem` made.

        Raises:
            IdentityError: it is something else.
        """
        try:
            roots = x509.load_pem_x509_certificates(pem[: (OWNERS_MAX + 1) * 2 * 4096])
        except ValueError:
            raise IdentityError("this is not a bundle of certificates", advice=_ADVICE) from None
        return cls(root.public_bytes(Encoding.DER) for root in roots)

    @classmethod
    def read(cls, path: Path) -> "Bundle":
        """Read it from a file.

        Raises:
            IdentityError: it can't be read, or is something else.
        """
        try:
            pem = path.read_bytes()
        except OSError as error:
            raise IdentityError(
                f"the bundle of trusted owners {path} can't be read ({error.strerror})",
                advice="join the fabric again, or bring the file back",
            ) from None
        return cls.of_pem(pem)


def root_spki(root: x509.Certificate) -> bytes:
    """The key of a root that was checked, SubjectPublicKeyInfo in DER."""
    key = root.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey), "roots are P-256"
    return spki_of(key)


def _root(der: bytes) -> x509.Certificate:
    """A root, checked to be one: an owner's own, by its own key.

    Raises:
        IdentityError: it is none.
    """
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise IdentityError("this certificate is too large for an owner's root", advice=_ADVICE)
    try:
        root = x509.load_der_x509_certificate(der)
        key, uris = root.public_key(), uris_of(root)
        limits = root.extensions.get_extension_for_class(x509.BasicConstraints).value
        root.verify_directly_issued_by(root)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound, InvalidSignature):
        raise IdentityError("this certificate is no owner's root", advice=_ADVICE) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError("an owner's root has a P-256 key, this one has not", advice=_ADVICE)
    if not limits.ca or uris != [f"spiffe://{owner_id(spki_of(key))}"]:
        raise IdentityError("this certificate is no owner's root", advice=_ADVICE)
    return root
