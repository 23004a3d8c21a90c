"""Members of the fabric by name: who a certificate says somebody is.

A PoP's name is a SPIFFE id that its owner's issuer signs:

    spiffe://OWNER/zone/ZONE/site/SITE/pop/POP

Everything that routing may be confined to (owner, zone, site) is in the name, so it is vouched for
by the owner and not by the PoP itself. The owner's name follows from its root key and the PoP's
from its receipt key: neither can be claimed without the key.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self

from littoral.terms.errors import IdentityError
from littoral.terms.ids import OwnerId, PopId, SiteName, ZoneName

__all__ = ["Member", "owner_id", "owner_of_fingerprint"]

_NAME: Final = re.compile(
    r"spiffe://(own-[0-9a-f]{16})/zone/([a-z0-9][a-z0-9-]{0,31})/site/([a-z0-9][a-z0-9-]{0,31})"
    r"/pop/(pop-[0-9a-f]{16})"
)


def owner_id(root_spki: bytes) -> OwnerId:
    """The name of the owner whose root public key this is (SubjectPublicKeyInfo in DER)."""
    return owner_of_fingerprint(hashlib.sha256(root_spki).digest())


def owner_of_fingerprint(fingerprint: bytes) -> OwnerId:
    """The same, of the SHA-256 of that key, 32 bytes."""
    return OwnerId(f"own-{fingerprint.hex()[:16]}")


@dataclass(frozen=True, slots=True)
class Member:
    """One PoP, as its owner names it."""

    owner: OwnerId
    zone: ZoneName
    site: SiteName
    pop: PopId

    @classmethod
    def of_name(cls, name: str) -> Self:
        """The member of this SPIFFE id.

        Raises:
            IdentityError: it is not the name of a PoP.
        """
        parts = _NAME.fullmatch(name)
        if parts is None:
            raise IdentityError(
                f"{name[:200]!r} is not the name of a PoP",
                advice="one is spiffe://OWNER/zone/ZONE/site/SITE/pop/POP",
            )
        owner, zone, site, pop = parts.groups()
        return cls(OwnerId(owner), ZoneName(zone), SiteName(site), PopId(pop))

    @property
    def name(self) -> str:
        """The SPIFFE id."""
        return f"spiffe://{self.owner}/zone/{self.zone}/site/{self.site}/pop/{self.pop}"
