"""What an operator asks and tells of delivery: `/v1/delivery` and what is below it.

Every route needs an operator's key. What is asked is done elsewhere; here it is read and written.
The PoP and its mover have the same routes of a `DeliveryDesk`: the one passes on to the other.
Wishes are the PoP's own.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import msgspec

from littoral.terms.delivery import (
    ArtifactRow,
    Freed,
    ListingShown,
    ListingWanted,
    PinWanted,
    PlanShown,
    PullShown,
    PullsShown,
    PullWanted,
    StoreShown,
    Verified,
    WishesShown,
    WishRow,
    WishWanted,
)
from littoral.terms.pipelines import PipelineRow, PipelineShown, PipelinesShown, PipelineWanted
from littoral.terms.values import Caller
from littoral.web.dialects.reading import read_body
from littoral.web.health import send_json
from littoral.web.http import Request, Responder
from littoral.web.routes import Access, Route

__all__ = [
    "DELIVERY",
    "DeliveryDesk",
    "PipelineDesk",
    "WishDesk",
    "delivery_routes",
    "pipeline_routes",
    "wish_routes",
]

DELIVERY: Final = "/v1/delivery"

_W = TypeVar("_W", bound=msgspec.Struct)


class DeliveryDesk(Protocol):
    """What decides and does it. All raise StoreError or DiskShortError where the store fails."""

    async def pull(self, wanted: PullWanted) -> PullShown:
        """Begin a pull, or join the one that is under way. Raises BadRequestError."""

    async def pulls(self) -> PullsShown:
        """All that are under way, and the last that ended."""

    async def pulled(self, name: str) -> PullShown:
        """One pull, as it is now. Raises NotFoundError."""

    async def cancel(self, name: str) -> PullShown:
        """End a pull; what has come is kept for the next. Raises NotFoundError."""

    async def plan(self, wanted: PullWanted) -> PlanShown:
        """What a pull would fetch from where. Raises BadRequestError, OriginError."""

    async def listing(self, wanted: ListingWanted) -> ListingShown:
        """What a reference means at its origin. Raises BadRequestError, OriginError."""

    async def store(self) -> StoreShown:
        """What is here."""

    async def pin(self, wanted: PinWanted) -> ArtifactRow:
        """Keep an artifact, or let it go when room is needed. Raises NotFoundError."""

    async def verify(self) -> Verified:
        """Hash every byte again; what is rotten is dropped."""

    async def collect(self) -> Freed:
        """Remove what nothing needs: left-overs, and artifacts beyond the bound."""


class WishDesk(Protocol):
    """What keeps wishes."""

    async def wish(self, wanted: WishWanted) -> WishRow:
        """Take a wish, or withdraw one. Raises BadRequestError, OriginError, IdentityError."""

    async def wishes(self) -> WishesShown:
        """All that are known here."""


class PipelineDesk(Protocol):
    """What keeps pipelines. All raise StoreError where the store fails."""

    async def define(self, wanted: PipelineWanted) -> PipelineRow:
        """Sign a pipeline and keep it. Raises BadRequestError, DiskShortError."""

    async def pipelines(self) -> PipelinesShown:
        """All that are here."""

    async def pipeline(self, name: str) -> PipelineShown:
        """One, by its name or its artifact's. Raises NotFoundError, ConflictError."""


def pipeline_routes(desk: PipelineDesk) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""
    path = f"{DELIVERY}/pipelines"
    return {
        path: {"GET": _asked(desk.pipelines), "POST": _told(desk.define, PipelineWanted)},
        f"{path}/": {"GET": _named(desk.pipeline)},
    }


def wish_routes(desk: WishDesk) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""
    path = f"{DELIVERY}/wishes"
    return {path: {"GET": _asked(desk.wishes), "POST": _told(desk.wish, WishWanted)}}


def delivery_routes(desk: DeliveryDesk) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""
    return {
        f"{DELIVERY}/pulls": {"GET": _asked(desk.pulls), "POST": _told(desk.pull, PullWanted, 202)},
        f"{DELIVERY}/pulls/": {"GET": _named(desk.pulled), "DELETE": _named(desk.cancel)},
        f"{DELIVERY}/plan": {"POST": _told(desk.plan, PullWanted)},
        f"{DELIVERY}/listing": {"POST": _told(desk.listing, ListingWanted)},
        f"{DELIVERY}/store": {"GET": _asked(desk.store)},
        f"{DELIVERY}/pins": {"POST": _told(desk.pin, PinWanted)},
        f"{DELIVERY}/verify": {"POST": _asked(desk.verify)},
        f"{DELIVERY}/gc": {"POST": _asked(desk.collect)},
    }


def _asked(call: Callable[[], Awaitable[msgspec.Struct]]) -> Route:
    """Answered without a word of the caller's."""

    async def serve(_: Request, responder: Responder, __: Caller, ___: str) -> None:
        await send_json(responder, 200, await call())

    return Route(serve, Access.OPERATOR_KEY)


def _named(call: Callable[[str], Awaitable[msgspec.Struct]]) -> Route:
    """Answered for the name that the path ends in."""

    async def serve(_: Request, responder: Responder, __: Caller, name: str) -> None:
        await send_json(responder, 200, await call(name))

    return Route(serve, Access.OPERATOR_KEY)


def _told(
    call: Callable[[_W], Awaitable[msgspec.Struct]], kind: type[_W], status: int = 200
) -> Route:
    """Answered for what the body says."""

    async def serve(request: Request, responder: Responder, _: Caller, __: str) -> None:
        await send_json(responder, status, await call(read_body(request, kind)))

    return Route(serve, Access.OPERATOR_KEY)
