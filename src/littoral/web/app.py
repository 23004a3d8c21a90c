"""The routes of a PoP: who may ask what, and which function answers.

`App.handler` is what the listener calls. A request goes: route, key, then the route's function.
Errors are raised; the listener answers them in the shape of the API that the path belongs to.
`App.gate` asks the same two questions of a head alone, so that nobody without a key makes the
server wait for, and hold, a large body. Where who asks is known by something else than a key, both
are told by what.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from littoral.routing.requirements import REQUIRE, requirement_of
from littoral.terms.collections import Memory
from littoral.terms.errors import NotAllowedError
from littoral.terms.ids import KeyId, ReceiptId
from littoral.terms.ports import Door, Status
from littoral.terms.values import Caller
from littoral.web.delivery import (
    DeliveryDesk,
    PipelineDesk,
    WishDesk,
    delivery_routes,
    pipeline_routes,
    wish_routes,
)
from littoral.web.dialects import chat, completions, embeddings, messages, rerank, responses
from littoral.web.errors import shape_of
from littoral.web.fabric import FabricDesk, fabric_routes
from littoral.web.files import FileDesk
from littoral.web.health import send_json, tell_about, tell_health, tell_ready
from littoral.web.http import Handler, Request, Responder
from littoral.web.hub import hub_routes
from littoral.web.mcp import MemoryTools, mcp_routes
from littoral.web.memory import memory_routes
from littoral.web.memory.contexts import ContextDesk
from littoral.web.memory.replicas import ReplicaDesk, replica_routes
from littoral.web.models import find_model, model_list, model_object
from littoral.web.oci import oci_routes
from littoral.web.qdrant import qdrant_version
from littoral.web.refusals import QDRANT
from littoral.web.routes import RECEIPTS, Access, Route, Routes, Serve, key_of, read_only
from littoral.web.service import Gate
from littoral.web.stores import StoreDesks, store_routes

__all__ = ["App", "Desks", "Who", "requiring"]

Who = Callable[[Mapping[str, str]], Caller]
"""Who has sent these header fields; raises to refuse."""

_ANYONE: Final = Caller(key_id=KeyId(""), name="anyone", models=())
"""Who asks what needs no key: a caller who may use nothing."""

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_Dialect = Callable[[Request, Responder, Door, Caller], Awaitable[None]]
_Table = dict[str, dict[str, Route]]


@dataclass(frozen=True, slots=True)
class Desks:
    """Who answers what is not asked of models; what has nobody is not there."""

    fabric: FabricDesk | None = None
    delivery: DeliveryDesk | None = None
    wishes: WishDesk | None = None
    files: FileDesk | None = None
    pipelines: PipelineDesk | None = None
    memory: Memory | None = None
    replicas: ReplicaDesk | None = None
    stores: StoreDesks | None = None
    tools: MemoryTools | None = None
    contexts: ContextDesk | None = None


class App:
    """All that a PoP answers."""

    def __init__(self, door: Door, status: Status, desks: Desks | None = None) -> None:
        self._routes = _routes(door, status, desks or Desks())
        self._door = door

    def handler(self, who: Who | None = None) -> Handler:
        """What answers every request; `who` says who asks, unless it is told by a key."""
        routes, known = self._routes, who or self._by_key

        async def handle(request: Request, responder: Responder) -> None:
            route, rest = routes.find(request.method, request.path)
            caller = _admitted(known, route.access, request.headers)
            await route.serve(request, responder, caller, rest)

        return handle

    def gate(self, who: Who | None = None) -> Gate:
        """What refuses by the head alone whom the handler would refuse anyway."""
        routes, known = self._routes, who or self._by_key

        def check(method: str, path: str, headers: Mapping[str, str]) -> None:
            route, _ = routes.find(method, path)
            _admitted(known, route.access, headers)

        return check

    def _by_key(self, headers: Mapping[str, str]) -> Caller:
        return requiring(self._door.authenticate(key_of(headers)), headers)


def requiring(caller: Caller, headers: Mapping[str, str]) -> Caller:
    """The caller, with what these header fields say that the request must have.

    Raises:
        BadRequestError: they say it in other words than are known.
    """
    said = headers.get(REQUIRE)
    if said is None:
        return caller
    requirement_of(said)
    return replace(caller, requires=said)


def _routes(door: Door, status: Status, desks: Desks) -> Routes:
    table = _dialects(door) | _catalogue(door) | _monitoring(status)
    if desks.fabric is not None:
        table |= fabric_routes(desks.fabric)
    if desks.delivery is not None:
        table |= delivery_routes(desks.delivery)
    if desks.pipelines is not None:
        table |= pipeline_routes(desks.pipelines)
    if desks.wishes is not None:
        table |= wish_routes(desks.wishes)
    if desks.files is not None:
        table |= hub_routes(desks.files) | oci_routes(desks.files)
    if desks.memory is not None:
        table |= memory_routes(desks.memory, desks.contexts)
    if desks.replicas is not None:
        table |= replica_routes(desks.replicas)
    if desks.stores is not None:
        table |= store_routes(desks.stores)
    if desks.tools is not None:
        table |= mcp_routes(desks.tools)
    table["/"] = read_only(_about(sorted(table)), Access.NO_KEY)
    return Routes(table)


def _admitted(who: Who, access: Access, headers: Mapping[str, str]) -> Caller:
    if access is Access.NO_KEY:
        return _ANYONE
    caller = who(headers)
    if access is Access.OPERATOR_KEY and not caller.operator:
        raise NotAllowedError(
            "this key is not an operator's",
            advice="ask with a key made by `littoral keys create NAME --operator`",
        )
    return caller


def _dialects(door: Door) -> _Table:
    def post(dialect: _Dialect) -> dict[str, Route]:
        async def serve(request: Request, responder: Responder, caller: Caller, _: str) -> None:
            await dialect(request, responder, door, caller)

        return {"POST": Route(serve)}

    return {
        "/v1/chat/completions": post(chat.handle),
        "/v1/completions": post(completions.handle),
        "/v1/embeddings": post(embeddings.handle),
        "/v1/rerank": post(rerank.handle),
        "/v1/responses": post(responses.handle),
        "/v1/messages": post(messages.handle),
        "/v1/messages/count_tokens": post(messages.handle_count),
    }


def _catalogue(door: Door) -> _Table:
    async def models(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        shape = shape_of(request.path, request.headers)
        await send_json(responder, 200, model_list(door.models(caller), shape))

    async def model(request: Request, responder: Responder, caller: Caller, name: str) -> None:
        shape = shape_of(request.path, request.headers)
        found = find_model(door.models(caller), name)
        await send_json(responder, 200, model_object(found, shape))

    async def receipt(_: Request, responder: Responder, caller: Caller, name: str) -> None:
        body = door.receipt(ReceiptId(name), caller)
        await responder.send(200, {"content-type": "application/json"}, body)

    return {
        "/v1/models": read_only(models),
        "/v1/models/": read_only(model),
        RECEIPTS: read_only(receipt),
    }


def _monitoring(status: Status) -> _Table:
    async def health(_: Request, responder: Responder, __: Caller, ___: str) -> None:
        await tell_health(responder)

    async def ready(_: Request, responder: Responder, __: Caller, ___: str) -> None:
        await tell_ready(responder, status)

    async def metrics(_: Request, responder: Responder, __: Caller, ___: str) -> None:
        await responder.send(200, {"content-type": _METRICS_TYPE}, status.metrics())

    return {
        "/healthz": read_only(health, Access.NO_KEY),
        "/readyz": read_only(ready, Access.NO_KEY),
        "/metrics": read_only(metrics, Access.OPERATOR_KEY),
    }


def _about(paths: list[str]) -> Serve:
    async def about(request: Request, responder: Responder, __: Caller, ___: str) -> None:
        version = qdrant_version(request.headers) if QDRANT in paths else None
        if version is None:
            await tell_about(responder, paths)
        else:
            await send_json(responder, 200, version)

    return about
