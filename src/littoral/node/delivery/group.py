"""One artifact, or draft, that is pulled together with other PoPs: performs what its machine says.

The machine (`delivery/pull.py`) decides. Here are its links to the others of the group, what is
fetched from them, and what is read from the origin, on threads. Bytes go from socket to file; the
machine hears of chunks that are here.

Once it is over, the links stay: others go on to fetch from what is here.
"""

import asyncio
import logging
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Final, assert_never

from littoral.adapters.http.words import HttpError
from littoral.adapters.moving.words import BaseDoubtedError, Fetching
from littoral.delivery.chunk_set import ChunkSet, Run
from littoral.delivery.manifest import Kind
from littoral.delivery.news import News
from littoral.delivery.resemblance import Tensors
from littoral.delivery.words import (
    ORIGIN,
    Begin,
    Blame,
    Cancel,
    Drop,
    Effect,
    Ended,
    Event,
    Fail,
    Fetch,
    Finish,
    Landed,
    Met,
    Moving,
    Parted,
    Rates,
    Replaced,
    Role,
    Seal,
    Sealed,
    SealFailed,
    Spoiled,
    Tell,
    Told,
    Wanted,
    Woke,
)
from littoral.node.delivery.around import Around
from littoral.node.delivery.counting import Counted
from littoral.node.delivery.links import Links
from littoral.node.delivery.origin_reads import Reading
from littoral.node.delivery.sealing import Hashing
from littoral.node.delivery.shelves import FillingShelf
from littoral.node.delivery.work import Work
from littoral.node.drive import Driver
from littoral.terms.errors import (
    DigestMismatchError,
    InternalError,
    LittoralError,
    OriginError,
    PeerError,
)
from littoral.terms.ids import PopId

__all__ = ["Group"]

log = logging.getLogger("littoral")

_TICK_S: Final = 0.5
_COMMIT_TICKS: Final = 4
"""What came is committed every so many: what a kill may cost is fetched again."""


