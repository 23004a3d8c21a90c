"""What a PoP of the fabric keeps in HOME/fabric: its TLS key, its certificate, whom it trusts.

Rules
- The key is made once and stays; its certificate is renewed for the same key, so that one file is
  replaced and the two always belong together, for every process that reads them.
- Certificates are written whole or not at all, the bundle before the certificate: whoever finds a
  certificate finds whom to trust as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from littoral.adapters.files import write_whole
from littoral.adapters.owner.bundle import Bundle
from littoral.adapters.owner.certificates import pem_of, spki_of, times_of, uris_of
from littoral.adapters.owner.key_files import home_is_usable, open_key
from littoral.adapters.owner.requests import make_request
from littoral.terms.errors import IdentityError
from littoral.terms.ids import PopId
from littoral.terms.ports import Clock
from littoral.trust.joining import JoinAnswer, KeyRequests
from littoral.trust.members import Member

__all__ = ["FabricFiles", "OwnCertificate"]


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """What this PoP's certificate says."""

    member: Member
    begins_unix_s: int
    expires_unix_s: int


@dataclass(frozen=True, slots=True)
class FabricFiles:
    """The paths of one home, and what is read from and written to them."""

    home: Path

    @property
    def folder(self) -> Path:
        """HOME/fabric."""
        return self.home / "fabric"

    @property
    def key(self) -> Path:
        """The TLS key, mode 0600."""
        return self.folder / "tls.key"

    @property
    def chain(self) -> Path:
        """The PoP's certificate, the issuer's, the root's."""
        return self.folder / "tls.pem"

    @property
    def root(self) -> Path:
        """The root of the PoP's own owner: what Zenoh trusts."""
        return self.folder / "root.pem"

    @property
    def bundle(self) -> Path:
        """The roots of every trusted owner."""
        return self.folder / "bundle.pem"

    def requests(self, pop: PopId, clock: Clock, *, issuer_csr: bytes = b"") -> KeyRequests:
        """Requests for certificates of this home's keys; the TLS key is made now if there is none.

        Args:
            pop: this PoP.
            clock: source of the randomness for a new key.
            issuer_csr: of `keys.issuer_request`, if the PoP would issue certificates too.

        Raises:
            IdentityError: the key is damaged, or can be read by others.
            HomeUnwritableError: the files can't be written.
        """
        with home_is_usable(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            key = open_key(self.key, clock)
        return KeyRequests(make_request(key, pop), spki_of(key.public_key()), issuer_csr)

    def check(self, answer: JoinAnswer, clock: Clock) -> Sequence[x509.Certificate]:
        """The chain in an answer, if it is for this home's key.

        Raises:
            IdentityError: it is for another, or can't be read.
            HomeUnwritableError: this home's key can't be read.
        """
        try:
            chain = [x509.load_der_x509_certificate(each) for each in answer.chain]
            key = chain[0].public_key()
        except (ValueError, IndexError):
            raise IdentityError("the certificate that came can't be read") from None
        with home_is_usable(self.folder):
            own = open_key(self.key, clock).public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or spki_of(key) != spki_of(own):
            raise IdentityError("the certificate that came is for another key than ours")
        return chain

    def keep(self, answer: JoinAnswer, clock: Clock) -> None:
        """Write down what an issuer answered, once it was checked.

        Raises:
            IdentityError: as `check`; nothing is written.
            HomeUnwritableError: the files can't be written.
        """
        chain = self.check(answer, clock)
        own, bundle = Bundle([answer.root]), Bundle(answer.bundle)
        with home_is_usable(self.folder):
            bundle.write(self.bundle)
            own.write(self.root)
            write_whole(self.chain, pem_of(*chain) + own.pem(), mode=0o644)

    def fingerprint(self) -> bytes:
        """SHA-256 of the key of this PoP's own owner's root, as a ticket has it.

        Raises:
            IdentityError: there is none, or it can't be read.
        """
        return Bundle.read(self.root).fingerprints[0]

    def own(self) -> "OwnCertificate | None":
        """This PoP's certificate; None if it has none yet.

        Raises:
            IdentityError: it can't be read.
        """
        chain = self.shown()
        if not chain:
            return None
        certificate = x509.load_der_x509_certificate(chain[0])
        (name,) = uris_of(certificate)
        return OwnCertificate(Member.of_name(name), *times_of(certificate))

    def shown(self) -> Sequence[bytes]:
        """The chain that this PoP shows now, DER; empty if it is none yet.

        Raises:
            IdentityError: it can't be read.
        """
        try:
            chain = x509.load_pem_x509_certificates(self.chain.read_bytes())
        except FileNotFoundError:
            return ()
        except (OSError, ValueError):
            raise IdentityError(
                f"the certificate {self.chain} can't be read",
                advice="remove it, and the PoP asks for a new one",
            ) from None
        return [each.public_bytes(Encoding.DER) for each in chain]
