"""What this PoP may show to origins: per server, never beyond it, never in sight."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

__all__ = ["Credential", "authorization", "credential_for"]


@dataclass(frozen=True, slots=True)
class Credential:
    """A token, or a pair: a user and password, an access key and its secret."""

    secret: str = field(repr=False)
    """The token, the password, the secret key."""
    user: str | None = field(default=None, repr=False)
    """The user or access key; None with a token."""


def credential_for(credentials: Mapping[str, Credential], url: str) -> Credential | None:
    """That of an address's server, by `host:port` first, then by `host`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return credentials.get(f"{host}:{parts.port}") or credentials.get(host)


def authorization(credentials: Mapping[str, Credential], url: str) -> dict[str, str]:
    """The header by which an address's server knows us; none where there is no credential."""
    found = credential_for(credentials, url)
    if found is None:
        return {}
    if found.user is None:
        return {"Authorization": f"Bearer {found.secret}"}
    pair = b64encode(f"{found.user}:{found.secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}
