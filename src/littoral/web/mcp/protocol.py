"""Messages of the Model Context Protocol: JSON-RPC 2.0, read, checked and answered.

Two ways of agreeing on a revision are spoken. Up to 2025-11-25 a client begins with `initialize`,
and names the revision in a header afterwards. From 2026-07-28 on each request says it itself, in
`_meta`, and repeats in header fields what proxies route by; what disagrees is refused.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from littoral import __version__
from littoral.terms.errors import BadRequestError, LittoralError
from littoral.web.dialects.reading import json_object
from littoral.web.http import Request

__all__ = [
    "MCP",
    "Fault",
    "Message",
    "answered",
    "check_envelope",
    "discovered",
    "failed",
    "initialized",
    "message_in",
    "problem",
]

MCP: Final = "/mcp"

_WITH_HANDSHAKE: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
_WITHOUT: Final = ("2026-07-28",)
_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
_SERVER: Final = "io.modelcontextprotocol/serverInfo"
_CAN: Final[Mapping[str, object]] = {"tools": {"listChanged": False}}
_WRAPPED: Final = re.compile(r"=\?base64\?(.*)\?=")
_STATUS: Final = {-32700: 400, -32600: 400, -32602: 400, -32020: 400, -32022: 400, -32601: 404}
"""Of what is no message at all, and of revisions without a handshake. Clients of those with one
look for errors in answers of status 200 alone."""

_PARSE: Final = -32700
_INVALID_REQUEST: Final = -32600
_UNKNOWN_METHOD: Final = -32601
_INVALID_PARAMS: Final = -32602
_HEADERS_DIFFER: Final = -32020
_UNKNOWN_VERSION: Final = -32022
_OURS: Final = -32050


class Fault(Exception):  # noqa: N818 - a word of the protocol's, not of ours
    """An error as JSON-RPC says it."""

    def __init__(
        self,
        code: int,
        message: str,
        data: Mapping[str, object] | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.status = _STATUS.get(code, 200) if status is None else status

    @classmethod
    def unknown_method(cls, method: str) -> "Fault":
        """Nobody answers this."""
        return cls(_UNKNOWN_METHOD, f"there is no method {method[:80]!r}")

    @classmethod
    def params(cls, message: str) -> "Fault":
        """What a method was given is wrong."""
        return cls(_INVALID_PARAMS, message)


class Message(msgspec.Struct, frozen=True):
    """A request, or a notification, which has no id."""

    id: str | int | None
    method: str
    params: Mapping[str, object]
    stateless: bool
    """It is of a revision in which each request says everything itself."""


def message_in(request: Request) -> Message:
    """The message of a request.

    Raises:
        Fault: it is none, or of a revision that is not spoken.
    """
    try:
        body = json_object(request.body)
    except BadRequestError as error:
        raise Fault(_PARSE, str(error)) from None
    name, method, params = body.get("id"), body.get("method"), body.get("params", {})
    if (
        body.get("jsonrpc") != "2.0"
        or not isinstance(method, str)
        or not isinstance(params, dict)
        or not isinstance(name, str | int | None)
        or isinstance(name, bool)
        or (name is None and "id" in body)
    ):
        raise Fault(_INVALID_REQUEST, "the body is not one JSON-RPC request or notification")
    version = request.headers.get("mcp-protocol-version")
    stateless = version in _WITHOUT or _says_version(params)
    if not stateless and version is not None and version not in _WITH_HANDSHAKE:
        raise Fault(
            _INVALID_REQUEST,
            f"the revision {version[:40]!r} of the protocol is not spoken here; "
            f"speak {', '.join((*_WITH_HANDSHAKE, *_WITHOUT))}",
        )
    return Message(name, method, params, stateless)


def check_envelope(message: Message, headers: Mapping[str, str]) -> None:
    """See that a request says what its revision wants said, and its header fields the same.

    Raises:
        Fault: it does not.
    """
    if not message.stateless:
        return
    meta = message.params.get("_meta")
    if not isinstance(meta, Mapping) or _VERSION not in meta or _CAPABILITIES not in meta:
        raise Fault.params(f"`_meta` does not say both {_VERSION} and {_CAPABILITIES}")
    version = meta[_VERSION]
    said = {"mcp-protocol-version": version, "mcp-method": message.method}
    if message.method == "tools/call":
        said["mcp-name"] = message.params.get("name")
    for name, value in said.items():
        if _unwrapped(headers.get(name)) != value:
            raise Fault(_HEADERS_DIFFER, f"the header field {name} differs from the body")
    if version not in _WITHOUT:
        supported = {"supported": [*_WITHOUT, *_WITH_HANDSHAKE], "requested": version}
        raise Fault(_UNKNOWN_VERSION, "that revision is not spoken here", supported)


def initialized(message: Message, instructions: str) -> dict[str, object]:
    """The answer to `initialize`: the revision that is asked for, or the newest of its kind."""
    wanted = message.params.get("protocolVersion")
    return {
        "protocolVersion": wanted if wanted in _WITH_HANDSHAKE else _WITH_HANDSHAKE[-1],
        "capabilities": _CAN,
        "serverInfo": _server(),
        "instructions": instructions,
    }


def discovered(instructions: str) -> dict[str, object]:
    """The answer to `server/discover`."""
    return {
        "supportedVersions": [*_WITHOUT, *_WITH_HANDSHAKE],
        "capabilities": _CAN,
        "instructions": instructions,
    }


def answered(message: Message, result: dict[str, object]) -> dict[str, object]:
    """The answer to a request."""
    if message.stateless:
        own: dict[str, object] = {"resultType": "complete", "_meta": {_SERVER: _server()}}
        if message.method in {"server/discover", "tools/list"}:
            own |= {"ttlMs": 0, "cacheScope": "private"}
        result = own | result
    return {"jsonrpc": "2.0", "id": message.id, "result": result}


def failed(name: str | int | None, fault: Fault) -> tuple[int, dict[str, object]]:
    """The answer to what went wrong: its status, and what is said."""
    error: dict[str, object] = {"code": fault.code, "message": fault.message}
    if fault.data is not None:
        error["data"] = fault.data
    return fault.status, {"jsonrpc": "2.0", "id": name, "error": error}


def problem(error: LittoralError) -> Fault:
    """An error of ours, as JSON-RPC says it; its own code is among the data."""
    data: dict[str, object] = {"code": error.code}
    if error.retry_after_s is not None:
        data["retry_after_s"] = error.retry_after_s
    return Fault(_OURS, str(error), data, error.status)


def _server() -> dict[str, object]:
    return {"name": "littoral", "title": "Littoral", "version": __version__}


def _says_version(params: Mapping[str, object]) -> bool:
    meta = params.get("_meta")
    return isinstance(meta, Mapping) and _VERSION in meta


def _unwrapped(value: str | None) -> str | None:
    """What a header field says that could not be said in plain characters."""
    wrapped = None if value is None else _WRAPPED.fullmatch(value)
    if wrapped is None:
        return value
    try:
        return base64.b64decode(wrapped[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
