"""The mover: the process that fetches, keeps and passes on artifacts. It runs beside the PoP.

The PoP starts it (office.py) and talks to it over a socket file, with the routes that operators
have (`/v1/delivery`) and two of their own (words.py). It is nice to the engines and the relay: it
runs at a lower priority, and what it sends makes way for answers (adapters/moving).

This module runs in mover processes only.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from hmac import compare_digest
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import uvloop

from littoral.adapters.addresses import bracketed
from littoral.adapters.artifacts import open_store
from littoral.adapters.clock import SystemClock
from littoral.adapters.engines.lifeline import Line, begin
from littoral.adapters.identity import open_identity
from littoral.adapters.models import Catalogue
from littoral.adapters.models.packed import PackageOrigin
from littoral.adapters.moving.access import Access
from littoral.adapters.moving.client import Client
from littoral.adapters.moving.flows import Flows
from littoral.adapters.moving.held import Holder
from littoral.adapters.moving.server import Server
from littoral.adapters.origins import Credential, OriginsSettings
from littoral.adapters.origins.kept import CredentialFile, OriginsNow
from littoral.adapters.owner import FabricFiles
from littoral.adapters.owner.contexts import Contexts
from littoral.delivery.words import ORIGIN
from littoral.node.delivery.around import Around
from littoral.node.delivery.arriving import Arriving
from littoral.node.delivery.coding import Coding
from littoral.node.delivery.desk import Desk
from littoral.node.delivery.holdings import Holdings
from littoral.node.delivery.library import Library
from littoral.node.delivery.others import Others
from littoral.node.delivery.parts import Parts
from littoral.node.delivery.pipelines import Pipelines
from littoral.node.delivery.rates import Rates
from littoral.node.delivery.segments import Segments
from littoral.node.delivery.words import (
    AT_WORK,
    FLEET,
    SAID,
    SEGMENTS,
    AtWork,
    FleetTold,
    MoverArguments,
    MoverSaid,
    SegmentsMade,
)
from littoral.node.drive import owned_tasks
from littoral.node.home import Home
from littoral.node.surface import log_defect
from littoral.terms.delivery import Nothing
from littoral.terms.errors import KeyRejectedError, LittoralError
from littoral.terms.ids import KeyId, SiteName, artifact_id
from littoral.terms.limits import STORE_BYTES_MAX
from littoral.terms.ports import Origin
from littoral.terms.values import Caller
from littoral.web.delivery import delivery_routes, pipeline_routes
from littoral.web.health import send_json
from littoral.web.http import Handler, HttpBounds, Request, Responder
from littoral.web.listener import listening
from littoral.web.routes import Route, Routes, key_of
from littoral.web.service import Answers

__all__ = ["main"]

log = logging.getLogger("littoral")

_NICE: Final = 5
_THREADS: Final = 16
_SAID_WAIT_S: Final = 30.0
_HELD_AT_MAX: Final = 32
"""Other PoPs over whose connections this one may be asked."""
_THE_POP: Final = Caller(key_id=KeyId(""), name="the PoP", operator=True, models=())


class Mover:
    """What the PoP tells it, and what it has to say."""

    def __init__(self, home: Path, loop: asyncio.AbstractEventLoop) -> None:
        """Know nobody yet."""
        self._files = FabricFiles(home)
        self._loop = loop
        self._clock = SystemClock()
        self._at_work = 0
        self._number = 1  # whoever has heard nothing yet asks for what comes after 0
        self._changed = asyncio.Event()
        self._access: Access | None = None
        self._contexts: Contexts | None = None
        self._seen: tuple[int, ...] = ()
        """When its files were written that were taken last."""
        self._server: Server | None = None
        self._holder: Holder | None = None
        """Holds connections to others, where this one can't be dialled."""
        self._fleet = FleetTold(SiteName("main"), ())
        self._address = ""
        self.flows: Final = Flows(loop, lambda: self._at_work)
        self.client: Client | None = None
        self.others = Others(FleetTold(SiteName("main"), ()))
        self.rates: Final = Rates()

    def told(self, fleet: FleetTold, desk: Desk, library: Library) -> None:
        """The fleet is this now."""
        self.others, self._fleet = Others(fleet), fleet
        self.rates.keep(self.others.by_name.keys())
        if self._access is None:
            if not fleet.peers and fleet.listen is None:
                return
            self._contexts = Contexts(self._files, self._refused)
            self._access = Access(self._contexts, self._clock)
            self.client = Client(self._loop, self._access)
            self._server = Server(self._loop, self._access, library, self.flows)
            self._server.hold = self.client.hold
            self._holder = Holder(self._access, self._server)
        self._renew()
        self._access.allow(self.others.names)
        assert self._server is not None, "with access"
        if fleet.listen is not None and not self.listens:
            port = self._server.listen(fleet.listen.host, fleet.listen.port)
            host = bracketed(fleet.listen.reached)
            self._address = fleet.listen.address or f"{host}:{port}"
            self.changed()
        assert self.client is not None, "with access"
        self.client.looked()
        self._server.looked()
        self._hold(desk)
        desk.meet(self.others)
        desk.protect(self.others, fleet.wished)

    def attend(self, at_work: AtWork) -> None:
        """The PoP answers so many requests now."""
        self._at_work = at_work.requests

    def _renew(self) -> None:
        """Take the certificates anew, if they are others."""
        assert self._contexts is not None, "with access"
        seen = tuple(path.stat().st_mtime_ns for path in (self._files.chain, self._files.bundle))
        if seen != self._seen:
            self._contexts.renewed()
            self._seen = seen

    @property
    def listens(self) -> bool:
        """Whether other movers can dial it."""
        return bool(self._address)

    def _hold(self, desk: Desk) -> None:
        """Be asked over connections to the others, if it can't be dialled and has something."""
        if self._holder is None:
            return
        others = self.others.by_name.values()
        peers = [each.peer for each in others if each.own and each.peer is not None]
        gives = self._fleet.listen is None and desk.deliveries()
        self._holder.hold(peers[:_HELD_AT_MAX] if gives else ())

    def changed(self) -> None:
        """There is something else to say."""
        self._number += 1
        self._changed.set()

    async def said(self, after: int, desk: Desk) -> MoverSaid:
        """What there is to say, as soon as it is another than the one of that number."""
        if after == self._number:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_SAID_WAIT_S):
                    await self._changed.wait()
        self._hold(desk)
        return MoverSaid(
            number=self._number,
            address=self._address,
            deliveries=desk.deliveries(),
            room_bytes=desk.room_bytes(),
            arriving=desk.arriving(),
            ended=desk.ended(),
            rates=tuple((pop, rate) for pop, rate in self.rates.known().items() if pop != ORIGIN),
        )

    def close(self) -> None:
        """End every connection."""
        if self._holder is not None:
            self._holder.hold(())
        if self._server is not None:
            self._server.close()
        if self.client is not None:
            self.client.close()

    def _refused(self, reason: str) -> None:
        log.warning("somebody was refused who wanted to fetch: %s", reason)


