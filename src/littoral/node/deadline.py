"""Waiting no longer than whoever asked does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypeVar

from littoral.terms.errors import DeadlineOverError
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Instant

__all__ = ["in_time", "opened_in_time"]

T = TypeVar("T")


async def in_time(work: Awaitable[T], until: Instant | None, clock: Clock) -> T:
    """What the work gives.

    Raises:
        DeadlineOverError: it did not by then, and was cancelled.
    """
    if until is None:
        return await work
    try:
        async with asyncio.timeout(max(0, until - clock.now()) / SECOND) as waiting:
            return await work
    except TimeoutError:
        if not waiting.expired():
            raise
        raise DeadlineOverError("the time that this request was given is over") from None


@asynccontextmanager
async def opened_in_time(
    work: AbstractAsyncContextManager[AsyncIterator[bytes]], until: Instant, clock: Clock
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The work's chunks as they come, while the context is open.

    Raises:
        DeadlineOverError: it was not open by then, or its next chunk has not come.
    """
    async with AsyncExitStack() as stack:
        chunks = await in_time(stack.enter_async_context(work), until, clock)
        yield _each_in_time(chunks, until, clock)


async def _each_in_time(
    chunks: AsyncIterator[bytes], until: Instant, clock: Clock
) -> AsyncIterator[bytes]:
    iterator = aiter(chunks)
    while True:
        try:
            data = await in_time(anext(iterator), until, clock)
        except StopAsyncIteration:
            return
        yield data
