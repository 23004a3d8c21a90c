"""What a request must have, wherever it is answered: `Littoral-Require`, read and compared.

    zone=eu, zone=ch, owner=own-0123456789abcdef, tier=attested, digest=sha256:…

Zones and owners that are named several times are any of them; the rest is all. It fails closed:
what is not known to have it does not have it. A server that a PoP passes requests on to counts as
where the PoP is: its operator has said to use it.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from littoral.routing.fleet import Tier
from littoral.terms.errors import BadRequestError
from littoral.terms.ids import Digest, OwnerId, ZoneName
from littoral.terms.limits import REQUIREMENT_CHARS_MAX

__all__ = ["REQUIRE", "Requirement", "requirement_of", "without_weights"]

REQUIRE: Final = "littoral-require"
"""The header field."""

_PART: Final = re.compile(r"(zone|owner|tier|digest)=([\x21-\x2b\x2d-\x7e]+)")
_ZONE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_OWNER: Final = re.compile(r"own-[0-9a-f]{16}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_TIERS: Final = {tier.name.lower(): tier for tier in Tier}


@dataclass(frozen=True, slots=True)
class Requirement:
    """See the module docstring."""

    zones: frozenset[ZoneName] | None = None
    """None is anywhere; so `owners`."""
    owners: frozenset[OwnerId] | None = None
    tier: Tier = Tier.SIGNED
    digest: Digest | None = None

    def unmet(
        self, zone: ZoneName, owner: OwnerId | None, tier: Tier, digest: Digest | None
    ) -> str:
        """What a PoP with this lacks, in words; nothing if it lacks nothing.

        Args:
            zone: where it is.
            owner: whose it is; None where it has no owner.
            tier: of its proofs.
            digest: of its weights; None where that is not known.
        """
        if self.zones is not None and zone not in self.zones:
            return f"zone {' or '.join(sorted(self.zones))} (this PoP is in {zone})"
        if self.owners is not None and owner not in self.owners:
            return f"owner {' or '.join(sorted(self.owners))}"
        if self.tier > tier:
            return f"tier {self.tier.name.lower()}"
        if self.digest is not None and self.digest != digest:
            return f"weights {self.digest}"
        return ""


@lru_cache(maxsize=256)
def requirement_of(text: str) -> Requirement:
    """What the field says.

    Raises:
        BadRequestError: it says something else.
    """
    if len(text) > REQUIREMENT_CHARS_MAX:
        raise _malformed(f"is over {REQUIREMENT_CHARS_MAX} characters")
    zones, owners = set[ZoneName](), set[OwnerId]()
    tiers, digests = [Tier.SIGNED], list[Digest]()
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = _PART.fullmatch(part)
        if found is None:
            raise _malformed(f"has {part[:60]!r} in it")
        name, value = found[1], found[2]
        match name:
            case "zone" if _ZONE.fullmatch(value):
                zones.add(ZoneName(value))
            case "owner" if _OWNER.fullmatch(value):
                owners.add(OwnerId(value))
            case "tier" if value in _TIERS:
                tiers.append(_TIERS[value])
            case "digest" if _DIGEST.fullmatch(value):
                digests.append(Digest(value))
            case _:
                raise _malformed(f"has no {name} {value[:60]!r}")
    if len(set(digests)) > 1:
        raise _malformed("names several digests, and a model has one")
    return Requirement(
        zones=frozenset(zones) or None,
        owners=frozenset(owners) or None,
        tier=max(tiers),
        digest=digests[0] if digests else None,
    )


def without_weights(text: str) -> str:
    """The same of a model that only helps to answer: where it is, and whose; not which it is."""
    parts = (part.strip() for part in text.split(","))
    return ", ".join(part for part in parts if part and not part.startswith("digest="))


def _malformed(what: str) -> BadRequestError:
    return BadRequestError(
        f"{REQUIRE} {what}",
        advice="write zone=NAME, owner=own-…, tier=signed|audited|attested|confidential, "
        "digest=sha256:…, with commas between them",
        param=REQUIRE,
    )
