"""What an operator asks and tells a PoP about the fabric: `/v1/fabric` and what is below it.

Every route needs an operator's key. What is asked is decided elsewhere (`FabricDesk`); here it is
read and written.
"""

from typing import Final, Protocol

from littoral.terms.fabric import (
    ActOn,
    AdmitOwner,
    FabricShown,
    InviteWanted,
    PopRow,
    RootShown,
    RouteShown,
    RouteWanted,
    TicketShown,
)
from littoral.terms.ids import PopId
from littoral.terms.values import Caller
from littoral.web.dialects.reading import read_body
from littoral.web.health import send_json
from littoral.web.http import Request, Responder
from littoral.web.routes import Access, Route, Serve, read_only

__all__ = ["FABRIC", "FabricDesk", "fabric_routes"]

FABRIC: Final = "/v1/fabric"


class FabricDesk(Protocol):
    """What decides and does it."""

    def show(self) -> FabricShown:
        """What this PoP knows of the fabric."""

    async def invite(self, wanted: InviteWanted) -> TicketShown:
        """Make a ticket; the PoP begins to listen for others if it does not yet.

        Raises: BadRequestError, ConfigError, ConflictError, PortInUseError, StoreError.
        """

    async def act(self, pop: PopId, wanted: ActOn) -> PopRow:
        """Approve of, drain, remove or revoke a PoP. Raises NotFoundError, ConflictError."""

    def route(self, wanted: RouteWanted, caller: Caller) -> RouteShown:
        """Where a request would go now. Raises UnknownModelError."""

    async def admit(self, wanted: AdmitOwner) -> FabricShown:
        """Let in another owner's PoPs, or change what they may do. Raises IdentityError."""

    def root(self) -> RootShown:
        """This owner's root certificate, for other owners."""


def fabric_routes(desk: FabricDesk) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""

    async def show(_: Request, responder: Responder, __: Caller, ___: str) -> None:
        await send_json(responder, 200, desk.show())

    async def invite(request: Request, responder: Responder, _: Caller, __: str) -> None:
        await send_json(responder, 201, await desk.invite(read_body(request, InviteWanted)))

    async def act(request: Request, responder: Responder, _: Caller, pop: str) -> None:
        await send_json(responder, 200, await desk.act(PopId(pop), read_body(request, ActOn)))

    async def route(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        await send_json(responder, 200, desk.route(read_body(request, RouteWanted), caller))

    async def admit(request: Request, responder: Responder, _: Caller, __: str) -> None:
        await send_json(responder, 200, await desk.admit(read_body(request, AdmitOwner)))

    async def root(_: Request, responder: Responder, __: Caller, ___: str) -> None:
        await send_json(responder, 200, desk.root())

    def written(serve: Serve) -> dict[str, Route]:
        return {"POST": Route(serve, Access.OPERATOR_KEY)}

    return {
        FABRIC: read_only(show, Access.OPERATOR_KEY),
        f"{FABRIC}/invites": written(invite),
        f"{FABRIC}/pops/": written(act),
        f"{FABRIC}/route": written(route),
        f"{FABRIC}/owners": written(admit),
        f"{FABRIC}/owners/own": read_only(root, Access.OPERATOR_KEY),
    }
