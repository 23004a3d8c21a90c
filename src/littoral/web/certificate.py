"""What is at the other end of a connection, as its certificate says, once TLS has checked it.

TLS has seen that an authority that is trusted vouches for the certificate, and not which: whoever
believes more than one must look at `connection`.
"""

import asyncio
import ssl
from dataclasses import dataclass

__all__ = ["Certificate", "certificate_of"]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the other end has shown."""

    names: tuple[str, ...]
    """The URIs in it."""
    expires_unix_s: int
    """From then on it says nothing."""
    connection: ssl.SSLObject
    """Has the whole chain that was shown."""

    @property
    def dialled(self) -> bool:
        """It is this side that has opened the connection, to be asked on it."""
        return not self.connection.server_side


def certificate_of(transport: asyncio.BaseTransport) -> Certificate | None:
    """The client's certificate; None if it has shown none, or does not speak TLS."""
    shown = transport.get_extra_info("peercert")
    if not shown:
        return None
    names = tuple(name for kind, name in shown.get("subjectAltName", ()) if kind == "URI")
    expires_unix_s = int(ssl.cert_time_to_seconds(shown["notAfter"]))
    return Certificate(names, expires_unix_s, transport.get_extra_info("ssl_object"))
