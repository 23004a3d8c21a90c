"""What is done in the background, a round at a time, whatever becomes of one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from littoral.terms.limits import FILING_PAUSE_S

__all__ = ["in_rounds", "until_owed"]

log = logging.getLogger("littoral")


async def in_rounds(take: Callable[[], Awaitable[None]], what: str) -> None:
    """Take one round after the other, until cancelled. What fails is logged, and tried again.

    Args:
        take: takes one.
        what: it is, as the log says it.
    """
    while True:
        try:
            await take()
        except Exception:
            log.exception("%s is interrupted", what)
            await asyncio.sleep(FILING_PAUSE_S)


async def until_owed(owed: asyncio.Event, until: float | None) -> None:
    """Wait until something is owed, or until then by the loop's clock."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await owed.wait()
