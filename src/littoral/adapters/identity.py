"""The PoP's own Ed25519 key: one file that only its owner can read, made once.

Rules
- `HOME/identity.key` is a PKCS#8 PEM file of mode 0600, made whole or not at all; what is there is
  never overwritten. A file that others can read is refused: its key is no longer a secret.
- `HOME/identity.pub` is the public key, one line of base64: what `verify --trust` takes.

The private key never leaves `Identity`. Certificates are another matter: `adapters/owner/`.
"""

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from littoral.adapters.files import SMALL_FILE_BYTES_MAX, read_secret, write_once
from littoral.terms.errors import HomeUnwritableError, IdentityError
from littoral.terms.ids import PopId
from littoral.terms.ports import Clock
from littoral.trust.names import pop_id

__all__ = [
    "KEY_FILE",
    "PUBLIC_KEY_FILE",
    "Identity",
    "open_identity",
    "read_public_keys",
    "verify",
]

KEY_FILE: Final = "identity.key"
PUBLIC_KEY_FILE: Final = "identity.pub"


class Identity:
    """A PoP's key pair: the `Signer` of its receipts."""

    __slots__ = ("_private_key", "_public_key")

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self._public_key = private_key.public_key().public_bytes_raw()

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return self._public_key

    @property
    def pop_id(self) -> PopId:
        """The PoP's name, which follows from its key."""
        return pop_id(self._public_key)

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._private_key.sign(message)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature holds. The `Verify` port; never raises."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def open_identity(home: Path, clock: Clock) -> Identity:
    """This home's identity, made now if there is none.

    Args:
        home: the state directory, which exists.
        clock: source of the randomness for a new key.

    Raises:
        IdentityError: the key file is damaged, or can be read by others.
        HomeUnwritableError: the files can't be written.
    """
    path = home / KEY_FILE
    try:
        if not path.exists():
            made = Ed25519PrivateKey.from_private_bytes(clock.random_bytes(32))
            pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_once(path, pem, mode=0o600)
        identity = Identity(_read_private_key(path))
        _export(home / PUBLIC_KEY_FILE, identity.public_key)
    except OSError as error:
        raise HomeUnwritableError(
            f"the identity in {home} can't be made or read ({error.strerror})"
        ) from None
    return identity


def read_public_keys(path: Path) -> Sequence[bytes]:
    """The keys in a file of one base64 line each; blank lines and `#` comments are skipped.

    Raises:
        IdentityError: the file can't be read or has something else in it.
    """
    try:
        with path.open("rb") as file:
            text = file.read(SMALL_FILE_BYTES_MAX)
    except OSError as error:
        raise IdentityError(
            f"the public key file {path} can't be read ({error.strerror})",
            advice=f"give a PoP's {PUBLIC_KEY_FILE}",
        ) from None
    lines = [line.strip() for line in text.splitlines()]
    return [_public_key(line, path) for line in lines if line and not line.startswith(b"#")]


def _public_key(line: bytes, path: Path) -> bytes:
    try:
        key = base64.b64decode(line, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise IdentityError(
            f"{path} has a line that is not an Ed25519 public key",
            advice=f"give a PoP's {PUBLIC_KEY_FILE}: one line of base64",
        )
    return key


def _read_private_key(path: Path) -> Ed25519PrivateKey:
    pem = read_secret(path, otherwise="remove it, and a new identity is made")
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise IdentityError(
            f"{path} does not hold an Ed25519 private key",
            advice="restore it from a backup, or remove it, and a new identity is made",
        )
    return key


def _export(path: Path, public_key: bytes) -> None:
    """Write the public key beside the private one, if it is not there already."""
    line = base64.b64encode(public_key) + b"\n"
    if path.exists() and path.read_bytes() == line:
        return
    path.unlink(missing_ok=True)
    write_once(path, line, mode=0o644)
