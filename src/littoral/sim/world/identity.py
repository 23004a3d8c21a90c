"""Who is who in a world: keys that sign, an owner that vouches for names and takes that back.

Signatures are keyed hashes, 50 times as quick as Ed25519 and as impossible to make without the key,
as keys are kept here and given to nobody but their holder. A world can be run with real ones, too.
"""

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from littoral.terms.errors import IdentityError
from littoral.terms.ids import OwnerId, PopId, SiteName, ZoneName
from littoral.terms.ports import Signer, Verify
from littoral.trust.members import Member
from littoral.trust.names import pop_id

__all__ = ["Identity", "Keys", "Owner"]

_DAY: Final = 86_400
_OWNER: Final = OwnerId("own-0123456789abcdef")


class _Key:
    """A `Signer`, for tests of what is signed; not of signatures."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._public = hashlib.blake2b(secret, digest_size=32).digest()

    @property
    def public_key(self) -> bytes:
        return self._public

    def sign(self, message: bytes) -> bytes:
        return hashlib.blake2b(message, key=self._secret, digest_size=64).digest()


class Keys:
    """All keys of a world."""

    def __init__(
        self, make: Callable[[bytes], Signer] | None = None, verify: Verify | None = None
    ) -> None:
        """Make keyed hashes do, or what is given.

        Args:
            make: a signer from 32 bytes of a seed.
            verify: holds for what such signers sign.
        """
        self._make = make
        self._other_verify = verify
        self._known: dict[bytes, _Key] = {}

    def make(self, seed: bytes) -> Signer:
        """A key pair of its own for each seed."""
        secret = hashlib.blake2b(seed, digest_size=32).digest()
        if self._make is not None:
            return self._make(secret)
        key = _Key(secret)
        self._known[key.public_key] = key
        return key

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """The `Verify` port."""
        if self._other_verify is not None:
            return self._other_verify(public_key, message, signature)
        key = self._known.get(public_key)
        return key is not None and key.sign(message) == signature


class Identity:
    """One PoP's key, name and certificate."""

    def __init__(self, signer: Signer, member: Member, certificate: bytes) -> None:
        self.signer = signer
        self.member = member
        self.certificate = certificate

    @property
    def pop(self) -> PopId:
        """The PoP's name."""
        return self.member.pop


class _Certificate(msgspec.Struct, frozen=True, array_like=True):
    name: str
    until_unix_s: int
    signature: bytes


class Owner:
    """Vouches for PoPs, and takes that back."""

    def __init__(self, keys: Keys, unix_s: int) -> None:
        """Begin.

        Args:
            keys: where its own comes from.
            unix_s: now; what it signs is good for a day.
        """
        self._keys = keys
        self._signer = keys.make(b"owner")
        self._until = unix_s + _DAY

    def admit(self, seed: bytes, site: str) -> Identity:
        """A new PoP at this site."""
        signer = self._keys.make(seed)
        pop = pop_id(signer.public_key)
        member = Member(_OWNER, ZoneName("sea"), SiteName(site), pop)
        signed = self._signer.sign(b"%s until %d" % (member.name.encode(), self._until))
        certificate = _Certificate(member.name, self._until, signed)
        return Identity(signer, member, msgspec.msgpack.encode(certificate))

    def check(self, certificate: bytes, unix_s: int) -> Member:
        """The member that a certificate names.

        Raises:
            IdentityError: it is not the owner's, or too old.
        """
        try:
            read = msgspec.msgpack.decode(certificate, type=_Certificate)
        except msgspec.DecodeError:
            raise IdentityError("this is no certificate") from None
        said = b"%s until %d" % (read.name.encode(), read.until_unix_s)
        if not self._keys.verify(self._signer.public_key, said, read.signature):
            raise IdentityError("the owner did not sign this")
        if unix_s > read.until_unix_s:
            raise IdentityError("this certificate has run out")
        return Member.of_name(read.name)

    def revocation(self, pop: PopId) -> bytes:
        """The word that a PoP is no member any more."""
        said = f"revoked {pop}".encode()
        return said + self._signer.sign(said)

    def revoked(self, word: bytes) -> PopId | None:
        """Whom this word revokes, if the owner signed it."""
        said, signature = word[:-64], word[-64:]
        if not self._keys.verify(self._signer.public_key, said, signature):
            return None
        return PopId(said.decode().removeprefix("revoked "))
