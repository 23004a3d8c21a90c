"""The owner's keys that are on this machine: the root, if it is at hand, and this PoP's issuer.

Rules
- Keys are of mode 0600 and made whole or not at all; what was begun and killed is gone on with.
- The root key is read when it is needed and not held: once its file is taken away, nothing here can
  use it. It is needed to make or renew the certificate of an issuer, of this PoP or another.
- An issuer's certificate is renewed for the same key, at half of its life, if the root is at hand.
"""

import hashlib
from pathlib import Path
from typing import Final, NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from littoral.adapters.files import drop_drafts, write_once, write_whole
from littoral.adapters.owner.bundle import Bundle, root_spki
from littoral.adapters.owner.certificates import (
    DAY_S,
    Authority,
    issuer_pop,
    make_issuer,
    make_leaf,
    make_root,
    pem_of,
    spki_of,
    times_of,
)
from littoral.adapters.owner.key_files import home_is_usable, open_key, read_key, write_key
from littoral.adapters.owner.requests import Requested, make_request
from littoral.terms.errors import ConflictError, IdentityError, OwnerKeyAwayError
from littoral.terms.ids import OwnerId, PopId
from littoral.terms.limits import ISSUER_DAYS
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND
from littoral.trust.admission import Signed
from littoral.trust.dsse import pae
from littoral.trust.members import Member, owner_id

__all__ = [
    "Owner",
    "issuer_request",
    "keep_issuer",
    "make_owner",
    "open_owner",
    "set_owner_aside",
]

_FOLDER: Final = "owner"
_ROOT_KEY: Final = "root.key"
_ROOT: Final = "root.pem"
_ISSUER_KEY: Final = "issuer.key"
_ISSUER: Final = "issuer.pem"


