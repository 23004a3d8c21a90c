"""Private keys in files: PKCS#8 PEM, mode 0600, made whole or not at all, never overwritten."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from littoral.adapters.files import read_secret, write_once
from littoral.adapters.owner.certificates import make_key
from littoral.terms.errors import HomeUnwritableError, IdentityError
from littoral.terms.ports import Clock

__all__ = ["home_is_usable", "open_key", "read_key", "write_key"]


def open_key(path: Path, clock: Clock) -> ec.EllipticCurvePrivateKey:
    """The key of this file, made now if there is none; of several who make it, one does.

    Raises:
        IdentityError: it is damaged, or can be read by others.
        OSError: it can't be made or read.
    """
    if not path.exists():
        write_key(path, make_key(clock))
    return read_key(path)


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key of this file.

    Raises:
        IdentityError: it is damaged, or can be read by others.
        OSError: it can't be read.
    """
    pem = read_secret(path, otherwise="replace it, and have what it signed replaced")
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError(
            f"{path} does not hold a P-256 private key", advice="restore it from a backup"
        )
    return key


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a key where there is none yet.

    Raises:
        OSError: it can't be written.
    """
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_once(path, pem, mode=0o600)


@contextmanager
def home_is_usable(folder: Path) -> Iterator[None]:
    """Say what the system refuses as an operator can mend it.

    Raises:
        HomeUnwritableError: something in this folder can't be read or written.
    """
    try:
        yield
    except OSError as error:
        raise HomeUnwritableError(
            f"the keys in {folder} can't be made or read ({error.strerror})"
        ) from None
