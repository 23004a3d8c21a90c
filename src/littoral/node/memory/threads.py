"""Where drivers do their blocking work: a few threads, so that the loop never waits for a disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from littoral.terms.limits import MEMORY_THREADS

__all__ = ["Threads"]

T = TypeVar("T")


class Threads:
    """The threads of one PoP's memory."""

    def __init__(self) -> None:
        """Start none yet: each starts when it is first needed."""
        self._pool = ThreadPoolExecutor(MEMORY_THREADS, "memory")

    async def run(self, work: Callable[[], T]) -> T:
        """What the work gives, done on one of the threads.

        Work that has begun goes on to its end though nobody waits for it any more.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def run_then(self, work: Callable[[], T], after: Callable[[], None]) -> T:
        """The same; `after` is called on the loop once the work has ended, or will never begin."""
        loop = asyncio.get_running_loop()
        try:
            doing = self._pool.submit(work)
        except BaseException:
            after()
            raise
        doing.add_done_callback(lambda _: loop.call_soon_threadsafe(after))
        return await asyncio.wrap_future(doing)

    def close(self) -> None:
        """End them, once what they do has ended."""
        self._pool.shutdown(wait=True, cancel_futures=True)
