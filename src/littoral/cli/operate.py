"""Telling the PoP that runs on this home something, or asking it, as its operator."""

import asyncio
from typing import TypeVar

import msgspec

from littoral.adapters.http.client import HttpClient
from littoral.adapters.http.words import HttpError, Origin
from littoral.cli.talk import refused
from littoral.node.config import Config
from littoral.node.home import Home
from littoral.terms.errors import NotFoundError, UpstreamFailedError
from littoral.terms.limits import BODY_BYTES_MAX

__all__ = ["ask", "tell"]

T = TypeVar("T")


def ask(config: Config, path: str, kind: type[T]) -> T:
    """What the running PoP answers to a GET.

    Raises:
        NotFoundError: no PoP runs on this home.
        UpstreamFailedError: it broke off; whatever it refuses with comes under its own code.
    """
    return msgspec.json.decode(asyncio.run(_send(config, "GET", path, b"")), type=kind)


def tell(config: Config, path: str, what: msgspec.Struct, kind: type[T]) -> T:
    """What the running PoP answers to a POST; raises as `ask` does."""
    body = msgspec.json.encode(what)
    return msgspec.json.decode(asyncio.run(_send(config, "POST", path, body)), type=kind)


async def _send(config: Config, method: str, path: str, body: bytes) -> bytes:
    running = Home(config.home).running()
    if running is None:
        raise NotFoundError(
            f"no PoP runs on {config.home}", advice="start one with `littoral up`, then ask again"
        )
    origin, _ = Origin.of_url(running.url)
    headers = {"authorization": f"Bearer {running.key}"}
    client = HttpClient(origin, headers=headers, certificate=running.certificate)
    try:
        async with client.request(method, path, body) as response:
            answer = await response.read(BODY_BYTES_MAX)
            if response.status < 300:
                return answer
    except HttpError as error:
        raise UpstreamFailedError(
            f"the PoP broke off: {error}", advice="see its log; is it still running?"
        ) from error
    finally:
        client.close()
    raise refused(answer)
