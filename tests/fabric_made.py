"""PoPs made up for tests of the fabric: with real keys, and names that a stand-in vouches for."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from littoral.adapters.identity import Identity
from littoral.routing.fleet import ModelState, PopState, encoded
from littoral.terms.errors import IdentityError
from littoral.terms.ids import ModelName, PopId
from littoral.terms.values import Kind
from littoral.trust.members import Member
from littoral.trust.records import Card, RecordKind, signed, topic

OWNER = "own-0123456789abcdef"


@dataclass
class Pop:
    """One PoP, and the records that it makes."""

    number: int
    identity: Identity = field(init=False)

    def __post_init__(self) -> None:
        self.identity = Identity(Ed25519PrivateKey.from_private_bytes(bytes([self.number] * 32)))

    @property
    def id(self) -> PopId:
        return self.identity.pop_id

    def name(self, site: str = "s") -> str:
        return f"spiffe://{OWNER}/zone/z/site/{site}/pop/{self.id}"

    def topic(self, kind: RecordKind = RecordKind.STATE, subject: str = "") -> str:
        return topic(kind, self.id, subject)

    def state(self, seq: int, *, boot: int = 1, models: Sequence[str] = (), url: str = "") -> bytes:
        said = tuple(ModelState(ModelName(name), (Kind.CHAT,)) for name in models)
        state = PopState(self.id, boot, seq, url=url, models=said)
        return signed(RecordKind.STATE, encoded(state), self.identity)

    def card(self, seq: int, *, until: int = 2**40, site: str = "s", boot: int = 1) -> bytes:
        """A card that `check` believes until then."""
        chain = (msgspec.json.encode((self.name(site), until)),)
        return signed(RecordKind.CARD, Card(boot, seq, chain).encoded(), self.identity)


def check(chain: Sequence[bytes], unix_s: int) -> Member:
    """Stands in for the check of certificates: `chain[0]` is a name and until when it is good."""
    name, until = msgspec.json.decode(chain[0], type=tuple[str, int])
    if unix_s >= until:
        raise IdentityError("the certificate has expired")
    return Member.of_name(name)
