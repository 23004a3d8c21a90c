"""What meets the clients of a PoP, and how it ends: answers first, then what makes them."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from littoral.node.conductor import Workers
from littoral.node.fabric.membership import Membership
from littoral.node.host import ModelHost
from littoral.node.relay.build import HotState
from littoral.node.relay.relay import Relay
from littoral.node.surface import LAST_WORDS_S
from littoral.web.listener import Server

__all__ = ["Front", "at_work", "wind_down"]

_MARGIN_S: Final = 0.75
"""Beyond all that a worker waits for when it is to end: then it is ended."""


@dataclass(frozen=True, slots=True)
class Front:
    """What meets the clients of a PoP."""

    url: str
    server: Server
    """This process's own: at the PoP's address, or at the socket file for its workers."""
    workers: Workers | None


def at_work(host: ModelHost, relay: Relay, hot: HotState) -> int:
    """How many requests are answered now, by engines here or from elsewhere, or by workers."""
    own = len(relay.legs) + sum(map(host.in_flight, host.entries.by_name))
    return own + sum(hot.at_work[worker] for worker in range(len(hot.at_work)))


async def wind_down(
    host: ModelHost, relay: Relay, membership: Membership, front: Front, drain_s: float
) -> None:
    """Let answers under way end, then end the engines, and workers after what they pass on."""
    async with asyncio.TaskGroup() as tasks:
        if front.workers is not None:
            tasks.create_task(front.workers.drain(drain_s + LAST_WORDS_S + _MARGIN_S))
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                await host.drain()
                await relay.legs.none.wait()
                if membership.standing is not None:
                    await membership.standing.relaying.none.wait()
        host.close()
        relay.end_all()
