"""The story of delivery: its steps in order, each with what was measured.

    1  three machines, and none has the model     4  a bit flips on the disk of one
    2  all three want it at once                  5  it is found and mended; the third has it too
    3  one is killed in the middle, and goes on   6  the model is asked at every PoP

What is pulled in steps 3 to 5 is a fine-tune of the model: the same file, but for one layer.

Rules
- What is told is read off pulls, logs and the origin's own count. A step that comes out otherwise
  is an error.
- Nothing waits for a time to pass: each wait is for something to be so, with a deadline.
"""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from littoral.adapters.addresses import free_port
from littoral.adapters.artifacts import Shelf
from littoral.adapters.models import Catalogue
from littoral.adapters.slow_link import Address, Pace, slow_link
from littoral.delivery.gguf import parse_gguf
from littoral.node.asking import client_of
from littoral.node.demo.client import Asking, seconds
from littoral.node.demo.delivered import (
    Arrived,
    Asked,
    Caught,
    Delivered,
    Lacking,
    Mended,
    Place,
    Resumed,
    Shared,
)
from littoral.node.demo.machines import Network, Process, machines, until
from littoral.node.demo.outlet import Outlet, outlet
from littoral.node.demo.story import MODEL
from littoral.node.demo.told import Answer, Begins
from littoral.node.home import Home
from littoral.terms.delivery import (
    Nothing,
    PlanShown,
    PullShown,
    PullStage,
    PullWanted,
    StoreShown,
    Verified,
)
from littoral.terms.errors import DemoFailedError, LittoralError
from littoral.terms.fabric import InviteWanted, TicketShown
from littoral.terms.ids import ArtifactId
from littoral.terms.ports import Clock
from littoral.terms.values import Source
from littoral.web.delivery import DELIVERY
from littoral.web.fabric import FABRIC

__all__ = ["Deliveries", "DeliveryStep", "delivered"]

DeliveryStep = Begins | Lacking | Shared | Resumed | Caught | Mended | Asked
Hear = Callable[[DeliveryStep], None]

_HOST: Final = "127.0.0.1"
_PACE: Final = Pace(delay_s=0.02, bytes_per_s=16e6)
_FRANCE: Final = "Which city is the capital of France?"
_WAIT_S: Final = 60.0
_COPIES_MAX: Final = 1.1
_LAYER: Final = "blk.15.ffn_up.weight"
_MIDDLE: Final = 0.6


@dataclass(frozen=True, slots=True)
class _Tuned:
    """A fine-tune of the model: one layer is another."""

    path: Path
    start: int
    size_bytes: int
    """Of the layer."""


async def delivered(catalogue: Catalogue, clock: Clock, hear: Hear) -> Delivered:
    """Tell all of it. When this ends, however it does, so have all processes.

    Args:
        catalogue: has `MODEL`.
        clock: for keys and times.
        hear: is told of each step as it comes.

    Raises:
        DemoFailedError: a step came out otherwise; the PoPs' last words are in its details.
        what starting PoPs and asking them raises.
    """
    began = clock.now()
    entry = catalogue.get(MODEL)
    weights = Path(entry.files[0].path)
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(machines(catalogue))
        tuned = await asyncio.to_thread(_tune, weights, network.folder / "tuned.gguf")
        files = {f"/{MODEL}.gguf": weights, "/tuned.gguf": tuned.path}
        origin = await stack.enter_async_context(outlet(files))
        link = await stack.enter_async_context(slow_link(Address(_HOST, origin.port), _PACE))
        port = free_port(_HOST)
        far = await stack.enter_async_context(slow_link(Address(_HOST, port), _PACE))
        all_of_it = [
            network.machine("paris 1", (), "--site", "paris", "--mover-port", "0"),
            network.machine("paris 2", (), "--mover-port", "0"),
            network.machine(
                *("lyon", (), "--mover-port", str(port)),
                *("--mover-address", f"{_HOST}:{far.port}"),
            ),
        ]
        story = Deliveries(network, clock, origin, f"http://{_HOST}:{link.port}", all_of_it)
        steps = await story.tell(hear, tuned)
    return Delivered(*steps, seconds=seconds(clock.now() - began))


