"""Which path and method is served by what, and who may ask.

A table, compared whole: no patterns, no normalising. A path that ends in `/` stands for every
longer path that begins with it, and the route gets the rest (a model's name may hold slashes).
"""

import enum
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from littoral.terms.errors import MethodNotAllowedError, NotFoundError
from littoral.terms.values import Caller
from littoral.web.http import Request, Responder

__all__ = ["RECEIPTS", "Access", "Route", "Routes", "Serve", "key_of", "read_only"]

RECEIPTS: Final = "/v1/receipts/"
"""Below it are the receipts, by their ids."""

Serve = Callable[[Request, Responder, Caller, str], Awaitable[None]]
"""Answers this caller's request; the text is the rest of the path beyond the route's."""


class Access(enum.Enum):
    """Which keys open a route."""

    NO_KEY = "anyone"
    ANY_KEY = "any good key"
    OPERATOR_KEY = "an operator's key"


@dataclass(frozen=True, slots=True)
class Route:
    """One way to be served."""

    serve: Serve
    access: Access = Access.ANY_KEY
    bare: bool = False
    """It answers its path itself too, where that ends in `/`; the rest is then empty."""


def read_only(serve: Serve, access: Access = Access.ANY_KEY) -> dict[str, Route]:
    """A route that is only read."""
    return {"GET": Route(serve, access)}


class Routes:
    """All routes of one server."""

    def __init__(self, table: Mapping[str, Mapping[str, Route]]) -> None:
        """Take the routes: path, then method. GET serves HEAD too."""
        self._exact = {path: methods for path, methods in table.items() if _is_exact(path)}
        self._longer = {path: methods for path, methods in table.items() if not _is_exact(path)}

    def find(self, method: str, path: str) -> tuple[Route, str]:
        """The route for a request, and the rest of the path.

        Raises:
            NotFoundError: there is none for the path.
            MethodNotAllowedError: there is, for other methods.
        """
        methods, rest = self._at(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = [*methods, "HEAD"] if "GET" in methods else [*methods]
            raise MethodNotAllowedError(
                f"{path[:200]} does not take {method}",
                advice=f"send {' or '.join(allowed)}",
                details={"allow": allowed},
            )
        return route, rest

    def _at(self, path: str) -> tuple[Mapping[str, Route], str]:
        methods = self._exact.get(path)
        if methods is not None:
            return methods, ""
        for start, methods in self._longer.items():
            is_bare = path == start and any(route.bare for route in methods.values())
            if is_bare or (path.startswith(start) and len(path) > len(start)):
                return methods, path[len(start) :]
        raise NotFoundError(f"there is nothing at {path[:200]}", advice="GET / says what there is")


def key_of(headers: Mapping[str, str]) -> str | None:
    """The API key that came with a request, as the clients of the APIs that are served send it.

    OpenAI's send a bearer, Anthropic's `x-api-key`, Qdrant's and Pinecone's `api-key`. Registries'
    send a name and a password; the key is the password, and the name does not matter.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    other = headers.get("x-api-key") or headers.get("api-key")
    return other or (_password(token) if scheme.lower() == "basic" else None)


def _password(credentials: str) -> str | None:
    try:
        return b64decode(credentials, validate=True).decode("ascii").partition(":")[2] or None
    except ValueError:
        return None


def _is_exact(path: str) -> bool:
    return path == "/" or not path.endswith("/")
