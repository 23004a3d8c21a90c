"""The Model Context Protocol at `/mcp`: agents look up, remember and ask what collections hold.

Streamable HTTP without sessions: each POST is one JSON-RPC message, answered at once as JSON. There
is no stream from here to a client, so GET is refused, and nothing of a client is remembered between
two messages. Who asks is known by its key, as everywhere.

`protocol` says which revisions are spoken and how messages are read; `tools` what can be called.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from littoral.terms.errors import LittoralError, NotAllowedError
from littoral.terms.values import Caller
from littoral.web.health import send_json
from littoral.web.http import Request, Responder
from littoral.web.mcp.protocol import (
    MCP,
    Fault,
    Message,
    answered,
    check_envelope,
    discovered,
    failed,
    initialized,
    message_in,
    problem,
)
from littoral.web.mcp.tools import MemoryTools, Told
from littoral.web.patience import patient
from littoral.web.routes import Route

__all__ = ["MCP", "MemoryTools", "Told", "mcp_routes"]

_INSTRUCTIONS: Final = (
    "Collections of passages that this PoP keeps. memory_list says which there are; memory_search "
    "finds passages by meaning and words; memory_add keeps a text; memory_ask answers from them."
)


def mcp_routes(tools: MemoryTools) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""

    async def serve(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        _check_origin(request)
        try:
            message = message_in(request)
        except Fault as fault:
            await send_json(responder, *failed(None, fault))
            return
        if message.id is None:
            await responder.send(202, {}, b"")
            return
        with patient(responder):
            status, said = await _said(tools, message, request.headers, caller)
        await send_json(responder, status, said)

    return {MCP: {"POST": Route(serve)}}


async def _said(
    tools: MemoryTools, message: Message, headers: Mapping[str, str], caller: Caller
) -> tuple[int, dict[str, object]]:
    """The answer to a request: its status, and what is said."""
    try:
        check_envelope(message, headers)
        return 200, answered(message, await _result(tools, message, caller))
    except Fault as fault:
        status, said = failed(message.id, fault)
        return (status if message.stateless else 200), said
    except LittoralError as error:
        return failed(message.id, problem(error))


async def _result(tools: MemoryTools, message: Message, caller: Caller) -> dict[str, object]:
    match message.method:
        case "initialize":
            return initialized(message, _INSTRUCTIONS)
        case "server/discover":
            return discovered(_INSTRUCTIONS)
        case "ping":
            return {}
        case "tools/list":
            return {"tools": tools.described()}
        case "tools/call":
            return await tools.call(message.params, caller)
        case _:
            raise Fault.unknown_method(message.method)


def _check_origin(request: Request) -> None:
    """A page of elsewhere that a browser shows can't ask in the name of who sees it."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise NotAllowedError(
            "this page is not of this PoP", advice="ask from a program, without `Origin`"
        )