class Owner:
    """An owner, as far as this PoP may act for it: it issues certificates and signs words."""

    def __init__(
        self, folder: Path, clock: Clock, root: x509.Certificate, issuer: Authority
    ) -> None:
        """Hold an issuer's key; `open_owner` finds it.

        Args:
            folder: HOME/owner.
            clock: for the numbers of certificates.
            root: the owner's.
            issuer: this PoP's certificate and key.

        Raises:
            IdentityError: the issuer is not this root's, or is no PoP's.
        """
        pop = issuer_pop(issuer.certificate)
        if pop is None or issuer.certificate.issuer != root.subject:
            raise IdentityError(
                f"{folder / _ISSUER} is not a certificate of this owner's issuer",
                advice="remove it, and have the PoP join again",
            )
        self._folder = folder
        self._clock = clock
        self._root = root
        self._issuer = issuer
        self.pop = pop
        """Which PoP issues here."""
        self.root = root.public_bytes(Encoding.DER)
        """The owner's root certificate."""
        spki = root_spki(root)
        self.fingerprint = hashlib.sha256(spki).digest()
        """SHA-256 of the root key, as tickets carry it."""
        self.owner_id: OwnerId = owner_id(spki)
        secret = issuer.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        self.nonce_key = hashlib.sha256(b"littoral-nonce-v1" + secret).digest()
        """For nonces, the same in every process that has this issuer's key."""

    @property
    def has_root(self) -> bool:
        """Whether the root key is at hand."""
        return (self._folder / _ROOT_KEY).exists()

    def issue(self, member: Member, requested: Requested, unix_s: int) -> tuple[bytes, bytes]:
        """A PoP's certificate and the issuer's, DER.

        Raises:
            OwnerKeyAwayError: the issuer's own certificate has run out and the root is away.
        """
        assert member.owner == self.owner_id, "an owner names its own PoPs"
        issuer = self._fresh(unix_s)
        leaf = make_leaf(member, requested.key, issuer, unix_s)
        return leaf.public_bytes(Encoding.DER), issuer.certificate.public_bytes(Encoding.DER)

    def certify_issuer(self, requested: Requested, unix_s: int) -> bytes:
        """The certificate by which another PoP may issue too, DER.

        Raises:
            OwnerKeyAwayError: the root is away.
            IdentityError: the root key's file is damaged, readable by others, or another owner's.
        """
        issuer = make_issuer(requested.pop, requested.key, self._root_authority(), unix_s)
        return issuer.public_bytes(Encoding.DER)

    def sign(self, kind: str, payload: bytes, unix_s: int) -> Signed:
        """A word of this owner, by this issuer.

        Raises:
            OwnerKeyAwayError: as `issue`.
        """
        issuer = self._fresh(unix_s)
        signature = issuer.key.sign(pae(kind, payload), ec.ECDSA(hashes.SHA256()))
        return Signed(kind, payload, signature, (issuer.certificate.public_bytes(Encoding.DER),))

    def take_root_offline(self, to: Path) -> None:
        """Move the root key to another file: whole there before it is gone here.

        Raises:
            OwnerKeyAwayError: it is away already.
            ConflictError: something else is at the other place; nothing was moved.
            HomeUnwritableError: the other place can't be written; nothing was moved.
        """
        key = self._root_key()
        with home_is_usable(to.parent):
            write_key(to, key)
            self._check_copy(to, key)
        with home_is_usable(self._folder):
            (self._folder / _ROOT_KEY).unlink()
            drop_drafts(self._folder / _ROOT_KEY)

    def bring_root_back(self, of: Path) -> None:
        """Take the root key from this file again, which stays as it is.

        Raises:
            IdentityError: it is not this owner's root key.
            HomeUnwritableError: it can't be read, or written here.
        """
        with home_is_usable(of.parent):
            key = self._checked_root_key(of)
        with home_is_usable(self._folder):
            write_key(self._folder / _ROOT_KEY, key)

    def _check_copy(self, to: Path, key: ec.EllipticCurvePrivateKey) -> None:
        if spki_of(read_key(to).public_key()) != spki_of(key.public_key()):
            raise ConflictError(
                f"{to} holds another key", advice="name a place where there is nothing yet"
            )

    def _fresh(self, unix_s: int) -> Authority:
        """The issuer, its certificate renewed if it is time and the root is at hand."""
        if self._left_s(unix_s) < ISSUER_DAYS * DAY_S // 2:
            self._renew(unix_s)
        if self._left_s(unix_s) <= 0:
            days = -self._left_s(unix_s) // DAY_S
            _away(f"the certificate of this issuer ran out {days} days ago")
        return self._issuer

    def _renew(self, unix_s: int) -> None:
        path, key = self._folder / _ISSUER, self._issuer.key
        with home_is_usable(self._folder):
            self._issuer = Authority(_read_certificate(path), key, self._clock)
            if self._left_s(unix_s) < ISSUER_DAYS * DAY_S // 2 and self.has_root:
                root = self._root_authority()
                renewed = make_issuer(self.pop, key.public_key(), root, unix_s)
                write_whole(path, pem_of(renewed), mode=0o644)
                self._issuer = Authority(renewed, key, self._clock)

    def _left_s(self, unix_s: int) -> int:
        return times_of(self._issuer.certificate)[1] - unix_s

    def _root_authority(self) -> Authority:
        return Authority(self._root, self._root_key(), self._clock)

    def _root_key(self) -> ec.EllipticCurvePrivateKey:
        path = self._folder / _ROOT_KEY
        if not path.exists():
            _away("this takes the owner's root key, which is not on this machine")
        with home_is_usable(self._folder):
            return self._checked_root_key(path)

    def _checked_root_key(self, path: Path) -> ec.EllipticCurvePrivateKey:
        key = read_key(path)
        if spki_of(key.public_key()) != root_spki(self._root):
            raise IdentityError(
                f"{path} is not the root key of {self.owner_id}", advice="bring the right one"
            )
        return key