def main() -> None:
    """Open the store, listen, say so, and stay until the PoP ends."""
    raw, line = begin()
    arguments = msgspec.convert(raw, MoverArguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.nice(_NICE)
    uvloop.run(_move(arguments, line))


async def _move(arguments: MoverArguments, line: Line) -> None:
    try:
        async with _open(arguments) as handle:
            answers = Answers(handle)
            async with listening(
                answers,
                Path(arguments.socket_path),
                HttpBounds(),
                clock=SystemClock(),
                on_defect=log_defect,
            ):
                line.ready()
                await asyncio.Event().wait()
    except LittoralError as error:
        line.fail(str(error))


@asynccontextmanager
async def _open(arguments: MoverArguments) -> AsyncIterator[Handler]:
    """All of it, and what answers the PoP."""
    home, clock, loop = Home(Path(arguments.home)), SystemClock(), asyncio.get_running_loop()
    mover, identity = Mover(home.path, loop), open_identity(home.path, clock)
    bytes_max = arguments.store_bytes_max or STORE_BYTES_MAX
    with (
        closing(open_store(home.artifacts, bytes_max=bytes_max)) as store,
        ThreadPoolExecutor(_THREADS) as threads,
        closing(PackageOrigin(home.run / "packages")) as packages,
        closing(_origins(arguments, packages)) as origins,
        closing(mover),
        closing(Arriving(Path(arguments.arriving))) as arriving,
    ):
        catalogue = Catalogue(home.models)
        holdings = Holdings(store, catalogue)
        library = Library(holdings, lambda: mover.others, Coding(lambda: mover.flows.measured))
        parts = Parts(
            around=Around(
                me=identity.pop_id,
                site=lambda: mover.others.site,
                client=lambda: mover.client,
                listens=lambda: mover.listens,
                threads=threads,
                clock=clock,
                uplink=lambda: mover.flows.measured,
                rates=mover.rates,
            ),
            holdings=holdings,
            origins=origins,
            catalogue=catalogue,
            identity=identity,
            arriving=arriving,
            others=lambda: mover.others,
            folder=home.artifacts,
            bytes_max=bytes_max,
        )
        async with owned_tasks() as tasks:
            desk = Desk(parts, library, tasks, mover.changed)
            scrubbing = tasks.create_task(desk.scrub())
            try:
                yield _handler(
                    _routes(mover, desk, library, Segments(parts, desk))
                    | pipeline_routes(Pipelines(parts, mover.changed)),
                    arguments.key,
                )
            finally:
                scrubbing.cancel()
                desk.close()
                library.let_go()


def _origins(arguments: MoverArguments, packages: Origin) -> OriginsNow:
    """All origins, with what the home has for them, or else the environment."""
    endpoint, token = arguments.hub_endpoint, arguments.hub_token
    known = {urlsplit(endpoint).netloc.lower(): Credential(token)} if token else {}
    settings = OriginsSettings(known, hub_endpoint=endpoint)
    return OriginsNow(settings, CredentialFile(Path(arguments.home)), packages)


def _handler(table: dict[str, dict[str, Route]], key: str) -> Handler:
    routes = Routes(table)

    async def handle(request: Request, responder: Responder) -> None:
        if not compare_digest((key_of(request.headers) or "").encode(), key.encode()):
            raise KeyRejectedError("only this mover's PoP may ask it")
        route, rest = routes.find(request.method, request.path)
        await route.serve(request, responder, _THE_POP, rest)

    return handle


def _routes(
    mover: Mover, desk: Desk, library: Library, segments: Segments
) -> dict[str, dict[str, Route]]:
    async def fleet(request: Request, responder: Responder, _: Caller, __: str) -> None:
        mover.told(msgspec.json.decode(request.body, type=FleetTold), desk, library)
        await send_json(responder, 200, Nothing())

    async def at_work(request: Request, responder: Responder, _: Caller, __: str) -> None:
        mover.attend(msgspec.json.decode(request.body, type=AtWork))
        await send_json(responder, 200, Nothing())

    async def said(_: Request, responder: Responder, __: Caller, number: str) -> None:
        await send_json(responder, 200, await mover.said(int(number), desk))

    async def keep(request: Request, responder: Responder, _: Caller, __: str) -> None:
        made = msgspec.json.decode(request.body, type=SegmentsMade)
        await send_json(responder, 200, await segments.keep(made))

    async def drop(_: Request, responder: Responder, __: Caller, name: str) -> None:
        await send_json(responder, 200, await segments.drop(artifact_id(name)))

    own = {
        AT_WORK: {"POST": Route(at_work)},
        FLEET: {"POST": Route(fleet)},
        f"{SAID}/": {"GET": Route(said)},
        SEGMENTS: {"POST": Route(keep)},
        f"{SEGMENTS}/": {"DELETE": Route(drop)},
    }
    return {**delivery_routes(desk), **own}


if __name__ == "__main__":
    main()
