"""An owner's certificate authority, the certificates of its PoPs, and whom to take at their word.

    HOME/owner/root.key     the owner's root key; may be taken away, and brought back when needed
    HOME/owner/root.pem     its certificate
    HOME/owner/issuer.key   what this PoP issues certificates with, if it may
    HOME/owner/issuer.pem   its certificate, of 30 days, by the root
    HOME/fabric/tls.key     what this PoP speaks to others with; kept as long as the home
    HOME/fabric/tls.pem     its certificate, of an hour, then the issuer's, then the root's
    HOME/fabric/root.pem    the root of this PoP's owner, alone
    HOME/fabric/bundle.pem  the roots of every owner that is trusted

`certificates` makes them, `keys` and `places` keep them, `bundle` and `checking` judge others', and
`tls` uses them. Only this package knows X.509. Zenoh must be given `root.pem` and not the bundle:
it goes by the common name alone, which any trusted root could write.
"""

from littoral.adapters.owner.bundle import Bundle
from littoral.adapters.owner.checking import Checked, Checker
from littoral.adapters.owner.keys import (
    Owner,
    issuer_request,
    keep_issuer,
    make_owner,
    open_owner,
    set_owner_aside,
)
from littoral.adapters.owner.places import FabricFiles
from littoral.adapters.owner.requests import Requested, read_request

__all__ = [
    "Bundle",
    "Checked",
    "Checker",
    "FabricFiles",
    "Owner",
    "Requested",
    "issuer_request",
    "keep_issuer",
    "make_owner",
    "open_owner",
    "read_request",
    "set_owner_aside",
]