def make_owner(home: Path, pop: PopId, clock: Clock) -> Owner:
    """Make an owner whose first issuer is this PoP; open it, if it was made before.

    Raises:
        IdentityError: a file is damaged, or readable by others.
        OwnerKeyAwayError: it was made before, this PoP is no issuer of it, and the root is away.
        HomeUnwritableError: the files can't be written.
    """
    folder, unix_s = home / _FOLDER, clock.unix_ns() // SECOND
    with home_is_usable(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (folder / _ROOT).exists():
            made = make_root(open_key(folder / _ROOT_KEY, clock), clock, unix_s)
            write_once(folder / _ROOT, pem_of(made), mode=0o644)
        if not (folder / _ISSUER).exists():
            key = open_key(folder / _ISSUER_KEY, clock)
            root = _read_root(folder)
            if not (folder / _ROOT_KEY).exists():
                _away("this PoP is no issuer yet, and the owner's root key is not here")
            authority = Authority(root, read_key(folder / _ROOT_KEY), clock)
            issuer = make_issuer(pop, key.public_key(), authority, unix_s)
            write_once(folder / _ISSUER, pem_of(issuer), mode=0o644)
    return open_owner(home, clock)


def open_owner(home: Path, clock: Clock) -> Owner:
    """The owner for whom this PoP may issue.

    Raises:
        OwnerKeyAwayError: it may not.
        IdentityError: a file is damaged, or readable by others.
        HomeUnwritableError: the files can't be read.
    """
    folder = home / _FOLDER
    if not (folder / _ISSUER).exists():
        _away("this PoP may not issue certificates")
    with home_is_usable(folder):
        key = read_key(folder / _ISSUER_KEY)
        certificate = _read_certificate(folder / _ISSUER)
        root = _read_root(folder)
    if certificate.public_key() != key.public_key():
        raise IdentityError(
            f"{folder / _ISSUER} is not the certificate of {folder / _ISSUER_KEY}",
            advice="remove it, and have the PoP join again",
        )
    return Owner(folder, clock, root, Authority(certificate, key, clock))


def set_owner_aside(home: Path) -> None:
    """A home that is nobody's PoP joins another owner: its own owner, if it has one, is kept aside.

    Raises:
        HomeUnwritableError: it can't be moved.
    """
    folder = home / _FOLDER
    if (folder / _ROOT_KEY).exists():
        with home_is_usable(home):
            folder.rename(home / f"{_FOLDER}-before-joining")


def issuer_request(home: Path, pop: PopId, clock: Clock) -> bytes:
    """A request for an issuer's certificate for this home; its key is made now if there is none.

    Raises:
        IdentityError: the key is damaged, or can be read by others.
        HomeUnwritableError: the files can't be written.
    """
    folder = home / _FOLDER
    with home_is_usable(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return make_request(open_key(folder / _ISSUER_KEY, clock), pop)


def keep_issuer(home: Path, certificate: bytes, root: bytes) -> None:
    """Write down that this PoP may issue, once the root was checked.

    Raises:
        IdentityError: it is not a certificate of this home's issuer key by this root.
        HomeUnwritableError: the files can't be written.
    """
    folder = home / _FOLDER
    (trusted,) = Bundle([root]).certificates.values()
    with home_is_usable(folder):
        key = read_key(folder / _ISSUER_KEY)
        try:
            issuer = x509.load_der_x509_certificate(certificate)
            issuer.verify_directly_issued_by(trusted)
            right = issuer.public_key() == key.public_key()
        except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
            right = False
        if not right:
            raise IdentityError("the issuer's certificate that came is not for this PoP's key")
        write_whole(folder / _ROOT, pem_of(trusted), mode=0o644)
        write_whole(folder / _ISSUER, pem_of(issuer), mode=0o644)


def _read_root(folder: Path) -> x509.Certificate:
    root = _read_certificate(folder / _ROOT)
    (checked,) = Bundle([root.public_bytes(Encoding.DER)]).certificates.values()
    return checked


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        raise IdentityError(
            f"{path} is not a certificate", advice="restore it from a backup"
        ) from None


def _away(message: str) -> NoReturn:
    raise OwnerKeyAwayError(message)