class Group:
    """Of one artifact or draft."""

    def __init__(self, around: Around, work: Work) -> None:
        """Begin nothing yet."""
        self._around = around
        self._work = work
        self._loop = asyncio.get_running_loop()
        self.counted: Final = Counted(around.rates)
        self.over: Final[asyncio.Future[None]] = self._loop.create_future()
        """Its end: none, or the error that it failed with."""
        self._driver: Driver[Event, Effect] = Driver(
            work.machine, self._perform, tick=Woke(), clock=around.clock
        )
        self.links: Final = Links(around, work.name, work.shelf.intake.table.chunks, self)
        self._base = work.base
        self._fetches: dict[int, Fetching] = {}
        self._received: dict[int, int] = {}
        """Bytes of each fetch, when the machine was last told."""
        self._ticks = 0
        self._hashing = Hashing(work.shelf.intake, around.threads, self._fail_soon)
        self._sealing = False
        """Files are looked at as a whole, or were."""
        self.blamed: dict[PopId, int] = {}
        """Who gave wrong bytes, and how often."""

    @property
    def name(self) -> str:
        """By which the others know it."""
        return self._work.name

    @cached_property
    def tensors(self) -> Tensors:
        """Those of its artifact, as far as they are known."""
        return Tensors(self._work.lists)

    @property
    def shelf(self) -> FillingShelf:
        """What is here of it."""
        return self._work.shelf

    @property
    def documents(self) -> Mapping[str, bytes]:
        """See Work."""
        return self._work.documents

    @property
    def kind(self) -> Kind:
        """See Work."""
        return self._work.kind

    @property
    def private(self) -> bool:
        """See Work."""
        return self._work.private

    @property
    def here_bytes(self) -> int:
        """What is here, and checked."""
        return self._work.shelf.here_bytes

    @property
    def size_bytes(self) -> int:
        """Of all of it."""
        return self._work.shelf.intake.table.size_bytes

    def begin(self) -> None:
        """Pull, from here on."""
        self._driver.post(Begin())
        self._tick()

    def _tick(self) -> None:
        """Tell the machine what nobody else does, and have what came stay."""
        if self.over.done():
            return
        uplink = self._around.uplink()
        if uplink:
            self._driver.post(Rates(int(uplink)))
        for number, fetching in list(self._fetches.items()):
            received = fetching.received_bytes
            if received != self._received.get(number):
                self._received[number] = received
                self._driver.post(Moving(number))
        self._ticks += 1
        if self._ticks % _COMMIT_TICKS == 0 and not self._sealing:
            self._around.threads.submit(self._commit)
        if not self._sealing:
            self._hashing.go_on()
        self._loop.call_later(_TICK_S, self._tick)

    def _commit(self) -> None:
        """On a thread: have what is here stay, whatever happens."""
        try:
            self._work.shelf.intake.commit()
        except LittoralError as error:
            self._fail_soon(error)

    def _fail_soon(self, error: LittoralError) -> None:
        """On a thread: it can't go on."""
        self._loop.call_soon_threadsafe(self.fail, error)

    def want(self, chunks: ChunkSet) -> None:
        """Somebody here waits for these."""
        self._driver.post(Wanted(chunks))

    def cancel(self) -> None:
        """Nobody wants it any more: nothing more is asked for, and nothing that comes is taken."""
        if not self.over.done():
            self._driver.post(Cancel())
            self.over.cancel()

    def fail(self, error: LittoralError) -> None:
        """It can't go on."""
        if not self.over.done():
            self._driver.post(Cancel())
            self.over.set_exception(error)

    def close(self) -> None:
        """Let go of everything."""
        self.cancel()
        self._hashing.rest()
        self._driver.close()
        self.links.close()
        self._leave()

    # --- the others (links.Hears) ---------------------------------------------------------------

    def is_whole(self) -> bool:
        """See Hears."""
        ended = self.over.done() and not self.over.cancelled() and self.over.exception() is None
        return ended and not self._work.is_draft

    def greeting(self) -> News:
        """See Hears."""
        return self._work.machine.greeting()

    def met(self, pop: PopId, role: Role, news: News) -> None:
        """See Hears."""
        self._driver.post(Met(pop, role, news))

    def told(self, pop: PopId, news: News) -> None:
        """See Hears."""
        self._driver.post(Told(pop, news))

    def parted(self, pop: PopId) -> None:
        """See Hears."""
        self._driver.post(Parted(pop))

    # --- what the machine wants -----------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Fetch():
                self._fetch(effect)
            case Drop(number):
                fetching = self._fetches.pop(number, None)
                if fetching is not None:
                    fetching.drop()
            case Tell(news):
                self.links.say(news)
            case Seal():
                self._sealing = True
                self._hashing.rest()
                self._around.threads.submit(self._seal)
            case Blame() | Replaced():
                self._note(effect)
            case Finish() | Fail():
                self._end(effect)
            case _:
                assert_never(effect)

    def _note(self, effect: Blame | Replaced) -> None:
        source = effect.source or "the origin"
        if isinstance(effect, Blame):
            self.blamed[effect.source] = self.blamed.get(effect.source, 0) + 1
            log.warning("%s gave wrong bytes as chunk %d", source, effect.chunk)
        else:
            log.info("%s was too slow; others are asked", source)

    def _leave(self) -> None:
        """Ask nobody for anything more."""
        for fetching in self._fetches.values():
            fetching.drop()
        self._fetches.clear()
        client = self._around.client()
        if client is not None:
            client.leave(self.shelf)

    def _end(self, effect: Finish | Fail) -> None:
        self._leave()
        if self.over.done():
            return
        if isinstance(effect, Fail):
            self.over.set_exception(OriginError(effect.reason))
        else:
            self.over.set_result(None)

    def _fetch(self, fetch: Fetch) -> None:
        if fetch.source == ORIGIN:
            self._read(fetch)
            return
        peer, client = self.links.peer(fetch.source), self._around.client()
        if peer is None or client is None:
            self._loop.call_soon(self._driver.post, Ended(fetch.id, "it can't be dialled"))
            return
        asked = _Asked(self, fetch)
        self._fetches[fetch.id] = client.fetch(
            peer, self._work.name, fetch.chunks, self._work.shelf, asked, self._base
        )

    def _read(self, fetch: Fetch) -> None:
        reads = self._work.reads
        if reads is None:
            self._loop.call_soon(self._driver.post, Ended(fetch.id, "there is no origin"))
            return
        (run,) = fetch.chunks.runs()
        reading = Reading(
            landed=partial(self.read, fetch.id),
            spoiled=partial(self.spoiled, fetch.id),
            ended=partial(self.ended, fetch.id),
        )
        self._fetches[fetch.id] = reading
        reads.read(run, reading, at_once=fetch.at_once)

    def landed(self, fetch: int, source: PopId, number: int, size_bytes: int) -> None:
        """A chunk came from a PoP and is on the shelf."""
        self.counted.came(source, size_bytes, self._around.clock.now())
        voucher = source if self._work.is_draft else ORIGIN
        self._driver.post(Landed(fetch, number, voucher))

    def read(self, fetch: int, number: int, new: ChunkSet, changed: bool) -> None:
        """A chunk came from the origin, and with it perhaps others of the same bytes."""
        shelf = self._work.shelf
        self.counted.came(ORIGIN, shelf.size_bytes(number), self._around.clock.now())
        shelf.came(new | ChunkSet.of((number,)))
        for each in new - ChunkSet.of((number,)):
            self._driver.post(Landed(fetch, each))
        self._driver.post(Landed(fetch, number, changed=changed))

    def spoiled(self, fetch: int, number: int) -> None:
        """A chunk came that was another."""
        self._driver.post(Spoiled(fetch, number))

    def ended(self, fetch: int, error: HttpError | LittoralError | None) -> None:
        """A fetch is over."""
        if isinstance(error, BaseDoubtedError) and self._base is not None:
            log.warning(
                "%s: %s is not asked against any more: %s", self.name, self._base.artifact, error
            )
            self._base = None
        self._received.pop(fetch, None)
        if isinstance(error, LittoralError) and not isinstance(error, PeerError):
            self.fail(error)  # it is this machine's: no source would do better
        elif self._fetches.pop(fetch, None) is not None:
            self._driver.post(Ended(fetch, None if error is None else str(error)))

    def _seal(self) -> None:
        """On a thread: make the whole of it."""
        outcome: Sealed | SealFailed = Sealed()
        failed: LittoralError | None = None
        try:
            self._work.seal()
        except DigestMismatchError as error:
            run = self._run_of(str(error.details.get("path", "")))
            if run is None:
                failed = error
            else:
                outcome = SealFailed(*run)
        except LittoralError as error:
            failed = error
        except Exception as error:
            log.exception("a defect: please report it")
            failed = InternalError(f"{self._work.name} could not be sealed ({error!r})")
        if failed is not None:
            self._fail_soon(failed)
        else:
            self._loop.call_soon_threadsafe(self._sealed, outcome)

    def _sealed(self, outcome: Sealed | SealFailed) -> None:
        if isinstance(outcome, SealFailed):
            self._sealing = False
            for number in range(outcome.first, outcome.end):
                self._work.shelf.went(number)
        self._driver.post(outcome)

    def _run_of(self, path: str) -> Run | None:
        """The chunks of a file."""
        if path not in self._work.paths:
            return None
        return self._work.shelf.intake.table.run_of(self._work.paths.index(path))


class _Asked:
    """Chunks that were asked of a PoP (moving.Hears)."""

    def __init__(self, group: Group, fetch: Fetch) -> None:
        self._group = group
        self._fetch = fetch

    def landed(self, number: int, size_bytes: int, came_bytes: int) -> None:
        """See Hears."""
        self._group.counted.spared(size_bytes - came_bytes)
        self._group.landed(self._fetch.id, self._fetch.source, number, size_bytes)

    def spoiled(self, number: int) -> None:
        """See Hears."""
        self._group.spoiled(self._fetch.id, number)

    def ended(self, error: HttpError | None) -> None:
        """See Hears."""
        if error is not None:
            log.info("%s was asked and failed; others are: %s", self._fetch.source, error)
        self._group.ended(self._fetch.id, error)
