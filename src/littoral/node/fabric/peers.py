"""Whom this PoP takes for a member, and how it shows itself, as certificates come and go.

Rules
- A certificate is believed if an issuer of the owner in its name has signed it, and nothing is
  known against the PoP or that issuer. A word that has not come yet costs nothing but an hour: the
  certificate of whoever was revoked is not renewed.
"""

import ssl
from collections.abc import Sequence
from typing import Final

from littoral.adapters.owner import Checked, FabricFiles
from littoral.adapters.owner.contexts import Contexts
from littoral.adapters.store import MemberBook
from littoral.terms.errors import IdentityError, StoreError
from littoral.terms.facts import StrangersRefused
from littoral.terms.ids import OwnerId
from littoral.terms.limits import STRANGERS_TOLD_S
from littoral.terms.ports import Clock, Observe
from littoral.terms.values import SECOND, Instant
from littoral.trust.admission import ADMISSION, Signed
from littoral.trust.members import Member
from littoral.web.certificate import Certificate

__all__ = ["Peers"]


class Peers:
    """The other PoPs, as TLS and the book of members know them."""

    def __init__(
        self, files: FabricFiles, book: MemberBook, clock: Clock, observe: Observe
    ) -> None:
        """Begin with the files as they are.

        Args:
            files: of this home, that has joined.
            book: of this home.
            clock: for certificates.
            observe: takes facts.

        Raises:
            IdentityError: the files can't be used.
        """
        self._book = book
        self._clock = clock
        self._observe = observe
        self._refused = 0
        self._told_at: Instant | None = None
        self._contexts = Contexts(files, self._stranger)
        self.server: Final = self._contexts.server
        """For the fabric listener; the same object as long as this one."""

    def knows(self, certificate: Certificate) -> Member | None:
        """Who shows this certificate; None if it is no member's."""
        checked = self.shown(certificate)
        return None if checked is None else checked.member

    def shown(self, certificate: Certificate) -> Checked | None:
        """The same, with who issued it and until when it is good."""
        unix_s = self._clock.unix_ns() // SECOND
        try:
            checked = self._contexts.peer(certificate.connection, unix_s)
            if checked is not None:
                self._book.roll().check(checked.member, checked.issuer)
        except (IdentityError, StoreError):  # where the book can't be read, nobody is known
            return None
        return checked

    def check(self, chain: Sequence[bytes], unix_s: int) -> Member:
        """Who shows this chain (DER, its own certificate first), if nothing is known against it.

        Raises:
            IdentityError: it is no member's.
        """
        checked = self._contexts.checker.checked(chain, unix_s)
        self._book.roll().check(checked.member, checked.issuer)
        return checked.member

    def word(self, signed: Signed, owner: OwnerId) -> None:
        """See that a word on a PoP or another owner is an issuer's who may say it.

        Raises:
            IdentityError: it is not; or not one of this owner's, where others have no say.
        """
        unix_s = self._clock.unix_ns() // SECOND
        if signed.kind == ADMISSION:
            self._contexts.checker.admission(signed, unix_s)
        else:
            self._contexts.checker.policy(signed, owner, unix_s)

    def client(self, owner: OwnerId) -> ssl.SSLContext:
        """For dialling PoPs of this owner.

        Raises:
            IdentityError: the owner is not known here, or the files can't be used.
        """
        return self._contexts.client(owner)

    def _stranger(self, reason: str) -> None:
        """Tell of the first that is refused at once, of those that follow now and then."""
        now = self._clock.now()
        self._refused += 1
        if self._told_at is None or now - self._told_at >= STRANGERS_TOLD_S * SECOND:
            self._observe(StrangersRefused(reason, self._refused))
            self._refused, self._told_at = 0, now

    def renewed(self) -> None:
        """Take the files as they are now, for every connection from now on.

        Raises:
            IdentityError: they can't be used; all is as it was.
        """
        self._contexts.renewed()
