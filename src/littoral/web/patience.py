"""Clients that wait long for the head of an answer learn in time that it will come.

Many give up after 10 s without a byte. An interim answer (`100 Continue`, RFC 9110, section 15.2)
is such a byte: every client skips it, however many there are.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from littoral.web.http import Responder

__all__ = ["patient"]

_PERIOD_S: Final = 4.0


@contextmanager
def patient(responder: Responder, period_s: float = _PERIOD_S) -> Iterator[None]:
    """While the context is open, tell the client every few seconds that its answer is coming."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def tell() -> None:
        nonlocal timer
        responder.hold_on()
        timer = loop.call_later(period_s, tell)

    timer = loop.call_later(period_s, tell)
    try:
        yield
    finally:
        timer.cancel()
