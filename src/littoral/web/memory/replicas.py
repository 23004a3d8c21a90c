"""What an operator says of copies of collections: `/v1/replicas` and what is below it.

GET  /v1/replicas          what this PoP offers to others, and who follows it
POST /v1/replicas/NAME     offer a collection (ReplicaWanted), or withdraw that
"""

from typing import Final, Protocol

from littoral.terms.replicas import OfferRow, OffersShown, ReplicaWanted
from littoral.terms.values import Caller
from littoral.web.dialects.reading import read_body
from littoral.web.health import send_json
from littoral.web.http import Request, Responder
from littoral.web.routes import Access, Route

__all__ = ["REPLICAS", "ReplicaDesk", "replica_routes"]

REPLICAS: Final = "/v1/replicas"


class ReplicaDesk(Protocol):
    """What offers collections to other PoPs."""

    async def offer(self, name: str, wanted: ReplicaWanted) -> OfferRow:
        """Offer a collection, or withdraw that.

        Raises:
            NotFoundError, UnsupportedError, BadRequestError, ConflictError: it can't be.
        """

    async def offers(self) -> OffersShown:
        """All that stand."""


def replica_routes(desk: ReplicaDesk) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""

    async def offers(_: Request, responder: Responder, __: Caller, ___: str) -> None:
        await send_json(responder, 200, await desk.offers())

    async def offer(request: Request, responder: Responder, _: Caller, name: str) -> None:
        wanted = read_body(request, ReplicaWanted)
        await send_json(responder, 200, await desk.offer(name, wanted))

    return {
        REPLICAS: {"GET": Route(offers, Access.OPERATOR_KEY)},
        f"{REPLICAS}/": {"POST": Route(offer, Access.OPERATOR_KEY)},
    }