def _tune(weights: Path, path: Path) -> _Tuned:
    """Make the fine-tune. Blocks."""
    shutil.copyfile(weights, path)
    with path.open("r+b") as file:
        layout = parse_gguf(path.name, path.stat().st_size, file.read)
        starts = sorted(tensor.start for tensor in layout.tensors)
        start = next(tensor.start for tensor in layout.tensors if tensor.name == _LAYER)
        size = starts[starts.index(start) + 1] - start
        file.seek(start)
        layer = file.read(size)
        file.seek(start)
        file.write(bytes(byte ^ 1 for byte in layer))
    return _Tuned(path, start, size)


class Deliveries:
    """One telling."""

    def __init__(
        self, network: Network, clock: Clock, origin: Outlet, url: str, all_of_it: list[Process]
    ) -> None:
        """Nothing runs yet.

        Args:
            network: where machines run.
            clock: for times.
            origin: counts what leaves it.
            url: by which the machines reach it.
            all_of_it: two machines of one site, and one that is far.
        """
        self._network = network
        self._clock = clock
        self._origin = origin
        self._model, self._tuned = f"{url}/{MODEL}.gguf", f"{url}/tuned.gguf"
        self._all = all_of_it
        self._first, self._second, self._third = all_of_it

    async def tell(
        self, hear: Hear, tuned: _Tuned
    ) -> tuple[Lacking, Shared, Resumed, Caught, Mended, Asked]:
        """All six steps.

        Args:
            hear: is told of each step.
            tuned: the fine-tune.
        """
        hear(Begins(1))
        hear(lacking := await self._form())
        hear(Begins(2))
        hear(shared := await self._share())
        hear(Begins(3))
        hear(resumed := await self._resume())
        hear(Begins(4))
        hear(caught := await self._catch(tuned))
        hear(Begins(5))
        hear(mended := await self._mend(caught.arrived.artifact))
        hear(Begins(6))
        hear(asked := await self._ask())
        return lacking, shared, resumed, caught, mended, asked

    # --- the steps ------------------------------------------------------------------------------

    async def _form(self) -> Lacking:
        began = self._clock.now()
        await self._network.start(self._first, "up")
        async with client_of(self._first.running()) as owner:
            for machine, site in ((self._second, "paris"), (self._third, "lyon")):
                wanted = InviteWanted(site=site, zone="eu")
                made = await owner.post(f"{FABRIC}/invites", wanted, TicketShown)
                await self._network.start(machine, "join", made.ticket)
        await self._all_known()
        seen = self._clock.now()
        async with client_of(self._first.running()) as client:
            rows = {row.pop: row for row in (await Asking(client, {}, self._clock).fabric()).pops}
            refused = ""
            try:
                await client.chat(MODEL, [{"role": "user", "content": _FRANCE}], {}, lambda _: None)
            except LittoralError as error:
                refused = error.message
        if not refused:
            raise DemoFailedError("a model that nobody has was answered for")
        places = (Place(each.name, each.pop, rows[each.pop].site) for each in self._all)
        link = _PACE.delay_s * 1000, _PACE.bytes_per_s
        return Lacking(tuple(places), MODEL, refused, seconds(seen - began), *link)

    async def _share(self) -> Shared:
        before = self._origin.left_bytes
        async with asyncio.TaskGroup() as tasks:
            pulls = [tasks.create_task(self._pull(each, self._model, MODEL)) for each in self._all]
        shared = Shared(tuple(each.result() for each in pulls), self._origin.left_bytes - before)
        if shared.copies > _COPIES_MAX:
            raise DemoFailedError(f"{shared.copies:.2f} copies have left the origin")
        return shared

    async def _resume(self) -> Resumed:
        before, machine = self._origin.left_bytes, self._first
        async with client_of(machine.running()) as client:
            begun = await client.post(f"{DELIVERY}/pulls", PullWanted(self._tuned), PullShown)

            async def in_the_middle() -> int | None:
                shown = await client.get(f"{DELIVERY}/pulls/{begun.id}", PullShown)
                here, size = shown.here_bytes, shown.size_bytes
                return here if size and here >= _MIDDLE * size else None

            here = await until(f"{machine.name} has most of it", _WAIT_S, in_the_middle)
        await machine.killed()
        await self._network.start(machine, "up")
        arrived = await self._pull(machine, self._tuned)
        if not arrived.reused_bytes:
            raise DemoFailedError("nothing of a pull that was killed has stayed")
        return Resumed(here, arrived, self._origin.left_bytes - before)

    async def _catch(self, tuned: _Tuned) -> Caught:
        machine = self._second
        await self._offered(machine)
        async with client_of(machine.running()) as client:
            plan = await client.post(f"{DELIVERY}/plan", PullWanted(self._tuned), PlanShown)
        assert plan.artifact is not None, "it is offered"
        at = tuned.start + tuned.size_bytes // 2
        await asyncio.to_thread(_flip, self._first, plan.artifact, at)
        arrived = await self._pull(machine, self._tuned)
        words = f"{self._first.pop} gave wrong bytes"

        async def logged() -> str | None:
            lines = (Home(machine.home).logs / "mover.log").read_text().splitlines()
            return next((line for line in lines if words in line), None)

        log = await until(f"{machine.name} names who gave wrong bytes", _WAIT_S, logged)
        return Caught(_LAYER, tuned.size_bytes, at, log, arrived)

    async def _mend(self, artifact: ArtifactId) -> Mended:
        before = self._origin.left_bytes
        async with client_of(self._first.running()) as client:
            found = await client.post(f"{DELIVERY}/verify", Nothing(), Verified)
        if not any(artifact in line for line in found.rotten):
            raise DemoFailedError("a flipped bit was not found")
        await self._offered(self._first, by=self._second)
        mended = await self._pull(self._first, self._tuned)
        await self._offered(self._third)
        third = await self._pull(self._third, self._tuned)
        return Mended(found.rotten, mended, third, self._origin.left_bytes - before)

    async def _ask(self) -> Asked:
        names = {each.pop: each.name for each in self._all}

        async def ask(machine: Process) -> Answer:
            async with client_of(machine.running()) as client:
                asking = Asking(client, names, self._clock)
                return (await asking.ask(MODEL, _FRANCE, Source.COMPUTED, machine.name))[0]

        async with asyncio.TaskGroup() as tasks:  # else the first to have it loaded answers for all
            asked = [tasks.create_task(ask(machine)) for machine in self._all]
        return Asked(tuple(each.result() for each in asked))

    # --- their parts ----------------------------------------------------------------------------

    async def _pull(self, machine: Process, reference: str, name: str | None = None) -> Arrived:
        began = self._clock.now()
        async with client_of(machine.running()) as client:
            wanted = PullWanted(reference, name)
            begun = await client.post(f"{DELIVERY}/pulls", wanted, PullShown)

            async def over() -> PullShown | None:
                shown = await client.get(f"{DELIVERY}/pulls/{begun.id}", PullShown)
                return shown if shown.stage.over else None

            shown = await until(f"{machine.name} has {reference}", _WAIT_S, over)
        if shown.stage is not PullStage.DONE or shown.artifact is None:
            raise DemoFailedError(f"{machine.name} does not get {reference}: {shown.error}")
        return Arrived(
            name=machine.name,
            artifact=shown.artifact,
            size_bytes=shown.size_bytes,
            origin_bytes=shown.origin_bytes,
            neighbour_bytes=shown.neighbour_bytes,
            reused_bytes=shown.reused_bytes,
            seconds=seconds(self._clock.now() - began),
        )

    async def _offered(self, machine: Process, by: Process | None = None) -> None:
        """Wait until a machine knows that another has the fine-tune."""
        async with client_of(machine.running()) as client:

            async def offered() -> bool | None:
                plan = await client.post(f"{DELIVERY}/plan", PullWanted(self._tuned), PlanShown)
                sources = {source for source, _ in plan.sources}
                return True if sources and (by is None or by.pop in sources) else None

            await until(f"{machine.name} knows who has it", _WAIT_S, offered)

    async def _all_known(self) -> None:
        """Wait until each machine knows both others, and where they deliver from."""
        for machine in self._all:
            async with client_of(machine.running()) as client:
                await client.get(f"{DELIVERY}/store", StoreShown)  # its mover runs
        for machine in self._all:
            async with client_of(machine.running()) as client:
                asking = Asking(client, {}, self._clock)

                async def knows(asking: Asking = asking) -> bool | None:
                    rows = (await asking.fabric()).pops
                    reached = [row for row in rows if row.reach == "direct" and row.mover_address]
                    return True if len(reached) == len(self._all) - 1 else None

                await until(f"{machine.name} knows both others", _WAIT_S, knows)


def _flip(machine: Process, artifact: ArtifactId, at: int) -> None:
    """Flip one bit of a file of an artifact, as a disk does that rots. Blocks."""
    with Shelf(Home(machine.home).artifacts).hold(artifact) as held:
        path = held.paths[0]
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    path.chmod(0o444)
