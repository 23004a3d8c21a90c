"""Contexts of passages, as the PoP's own API asks for them: `/v1/memory/NAME/context`.

POST   /v1/memory/NAME/context       have a model place the passages (ContextWanted)
GET    /v1/memory/NAME/context       how far that is (ContextShown)
DELETE /v1/memory/NAME/context       stop it; what was written stays
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final, Protocol

from littoral.terms.contextual import ContextShown, ContextWanted
from littoral.terms.values import Caller
from littoral.web.dialects.reading import read_body
from littoral.web.health import send_json
from littoral.web.http import Request, Responder
from littoral.web.routes import Route

__all__ = ["ContextDesk", "with_contexts"]

_CONTEXT: Final = "context"
_ACCEPTED: Final = 202


class ContextDesk(Protocol):
    """What has a model place passages in their documents, in the background."""

    async def write_context(self, name: str, wanted: ContextWanted, caller: Caller) -> ContextShown:
        """Have a model place the passages that it has not placed yet, on the caller's limits.

        Raises:
            NotFoundError, NotAllowedError: there is none, or the caller only reads it.
            UnknownModelError: the caller may not use such a model.
            ConflictError: another model is at it, or it is a copy.
        """

    async def context(self, name: str, caller: Caller) -> ContextShown:
        """How far that is. Raises NotFoundError: there is no such collection."""

    async def stop_context(self, name: str, caller: Caller) -> ContextShown:
        """Go no further; what was written stays. Raises NotFoundError, NotAllowedError."""


_Answer = Callable[[str, Request, Caller], Awaitable[ContextShown]]


def with_contexts(below: Mapping[str, Route], desk: ContextDesk) -> dict[str, Route]:
    """The routes below a collection, by method, with those of its contexts before them."""

    async def begin(name: str, request: Request, caller: Caller) -> ContextShown:
        return await desk.write_context(name, read_body(request, ContextWanted), caller)

    async def show(name: str, _: Request, caller: Caller) -> ContextShown:
        return await desk.context(name, caller)

    async def stop(name: str, _: Request, caller: Caller) -> ContextShown:
        return await desk.stop_context(name, caller)

    own: dict[str, tuple[int, _Answer]] = {
        "POST": (_ACCEPTED, begin),
        "GET": (200, show),
        "DELETE": (200, stop),
    }
    return {method: _before(route, *own[method]) for method, route in below.items()}


def _before(route: Route, status: int, answer: _Answer) -> Route:
    """A route that answers for contexts by itself."""

    async def serve(request: Request, responder: Responder, caller: Caller, rest: str) -> None:
        name, _, what = rest.partition("/")
        if what != _CONTEXT:
            await route.serve(request, responder, caller, rest)
            return
        await send_json(responder, status, await answer(name, request, caller))

    return replace(route, serve=serve)
