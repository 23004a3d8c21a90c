"""Owners and PoPs made for tests, at a time of their own."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from littoral.adapters.clock import SystemClock
from littoral.adapters.identity import Identity
from littoral.adapters.owner import FabricFiles, Owner, make_owner, read_request
from littoral.terms.ids import PopId, SiteName, ZoneName
from littoral.terms.values import SECOND, Instant
from littoral.trust.admission import ADMISSION, Admission, Membership
from littoral.trust.joining import JoinAnswer
from littoral.trust.members import Member

START_UNIX_S = 1_795_000_000


@dataclass
class SetClock:
    """A clock that stands until it is set."""

    unix_s: int = START_UNIX_S
    passed: float = 0.0
    """Seconds since it was made, by the clock that is not set."""
    _random: SystemClock = field(default_factory=SystemClock)

    def now(self) -> Instant:
        return Instant(int(self.passed * SECOND))

    def unix_ns(self) -> int:
        return self.unix_s * SECOND

    def random_bytes(self, count: int) -> bytes:
        return self._random.random_bytes(count)


def identity(number: int) -> Identity:
    """The same one for the same number."""
    return Identity(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


def owner_at(home: Path, clock: SetClock, number: int = 1) -> Owner:
    """An owner whose first issuer is the PoP of this number."""
    return make_owner(home, identity(number).pop_id, clock)


def member_of(owner: Owner, pop: PopId, zone: str = "eu", site: str = "attic") -> Member:
    return Member(owner.owner_id, ZoneName(zone), SiteName(site), pop)


def answer_for(
    owner: Owner,
    files: FabricFiles,
    clock: SetClock,
    number: int = 1,
    *,
    trusted: tuple[bytes, ...] = (),
) -> JoinAnswer:
    """What an issuer would answer a PoP of this number."""
    who = identity(number)
    member = member_of(owner, who.pop_id)
    keys = files.requests(who.pop_id, clock)
    chain = owner.issue(member, read_request(keys.csr, who.pop_id), clock.unix_s)
    admission = Admission(
        member.name, who.public_key, 1, Membership.ADMITTED, False, clock.unix_s * 1000
    )
    signed = owner.sign(ADMISSION, admission.encoded(), clock.unix_s)
    return JoinAnswer(chain, owner.root, (owner.root, *trusted), signed, (), clock.unix_s)


def pop_at(home: Path, owner: Owner, clock: SetClock, number: int = 1) -> FabricFiles:
    """The files of a PoP that has joined."""
    files = FabricFiles(home)
    files.keep(answer_for(owner, files, clock, number), clock)
    return files


def copied(home: Path, to: Path) -> Path:
    """The same owner's keys on another machine."""
    shutil.copytree(home / "owner", to / "owner")
    return to
