"""Who may talk to this mover: members that are on a list, which its PoP gives; nobody by default.

That somebody is a member, and which, is what certificates say (adapters/owner/tls.py). Whether it
may be here is for the PoP's main process to know, which hears of those that come and go.
"""

import ssl
from collections.abc import Collection

from littoral.adapters.http.words import ConnectFailedError
from littoral.adapters.owner.contexts import Contexts
from littoral.terms.errors import IdentityError
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND
from littoral.trust.members import Member

__all__ = ["Access"]


class Access:
    """How TLS is spoken with other movers, and who of them is let in."""

    def __init__(self, contexts: Contexts, clock: Clock) -> None:
        """Let nobody in yet."""
        self._contexts = contexts
        self._clock = clock
        self._allowed: frozenset[str] = frozenset()

    def allow(self, names: Collection[str]) -> None:
        """Let these in, by their SPIFFE names, and no others."""
        self._allowed = frozenset(names)

    def allows(self, member: Member) -> bool:
        """Whether it is on the list now."""
        return member.name in self._allowed

    @property
    def server(self) -> ssl.SSLContext:
        """For those who connect."""
        return self._contexts.server

    def client(self, member: Member) -> ssl.SSLContext:
        """For dialling a member.

        Raises:
            ConnectFailedError: its owner is not known here.
        """
        try:
            return self._contexts.client(member.owner)
        except IdentityError as error:
            raise ConnectFailedError(str(error)) from None

    def admitted(self, connection: ssl.SSLSocket) -> Member:
        """Who is at the other end, which has to be somebody who is let in.

        Raises:
            ConnectFailedError: it is not, and gets no byte.
        """
        try:
            checked = self._contexts.peer(connection, self._clock.unix_ns() // SECOND)
        except IdentityError as error:
            raise ConnectFailedError(str(error)) from None
        if checked is None:
            raise ConnectFailedError("the peer shows no certificate")
        if not self.allows(checked.member):
            raise ConnectFailedError(f"{checked.member.name} is not on the list of those let in")
        return checked.member

    def expect(self, connection: ssl.SSLSocket, member: Member) -> None:
        """See that this member is at the other end, and is let in.

        Raises:
            ConnectFailedError: it is another, or is not let in, and gets no byte.
        """
        shown = self.admitted(connection)
        if shown != member:
            raise ConnectFailedError(f"the peer shows {shown.name}")
