"""Movers as PoPs have them, in this process: real stores, links and pulls, on loopback."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path

from littoral.adapters.artifacts import open_store
from littoral.adapters.clock import SystemClock
from littoral.adapters.models import Catalogue
from littoral.adapters.moving.access import Access
from littoral.adapters.moving.client import Client
from littoral.adapters.moving.flows import Flows
from littoral.adapters.moving.server import Server
from littoral.adapters.origins import OriginsSettings
from littoral.adapters.origins.kept import CredentialFile, OriginsNow
from littoral.adapters.owner import Owner
from littoral.adapters.owner.contexts import Contexts
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
from littoral.node.delivery.words import FleetTold, PeerTold, ReadersTold
from littoral.node.drive import owned_tasks
from littoral.terms.delivery import PullShown, PullWanted
from littoral.terms.ids import SiteName
from tests.adapters.moving.made import a_pop, an_owner, now
from tests.adapters.owner.made import identity

PULL_WAIT_S = 60.0


class Node:
    """One PoP's mover, without its PoP."""

    def __init__(self, home: Path, owner: Owner, number: int, tasks: asyncio.TaskGroup) -> None:
        files = a_pop(home, owner, number)
        own = files.own()
        assert own is not None
        self.member = own.member
        self._held = ExitStack()
        loop, clock = asyncio.get_running_loop(), SystemClock()
        threads = self._held.enter_context(ThreadPoolExecutor(4))
        origins = OriginsNow(OriginsSettings(), CredentialFile(home))
        self._held.callback(origins.close)
        self.store = self._held.enter_context(
            closing(open_store(home / "artifacts", bytes_max=2**34))
        )
        self.others = Others(FleetTold(SiteName("attic"), ()))
        self.uplink_bytes_s: float | None = None
        """What its uplink is said to carry."""
        self.access = Access(Contexts(files, lambda _: None), now())
        self.client = Client(loop, self.access)
        self.flows = Flows(loop, lambda: 0)
        self.holdings = Holdings(self.store, Catalogue(home / "models"))
        coding = Coding(lambda: self.uplink_bytes_s)
        self.library = Library(self.holdings, lambda: self.others, coding)
        self.server = Server(loop, self.access, self.library, self.flows)
        self.port = self.server.listen("127.0.0.1", 0)
        parts = Parts(
            around=Around(
                me=self.member.pop,
                site=lambda: SiteName("attic"),
                client=lambda: self.client,
                listens=lambda: True,
                threads=threads,
                clock=clock,
                uplink=lambda: self.uplink_bytes_s,
                rates=Rates(),
            ),
            holdings=self.holdings,
            origins=origins,
            catalogue=Catalogue(home / "models"),
            identity=identity(number),
            others=lambda: self.others,
            folder=home / "artifacts",
            bytes_max=2**34,
            arriving=self._held.enter_context(closing(Arriving(home / "arriving"))),
        )
        self.desk = Desk(parts, self.library, tasks, lambda: None)
        self.pipelines = Pipelines(parts, lambda: None)
        self.segments = Segments(parts, self.desk)

    async def pulled(self, reference: str, base: str | None = None) -> PullShown:
        """A pull of something, once it has ended."""
        pull = await self.desk.pull(PullWanted(reference, base=base))
        deadline = asyncio.get_running_loop().time() + PULL_WAIT_S
        while not pull.stage.over:
            assert asyncio.get_running_loop().time() < deadline, pull
            await asyncio.sleep(0.01)
            pull = await self.desk.pulled(pull.id)
        return pull

    def told(self) -> PeerTold:
        """What it says of itself."""
        address = f"127.0.0.1:{self.port}"
        return PeerTold.of(self.member, address, self.desk.deliveries(), own=True)

    def meet(self, others: Sequence[PeerTold], readers: Sequence[ReadersTold] = ()) -> None:
        """The others are these now, and segments may go to these."""
        told = FleetTold(SiteName("attic"), tuple(others), readers=tuple(readers))
        self.others = Others(told)
        self.access.allow(self.others.names)
        self.desk.meet(self.others)

    def close(self) -> None:
        """Let go of everything, once its pulls have ended."""
        self.library.let_go()
        self.server.close()
        self.client.close()
        self._held.close()


def acquainted(*nodes: Node, readers: Sequence[ReadersTold] = ()) -> None:
    """Each knows what all others have now, and to whom segments may go."""
    told = [node.told() for node in nodes]
    for node in nodes:
        node.meet([each for each in told if each.pop != node.member.pop], readers)


@asynccontextmanager
async def nodes(folder: Path, count: int) -> AsyncIterator[list[Node]]:
    """So many, of one owner; they know nothing of each other yet."""
    owner = an_owner(folder / "owner")
    made: list[Node] = []
    try:
        async with owned_tasks() as tasks:
            made += [
                Node(folder / f"pop{number}", owner, number, tasks)
                for number in range(1, count + 1)
            ]
            try:
                yield made
            finally:
                for node in made:
                    node.desk.close()
    finally:
        for node in made:
            node.close()
