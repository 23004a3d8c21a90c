"""Collections for clients of Qdrant: its REST API, at `/collections` as on its own servers.

docs/memory-apis.md says what is served, what is refused, and where answers differ.
"""

import re
from collections.abc import Mapping
from typing import Final

from littoral.web.qdrant.routes import qdrant_routes

__all__ = ["qdrant_routes", "qdrant_version"]

_VERSION: Final = {"title": "Littoral, in the words of Qdrant's API", "version": "1.20.0"}
_CLIENTS: Final = re.compile(r"(?:python-client|qdrant[a-z-]*)/")


def qdrant_version(headers: Mapping[str, str]) -> Mapping[str, str] | None:
    """What `GET /` says to Qdrant's clients, which look for the version of the API that they meet.

    None for everybody else.
    """
    if "api-key" in headers or _CLIENTS.match(headers.get("user-agent", "").lower()):
        return _VERSION
    return None
