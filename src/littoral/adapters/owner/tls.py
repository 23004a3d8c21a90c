"""TLS 1.3 between PoPs, both sides by certificate, and who is at the other end.

Rules
- A peer is known by its name (`peer`), never by its address: no host names are checked.
- What OpenSSL has seen at a server is that some trusted owner's root is at the end of the chain.
  `peer` has the Checker see whose, and must be asked before anything is believed of a client.
- A server takes a connection without a certificate too, so that a newcomer can reach what is open
  to newcomers; `peer` is None then, and nothing else may be.
- A connection that ends in the handshake, for a certificate that no trusted owner has signed, is
  told of: OpenSSL refuses it before anybody else hears of it.
- A session is never resumed: certificates are looked at anew in each handshake.

A context takes renewed files while it is in use (`renew`); open connections go on with theirs.
"""

import _ssl
import ssl
import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from littoral.adapters.owner.bundle import Bundle
from littoral.adapters.owner.checking import Checked, Checker
from littoral.adapters.owner.places import FabricFiles
from littoral.terms.errors import IdentityError
from littoral.terms.ids import OwnerId
from littoral.terms.limits import CHAIN_CERTIFICATES_MAX

__all__ = [
    "Connection",
    "client_context",
    "inviter",
    "newcomer_context",
    "peer",
    "renew",
    "server_context",
    "trust",
]

_ALPN: Final = ["http/1.1"]

_C = TypeVar("_C", bound=ssl.SSLContext)

Connection = ssl.SSLObject | ssl.SSLSocket
"""What `transport.get_extra_info("ssl_object")` gives, after the handshake."""


class _Accepted(ssl.SSLObject):
    """One connection at a server, which tells why its client was refused."""

    def do_handshake(self) -> None:
        """As in SSLObject."""
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            _refused(self.context, error)
            raise


class _AcceptedSocket(ssl.SSLSocket):
    """The same of one that has its socket."""

    def do_handshake(self, block: bool = False) -> None:
        """As in SSLSocket."""
        try:
            super().do_handshake(block)
        except ssl.SSLCertVerificationError as error:
            _refused(self.context, error)
            raise


def _refused(context: ssl.SSLContext, error: ssl.SSLCertVerificationError) -> None:
    assert isinstance(context, _ServerContext), "made by one"
    context.refused(error.verify_message)


class _ServerContext(ssl.SSLContext):
    """One that tells of clients it refuses."""

    refused: Callable[[str], None]
    sslobject_class = _Accepted
    sslsocket_class = _AcceptedSocket


def server_context(files: FabricFiles, refused: Callable[[str], None]) -> ssl.SSLContext:
    """For the fabric listener.

    Args:
        files: this PoP's.
        refused: hears why, whenever a client shows a certificate that no trusted owner has signed.

    Raises:
        IdentityError: the files can't be used.
    """
    context = _context(_ServerContext, ssl.PROTOCOL_TLS_SERVER)
    context.refused = refused
    context.verify_mode = ssl.CERT_OPTIONAL
    context.num_tickets = 0
    trust(context, Bundle.read(files.bundle))
    renew(context, files)
    return context


def client_context(
    files: FabricFiles, owner: OwnerId, *, shows_itself: bool = True
) -> ssl.SSLContext:
    """For dialling the PoPs of one owner, of whom the name in a certificate is enough then.

    Args:
        files: this PoP's.
        owner: whose PoPs; no other owner's root is trusted.
        shows_itself: with its certificate; without, when that has run out, to come back.

    Raises:
        IdentityError: the files can't be used, or the owner is not in the bundle.
    """
    context = _context(ssl.SSLContext, ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    bundle = Bundle.read(files.bundle)
    if owner not in bundle.owners:
        raise IdentityError(
            f"{owner} is an owner that is not known here",
            advice="exchange bundles with that owner first",
        )
    context.load_verify_locations(cadata=bundle.root(owner))
    if shows_itself:
        renew(context, files)
    return context


def newcomer_context() -> ssl.SSLContext:
    """For dialling the PoP that a ticket names: it trusts nobody yet, and `inviter` must be asked.

    Nothing may be believed, and nothing secret sent, before that.
    """
    context = _context(ssl.SSLContext, ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def renew(context: ssl.SSLContext, files: FabricFiles) -> None:
    """Show the certificate that is in the files now, from the next handshake on.

    Raises:
        IdentityError: the files can't be used; the context is as it was.
    """
    try:
        # An encrypted key would ask on the terminal; the empty password makes it fail instead.
        context.load_cert_chain(files.chain, files.key, password="")
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "they do not belong together or are not PEM"
        raise IdentityError(
            f"{files.chain} with {files.key} can't be used ({reason})",
            advice="remove the certificate, and the PoP asks for a new one",
        ) from None


def trust(context: ssl.SSLContext, bundle: Bundle) -> None:
    """Have a server's context take these owners' PoPs too, from the next handshake on.

    One who was trusted before and is not in the bundle is still let in, to be refused by `peer`
    with a Checker of the new bundle.
    """
    for root in bundle.roots:
        context.load_verify_locations(cadata=root)


def peer(connection: Connection, checker: Checker, unix_s: int) -> Checked | None:
    """Who is at the other end, and until when its certificate is good; None if it showed none.

    Raises:
        IdentityError: no member of an owner that is trusted.
    """
    chain = _chain(connection)
    return checker.checked(chain, unix_s) if chain else None


def inviter(connection: Connection, fingerprint: bytes, unix_s: int) -> tuple[Checked, bytes]:
    """Who is at the other end of a newcomer's connection, and its owner's root, DER.

    Args:
        connection: made in a `newcomer_context`.
        fingerprint: the ticket's.
        unix_s: now.

    Raises:
        IdentityError: not a PoP of the owner whose ticket it is.
    """
    chain = _chain(connection)
    for each in chain[1:CHAIN_CERTIFICATES_MAX]:
        if _is_root(each, fingerprint):
            return Checker(Bundle([each])).checked(chain, unix_s), each
    raise IdentityError(
        "the PoP at this address is not of the owner whose ticket this is",
        advice="check the address; if it is right, somebody may be in between",
    )


def _is_root(der: bytes, fingerprint: bytes) -> bool:
    try:
        return Bundle([der]).fingerprints == (fingerprint,)
    except IdentityError:
        return False


def _chain(connection: Connection) -> Sequence[bytes]:
    """The certificates that the other end has shown, its own first, DER; empty if it showed none.

    From Python 3.13 on the connection has them in public; before, the object that it wraps has.
    """
    if connection.getpeercert(binary_form=True) is None:
        return ()
    if sys.version_info >= (3, 13):
        return connection.get_unverified_chain()
    inside = connection._sslobj  # type: ignore[union-attr]  # noqa: SLF001
    return [each.public_bytes(_ssl.ENCODING_DER) for each in inside.get_unverified_chain() or ()]


def _context(kind: type[_C], protocol: int) -> _C:
    context = kind(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(_ALPN)
    return context
