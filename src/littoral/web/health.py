"""What anyone may ask without a key: what this is, whether it lives, whether it takes requests.

Nothing here names a caller, a key or a prompt.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from littoral.terms.ports import Status
from littoral.web.http import Responder

__all__ = ["send_json", "tell_about", "tell_health", "tell_ready"]


_JSON: Final[Mapping[str, str]] = {"content-type": "application/json"}


async def send_json(
    responder: Responder, status: int, value: object, headers: Mapping[str, str] = _JSON
) -> None:
    """Answer with a value as JSON; `headers` say so, and may say more."""
    await responder.send(status, headers, msgspec.json.encode(value))


async def tell_about(responder: Responder, paths: Sequence[str]) -> None:
    """Say what answers here, to someone who opened the address in a browser."""
    await send_json(
        responder,
        200,
        {
            "name": "Littoral",
            "what": "a PoP of an open inference delivery network",
            "use": "set base_url to this address + /v1 (OpenAI) or to this address (Anthropic)",
            "keys": "littoral keys create NAME",
            "documentation": "docs/ in the source tree; begin with docs/http.md",
            "paths": paths,
        },
    )


async def tell_health(responder: Responder) -> None:
    """Say that the process answers at all."""
    await send_json(responder, 200, {"status": "ok"})


async def tell_ready(responder: Responder, status: Status) -> None:
    """Say whether new requests are taken: 200 or 503, and the reasons."""
    ready, reasons = status.ready()
    await send_json(responder, 200 if ready else 503, {"ready": ready, **reasons})
