"""How a process speaks TLS with other PoPs, as certificates and bundles of its home are renewed.

Rules
- PoPs of one owner are asked in a context that trusts nobody else.
- Open connections go on with the certificates that they began with.
"""

import ssl
from collections.abc import Callable
from typing import Final

from littoral.adapters.owner.bundle import Bundle
from littoral.adapters.owner.checking import Checked, Checker
from littoral.adapters.owner.places import FabricFiles
from littoral.adapters.owner.tls import (
    Connection,
    client_context,
    peer,
    renew,
    server_context,
    trust,
)
from littoral.terms.errors import IdentityError
from littoral.terms.ids import OwnerId

__all__ = ["Contexts"]


class Contexts:
    """Contexts made from one home's files."""

    def __init__(self, files: FabricFiles, refused: Callable[[str], None]) -> None:
        """Begin with the files as they are.

        Args:
            files: of this home, that has joined.
            refused: hears why, whenever a client shows what no trusted owner has signed.

        Raises:
            IdentityError: the files can't be used.
        """
        self._files = files
        self._seen = self._looks()
        self._clients: dict[OwnerId, ssl.SSLContext] = {}
        self.checker = Checker(Bundle.read(files.bundle))
        self.server: Final = server_context(files, refused)
        """For a listener; the same object as long as this one."""

    def client(self, owner: OwnerId) -> ssl.SSLContext:
        """For dialling PoPs of this owner.

        Raises:
            IdentityError: the owner is not known here, or the files can't be used.
        """
        context = self._clients.get(owner)
        if context is None:
            context = self._clients[owner] = client_context(self._files, owner)
        return context

    def peer(self, connection: Connection, unix_s: int) -> Checked | None:
        """Who is at the other end; None if it showed no certificate.

        Raises:
            IdentityError: no member of an owner that is trusted.
        """
        return peer(connection, self.checker, unix_s)

    def renewed(self) -> None:
        """Take the files as they are now, for every connection from now on.

        It costs next to nothing where none of them is another.

        Raises:
            IdentityError: they can't be used; all is as it was.
        """
        looks = self._looks()
        if looks == self._seen:
            return
        bundle = Bundle.read(self._files.bundle)
        renew(self.server, self._files)
        trust(self.server, bundle)
        self.checker = Checker(bundle)
        self._clients.clear()
        self._seen = looks

    def _looks(self) -> list[tuple[int, int, int]]:
        """How the files look: each is replaced, and never written to (places.py)."""
        files = self._files
        try:
            found = [path.stat() for path in (files.key, files.chain, files.bundle)]
        except OSError as error:
            raise IdentityError(f"the files of {files.folder} can't be read: {error}") from None
        return [(each.st_ino, each.st_mtime_ns, each.st_size) for each in found]
