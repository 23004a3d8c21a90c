"""What a collection is called on a server that takes few characters.

Of a name as much as can be read, then what tells it from all others: 130 bits of a digest of its
scope and name. The server's own note of the collection has both in full.
"""

import re
from base64 import b32encode
from hashlib import sha256
from typing import Final

__all__ = ["PREFIX", "name_on_server"]

PREFIX: Final = "Littoral_"
"""Collections of others on the same server are left alone."""

_READ_MAX: Final = 40

_ODD: Final = re.compile(r"[^A-Za-z0-9]+")


def name_on_server(scope: str, name: str) -> str:
    """Letters, digits and low lines, beginning with a large letter; at most 80."""
    told_apart = sha256(f"{len(scope)}:{scope}{name}".encode()).digest()
    read = _ODD.sub("_", name)[:_READ_MAX].strip("_")
    return f"{PREFIX}{read}_{b32encode(told_apart).decode()[:26].lower()}"
