"""What bytes and public keys are called. Names here are computed, never chosen."""

import hashlib
from functools import lru_cache

from littoral.terms.ids import Digest, PopId
from littoral.terms.limits import FLEET_POPS_MAX

__all__ = ["digest_of", "named", "names_of_key", "pop_id"]


def digest_of(data: bytes) -> Digest:
    """The name of these exact bytes; of a public key, the key id that receipts carry."""
    return named(hashlib.sha256(data))


def named(taken: "hashlib._Hash") -> Digest:
    """The name of the bytes that this SHA-256 was taken of."""
    return Digest(f"sha256:{taken.hexdigest()}")


def pop_id(public_key: bytes) -> PopId:
    """The name of the PoP that holds the private half of this key."""
    return PopId(f"pop-{hashlib.sha256(public_key).hexdigest()[:16]}")


@lru_cache(FLEET_POPS_MAX)
def names_of_key(public_key: bytes) -> tuple[Digest, PopId]:
    """What receipts call this key, and the PoP that holds it."""
    return digest_of(public_key), pop_id(public_key)
