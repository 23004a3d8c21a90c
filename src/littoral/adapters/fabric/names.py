"""The `Names` port on Zenoh: membership and state of the fabric.

Rules
- Zenoh's calls may block, so all of them are made on one thread, in the order they were asked for.
- Of what is said on a topic only the latest is kept, here and on the way. Whoever is seen is
  asked for it all, now and again: soon where nothing was answered, much later where something was.
- Zenoh reads the certificate that it listens with once, at `open`. So a renewed one takes a new
  session on the same port, which two can't have at a time. A third one, which only dials, stands in
  meanwhile: it links to all, then the old one goes, the new one comes, and the third one goes. To
  all others the PoP is there throughout, as its token is held by at least one of them.
- Where fewer than half of those that were there before are linked to for a while, it is opened anew
  to dial all of them: those that were to tell of the others may be gone for good.
- A PoP that can't be dialled dials all others, and so is linked to all but those that can't be
  dialled either. Those it hears by a second session, a client of one of the others: what that hears
  twice is dropped as anything else is, and only they are missed while it is opened anew.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from littoral.adapters.fabric.inbox import Inbox
from littoral.adapters.fabric.place import FabricPlace, Role
from littoral.adapters.fabric.presence import Presence
from littoral.terms.errors import InternalError, OperatorError
from littoral.terms.ids import PopId
from littoral.terms.limits import (
    FABRIC_ASK_PAUSE_S,
    FABRIC_ASK_PAUSE_S_MAX,
    FABRIC_ASKS_MAX,
    FABRIC_BRIDGE_WAIT_S,
    FABRIC_FEW_S,
    FABRIC_OPEN_WAIT_S,
    FABRIC_OVERHEAR_S,
    FABRIC_SAID_MAX,
)
from littoral.terms.ports import Hear

if TYPE_CHECKING:
    from littoral.adapters.fabric.session import FabricSession

__all__ = ["ZenohNames"]

log = logging.getLogger("littoral")

T = TypeVar("T")

_FEW_LOOKS: Final = 3
"""Within FABRIC_FEW_S; each of them is to find few links."""
_ANSWERED_TIMES: Final = 8
"""Who has answered is asked again after so many times as long: then little can have been missed."""


class ZenohNames:
    """One PoP in the fabric."""

    def __init__(self, pop: PopId, place: FabricPlace) -> None:
        """Nothing is opened yet.

        Args:
            pop: who this is; what others say under its name is not heard.
            place: where it listens, and with what.
        """
        self._pop = pop
        self._place = place
        self._lock = threading.Lock()
        self._said: dict[str, bytes] = {}
        self._unsent: dict[str, bytes] = {}
        self._to_ask: dict[tuple[FabricSession, PopId, str], float] = {}
        """Each with the pause after which it is asked again."""
        self._thread: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inbox: Inbox | None = None
        self._presence: Presence | None = None
        self._session: FabricSession | None = None
        self._overhears: FabricSession | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._few = 0
        """Looks in a row that found few links."""

    async def open(self, hear: Hear) -> None:
        """As in the port."""
        assert self._thread is None, "opened once"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fabric")
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox(self._loop, hear)
        self._presence = Presence(self._inbox)
        try:
            await self._on_thread(self._open)
        except BaseException:
            await self.close()
            raise
        self._look()

    def say(self, topic: str, record: bytes) -> None:
        """As in the port.

        Raises:
            ValueError: more topics than limits.FABRIC_SAID_MAX.
        """
        with self._lock:
            if topic not in self._said and len(self._said) >= FABRIC_SAID_MAX:
                raise ValueError("a PoP says nothing on so many topics")
            self._said[topic] = record
            if self._thread is None:
                return
            idle = not self._unsent
            self._unsent[topic] = record
        if idle:
            self._thread.submit(self._send)

    async def reopen(self, seeds: Sequence[str] = ()) -> None:
        """As in the port."""
        known = dict.fromkeys((*self._place.seeds, *seeds))
        self._place = replace(self._place, seeds=tuple(known))
        await self._on_thread(self._reopen)

    async def close(self) -> None:
        """As in the port."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._looking is not None:
            self._looking.cancel()
        if self._inbox is not None:
            self._inbox.close()
        try:
            await _within(asyncio.wrap_future(thread.submit(self._close)))
        finally:
            thread.shutdown(wait=False)

    def linked(self) -> int:
        """As in the port."""
        session = self._session
        return session.links() if session is not None else 0

    async def _on_thread(self, act: Callable[[], T]) -> T:
        assert self._thread is not None, "open"
        return await _within(asyncio.wrap_future(self._thread.submit(act)))

    def _look(self) -> None:
        """See now and then that what can't be linked to is overheard, and that others are there."""
        if self._thread is not None and self._loop is not None:
            listens = self._place.listens
            pause_s = FABRIC_FEW_S / _FEW_LOOKS if listens else FABRIC_OVERHEAR_S
            self._thread.submit(self._see_few if listens else self._overhear)
            self._looking = self._loop.call_later(pause_s, self._look)

    # What follows runs on the thread.

    def _open(self) -> None:
        self._session = self._opened(Role.LISTENS if self._place.listens else Role.DIALS)

    def _opened(self, role: Role, connect: tuple[str, ...] = ()) -> "FabricSession":
        from littoral.adapters.fabric.session import FabricSession  # noqa: PLC0415 - 30 MB

        assert self._inbox is not None
        assert self._presence is not None
        session = FabricSession(
            *(self._pop, self._place, self._inbox, self._presence), connect=connect, role=role
        )
        try:
            session.declare(self._all_said, partial(self._met, session))
        except BaseException:
            session.close()
            raise
        return session

    def _all_said(self) -> dict[str, bytes]:
        with self._lock:
            return dict(self._said)

    def _met(
        self, session: "FabricSession", pop: PopId, name: str, pause_s: float = FABRIC_ASK_PAUSE_S
    ) -> None:
        """Have this session of a PoP asked, on any thread. Beyond the bound it is passed over."""
        with self._lock:
            thread, idle = self._thread, not self._to_ask
            if thread is None or len(self._to_ask) >= FABRIC_ASKS_MAX:
                return
            self._to_ask[session, pop, name] = pause_s
        if idle:
            with contextlib.suppress(RuntimeError):  # it is being closed
                thread.submit(self._ask)

    def _ask(self) -> None:
        with self._lock:
            to_ask, self._to_ask = self._to_ask, {}
        for (session, pop, name), pause_s in to_ask.items():
            session.ask(pop, name, partial(self._again, session, pop, name, pause_s))

    def _again(
        self, session: "FabricSession", pop: PopId, name: str, pause_s: float, answered: bool
    ) -> None:
        """Have it asked again after a pause, on any thread: something may have been missed."""
        if answered:
            pause_s *= _ANSWERED_TIMES
        pause_s, loop = min(pause_s, FABRIC_ASK_PAUSE_S_MAX), self._loop
        assert loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(
                loop.call_later, pause_s, self._met, session, pop, name, 2 * pause_s
            )

    def _reopen(self) -> None:
        old = self._session
        if old is None:
            self._open()
            return
        if not self._place.listens:
            self._session = self._opened(Role.DIALS, old.dialled())
            self._session.stand_in_for(old, FABRIC_BRIDGE_WAIT_S)
            old.close()
            self._hear_no_more()
            return
        bridge = self._opened(Role.DIALS, (self._place.itself, *old.dialled()))
        bridge.stand_in_for(old, FABRIC_BRIDGE_WAIT_S)
        self._session = bridge
        old.close()
        there = (
            each.removeprefix("tls/") for each in bridge.dialled() if each != self._place.itself
        )
        self._place = replace(self._place, known=tuple(there) or self._place.known)
        new = self._opened(Role.LISTENS)
        new.stand_in_for(bridge, FABRIC_BRIDGE_WAIT_S)
        self._session = new
        bridge.close()

    def _send(self) -> None:
        with self._lock:
            unsent, self._unsent = self._unsent, {}
        session = self._session
        if session is None:
            return  # what was said is said when one is opened
        for topic, record in unsent.items():
            try:
                session.say(topic, record)
            except OSError as error:
                log.warning("the fabric did not take what was said on %s (%s)", topic, error)

    def _see_few(self) -> None:
        """Dial all that are known, if few of them are linked to."""
        session, place = self._session, self._place
        if session is None or place.dials_all or not place.known:
            return
        self._few = 0 if 2 * session.links() >= len(place.known) else self._few + 1
        if self._few > _FEW_LOOKS:
            self._place = replace(place, dials_all=True)
            try:
                self._reopen()
            except OperatorError as error:
                log.warning("the fabric can't be opened anew to dial all that are known: %s", error)

    def _overhear(self) -> None:
        """Be a client of one of those that the other session is linked to."""
        session, hears = self._session, self._overhears
        if session is None or (hears is not None and hears.links()):
            return
        self._hear_no_more()
        linked = session.dialled()
        if linked:
            with contextlib.suppress(OperatorError):  # it has gone: another one is tried later
                self._overhears = self._opened(Role.OVERHEARS, linked)

    def _hear_no_more(self) -> None:
        hears, self._overhears = self._overhears, None
        if hears is not None:
            hears.close()

    def _close(self) -> None:
        self._hear_no_more()
        session, self._session = self._session, None
        if session is not None:
            session.close()


async def _within(done: "asyncio.Future[T]") -> T:
    """The result, in time.

    Raises:
        InternalError: it takes too long.
    """
    try:
        async with asyncio.timeout(FABRIC_OPEN_WAIT_S):
            return await done
    except TimeoutError:
        raise InternalError("the fabric did not open or close in time") from None
