"""Telling the PoP that runs on this home something, or asking it, as its operator."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from littoral.node.asking import PopClient, client_of
from littoral.node.config import Config
from littoral.node.home import Home
from littoral.terms.errors import NotFoundError

__all__ = ["ask", "tell", "untell"]

T = TypeVar("T")


def ask(config: Config, path: str, kind: type[T]) -> T:
    """What the running PoP answers to a GET.

    Raises:
        NotFoundError: no PoP runs on this home.
        UpstreamFailedError: it broke off; whatever it refuses with comes under its own code.
    """
    return asyncio.run(_of(config, lambda client: client.get(path, kind)))


def tell(config: Config, path: str, what: msgspec.Struct, kind: type[T]) -> T:
    """What the running PoP answers to a POST; raises as `ask` does."""
    return asyncio.run(_of(config, lambda client: client.post(path, what, kind)))


def untell(config: Config, path: str, kind: type[T]) -> T:
    """What the running PoP answers to a DELETE; raises as `ask` does."""
    return asyncio.run(_of(config, lambda client: client.delete(path, kind)))


async def _of(config: Config, asks: Callable[[PopClient], Awaitable[T]]) -> T:
    running = Home(config.home).running()
    if running is None:
        raise NotFoundError(
            f"no PoP runs on {config.home}", advice="start one with `littoral up`, then ask again"
        )
    async with client_of(running) as client:
        return await asks(client)
