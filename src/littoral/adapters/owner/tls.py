"""TLS 1.3 between PoPs, both sides by certificate, and who is at the other end.

Rules
- A peer is known by its name (`peer`), never by its address: no host names are checked.
- What OpenSSL has verified is that some trusted owner's root is at the end of the chain. `peer` has
  the Checker see whose, and must be asked of every connection before anything is believed of it.
- A server takes a connection without a certificate too, so that a newcomer can reach what is open
  to newcomers; `peer` is None then, and nothing else may be.
- A session is never resumed: certificates are looked at anew in each handshake.

A context takes renewed files while it is in use (`renew`); open connections go on with theirs.
"""

import _ssl
import hashlib
import ssl
import sys
from collections.abc import Sequence
from typing import Final

from littoral.adapters.owner.bundle import Bundle, root_spki
from littoral.adapters.owner.checking import Checked, Checker
from littoral.adapters.owner.places import FabricFiles
from littoral.terms.errors import IdentityError
from littoral.terms.limits import CHAIN_CERTIFICATES_MAX

__all__ = ["client_context", "inviter", "newcomer_context", "peer", "renew", "server_context"]

_ALPN: Final = ["http/1.1"]

Connection = ssl.SSLObject | ssl.SSLSocket
"""What `transport.get_extra_info("ssl_object")` gives, after the handshake."""


def server_context(files: FabricFiles) -> ssl.SSLContext:
    """For the fabric listener.

    Raises:
        IdentityError: the files can't be used.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.num_tickets = 0
    renew(context, files)
    return context


def client_context(files: FabricFiles, *, shows_itself: bool = True) -> ssl.SSLContext:
    """For dialling other PoPs.

    Args:
        files: this PoP's.
        shows_itself: with its certificate; without, when that has run out, to come back.

    Raises:
        IdentityError: the files can't be used.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    if shows_itself:
        renew(context, files)
    else:
        _trust(context, files)
    return context


def newcomer_context() -> ssl.SSLContext:
    """For dialling the PoP that a ticket names: it trusts nobody yet, and `inviter` must be asked.

    Nothing may be believed, and nothing secret sent, before that.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def renew(context: ssl.SSLContext, files: FabricFiles) -> None:
    """Take the files as they are now: the next handshake shows the new certificate.

    Owners that were added are trusted from now on. One that was taken away is refused by a Checker
    of the new bundle, at once, though not by this context.

    Raises:
        IdentityError: the files can't be used; the context is as it was.
    """
    _trust(context, files)
    try:
        # An encrypted key would ask on the terminal; the empty password makes it fail instead.
        context.load_cert_chain(files.chain, files.key, password="")
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "they do not belong together or are not PEM"
        raise IdentityError(
            f"{files.chain} with {files.key} can't be used ({reason})",
            advice="remove the certificate, and the PoP asks for a new one",
        ) from None


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
        (root,) = Bundle([der]).certificates.values()
    except IdentityError:
        return False
    return hashlib.sha256(root_spki(root)).digest() == fingerprint


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


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(_ALPN)
    return context


def _trust(context: ssl.SSLContext, files: FabricFiles) -> None:
    try:
        context.load_verify_locations(files.bundle)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "it is not PEM"
        raise IdentityError(
            f"the bundle of trusted owners {files.bundle} can't be used ({reason})",
            advice="join the fabric again, or bring the file back",
        ) from None
