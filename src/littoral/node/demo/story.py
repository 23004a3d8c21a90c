"""The story: its steps in order, each with what was measured and why it came out so.

    1  three machines become one network         4  the nearest dies
    2  a client asks one that has no model       5  somebody wants in who may not
    3  the same question again                   6  an answer and its receipt

Rules
- What is told is read off responses, logs and clocks. A step that comes out otherwise is an error.
- Nothing waits for a time to pass: each wait is for something to be so, with a deadline.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from littoral.adapters.addresses import free_port
from littoral.adapters.identity import PUBLIC_KEY_FILE, read_public_keys
from littoral.adapters.models import Catalogue
from littoral.adapters.owner import FabricFiles
from littoral.adapters.slow_link import Address, Pace, slow_link
from littoral.node.asking import Reply, client_of
from littoral.node.demo.client import Asking, milliseconds, seconds
from littoral.node.demo.forger import Forger
from littoral.node.demo.machines import Network, Process, machines, until
from littoral.node.demo.proof import prove
from littoral.node.demo.told import (
    Answer,
    Begins,
    FailedOver,
    Formed,
    Machine,
    Nearest,
    Proven,
    Refused,
    Repeated,
    Told,
)
from littoral.terms.errors import DemoFailedError, TicketRejectedError
from littoral.terms.fabric import InviteWanted, PopRow, TicketShown
from littoral.terms.ids import ModelName, model_name
from littoral.terms.ports import Clock
from littoral.terms.values import Source
from littoral.trust.members import Member
from littoral.web.fabric import FABRIC

__all__ = ["LARGER", "MODEL", "Step", "Story", "told"]

MODEL: Final = model_name("smollm2-135m")
LARGER: Final = model_name("qwen2.5-coder-1.5b")
"""What the origin has beside it, where it was added before."""

Step = Begins | Formed | Nearest | Repeated | FailedOver | Refused | Proven
Hear = Callable[[Step], None]

_HOST: Final = "127.0.0.1"
_PACE: Final = Pace(delay_s=0.04, bytes_per_s=4e6)
_FRANCE: Final = "What is the capital of France?"
_ITALY: Final = "What is the capital of Italy?"
_CODE: Final = "Write a Python function that adds two numbers. Only the code."
_WAIT_S: Final = 20.0
_FRESH_S: Final = 1.0
"""What a PoP said longer ago counts less, and a farther one may be tried instead. A machine that is
busy may take a near one for far at first; it is measured again every limits.LINK_S."""


async def told(
    catalogue: Catalogue,
    clock: Clock,
    hear: Hear,
    kept: Callable[[Told, "Story"], None] | None = None,
) -> Told:
    """Tell all of it. When this ends, however it does, so have all processes.

    Args:
        catalogue: has `MODEL`, and `LARGER` or not.
        clock: for keys and times.
        hear: is told of each step as it comes.
        kept: is told that the story is over and all machines run; then they run until this is
            cancelled.

    Raises:
        DemoFailedError: a step came out otherwise; the PoPs' last words are in its details.
        what starting PoPs and asking them raises.
    """
    began = clock.now()
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(machines(catalogue))
        port = free_port(_HOST)
        link = await stack.enter_async_context(slow_link(Address(_HOST, port), _PACE))
        larger = (LARGER,) if catalogue.has(LARGER) else ()
        origin = network.machine(
            "origin",
            (MODEL, *larger),
            *("--site", "origin", "--zone", "us", "--fabric-address", f"{_HOST}:{link.port}"),
            fabric_port=port,
        )
        edges = network.machine("edge 1", ()), network.machine("edge 2", (MODEL,))
        story = Story(network, clock, hear, *edges, origin)
        steps = await story.tell(larger)
        if kept is not None:
            await story.bring_back()
            kept(Told(*steps, seconds=seconds(clock.now() - began)), story)
            await asyncio.Event().wait()
    return Told(*steps, seconds=seconds(clock.now() - began))


class Story:
    """One telling."""

    def __init__(
        self,
        network: Network,
        clock: Clock,
        hear: Hear,
        gateway: Process,
        edge: Process,
        origin: Process,
    ) -> None:
        """Nothing runs yet.

        Args:
            network: where machines run.
            clock: for keys and times.
            hear: is told of each step.
            gateway: whom clients ask; it has no model.
            edge: has `MODEL`, and is near.
            origin: has it too, and is far.
        """
        self._network = network
        self._clock = clock
        self._hear = hear
        self.gateway: Final = gateway
        self._edge = edge
        self._origin = origin
        self.all: Final = (gateway, edge, origin)
        self._tickets: list[str] = []

    async def tell(
        self, larger: tuple[ModelName, ...]
    ) -> tuple[Formed, Nearest, Repeated, FailedOver, Refused, Proven]:
        """All six steps.

        Args:
            larger: models that only the origin has.
        """
        self._hear(Begins(1))
        formed = await self._form()
        self._hear(formed)
        async with client_of(self.gateway.running()) as client:
            asking = Asking(client, {each.pop: each.name for each in self.all}, self._clock)
            self._hear(Begins(2))
            nearest, reply = await self._nearest(asking, larger)
            self._hear(nearest)
            self._hear(Begins(3))
            repeated = await self._repeat(asking, nearest.answer)
            self._hear(repeated)
            self._hear(Begins(4))
            failed_over = await self._fail_over(asking)
            self._hear(failed_over)
        self._hear(Begins(5))
        refused = await self._refuse(formed)
        self._hear(refused)
        self._hear(Begins(6))
        files = [each.home / PUBLIC_KEY_FILE for each in self.all]
        proven = prove(reply, {key for file in files for key in read_public_keys(file)})
        self._hear(proven)
        return formed, nearest, repeated, failed_over, refused, proven

    async def bring_back(self) -> None:
        """Start the machine again that was killed, and wait until all know each other again.

        Raises:
            DemoFailedError: they do not.
        """
        await self._network.start(self._edge, "up")
        await self._all_known()

    # --- the steps ------------------------------------------------------------------------------

    async def _form(self) -> Formed:
        began = self._clock.now()
        await self._network.start(self._origin, "up")
        first = self._clock.now()
        async with client_of(self._origin.running()) as owner:
            for machine in (self.gateway, self._edge):
                wanted = InviteWanted(site="paris", zone="eu")
                made = await owner.post(f"{FABRIC}/invites", wanted, TicketShown)
                self._tickets.append(made.ticket)
                await self._network.start(machine, "join", made.ticket)
        joined = self._clock.now()
        await self._all_known()
        seen = self._clock.now()
        async with client_of(self.gateway.running()) as client:
            shown = await Asking(client, {}, self._clock).fabric()
        rows = {row.pop: row for row in shown.pops}
        return Formed(
            owner=shown.owners[0].owner,
            machines=tuple(_machine(each, rows[each.pop]) for each in self.all),
            first_s=seconds(first - began),
            joined_s=seconds(joined - first),
            seen_s=seconds(seen - joined),
            delay_ms=_PACE.delay_s * 1000,
            bytes_per_s=_PACE.bytes_per_s,
        )

    async def _nearest(
        self, asking: Asking, larger: tuple[ModelName, ...]
    ) -> tuple[Nearest, Reply]:
        async def near() -> bool | None:
            edge, origin = [await asking.row(each.pop) for each in (self._edge, self._origin)]
            if edge.heard_s is None or edge.rtt_ms is None or origin.rtt_ms is None:
                return None
            return True if edge.heard_s < _FRESH_S and 2 * edge.rtt_ms < origin.rtt_ms else None

        await until("edge 1 has fresh word of edge 2, and it is near", _WAIT_S, near)
        answer, reply = await asking.ask(MODEL, _FRANCE, Source.NEIGHBOUR, self._edge.name)
        far: Answer | None = None
        for model in larger:
            far, _ = await asking.ask(model, _CODE, Source.NEIGHBOUR, self._origin.name)
        return Nearest(answer, far), reply

    async def _repeat(self, asking: Asking, before: Answer) -> Repeated:
        answer, _ = await asking.ask(MODEL, _FRANCE, Source.CACHE, self.gateway.name)
        if answer.text != before.text:
            raise DemoFailedError("the cache gave another answer than was given before")
        return Repeated(answer)

    async def _fail_over(self, asking: Asking) -> FailedOver:
        async def gone() -> bool | None:
            return True if (await asking.row(self._edge.pop)).reach == "gone" else None

        async def planned_anew() -> bool | None:
            named = any(self._edge.pop in line for line in await asking.route(MODEL, _ITALY))
            return None if named else True

        began = self._clock.now()
        self._edge.kill()
        await until("edge 1 knows that edge 2 is gone", _WAIT_S, gone)
        gone_ms = milliseconds(self._clock.now() - began)
        await until("edge 1 plans without edge 2", _WAIT_S, planned_anew)
        answer, _ = await asking.ask(MODEL, _ITALY, Source.NEIGHBOUR, self._origin.name)
        return FailedOver(self._edge.name, gone_ms, answer)

    async def _refuse(self, formed: Formed) -> Refused:
        gateway = self.gateway
        (posed,) = [each for each in formed.machines if each.pop == self._edge.pop]
        member = Member(formed.owner, posed.zone, posed.site, posed.pop)
        forger = Forger(member, self._network.folder / "forger", self._clock)
        forger.forge(FabricFiles(gateway.home))
        async with forger.saying(gateway.state_port) as names:
            dialled = await forger.dial(gateway.fabric_port)
            said = await forger.dial(gateway.state_port)
            log = await _logged(gateway, "connections refused that")
            thief = str(self._network.folder / "thief")
            stolen = await self._network.run("join", self._tickets[0], "--only", "--home", thief)
            if stolen.code != TicketRejectedError.exit_code:
                raise DemoFailedError(f"a ticket was used twice ({stolen.errors.strip()[-200:]})")
            stolen_log = await _logged(self._origin, "used_up")
            if links := names.linked():
                raise DemoFailedError(f"a forged PoP has {links} links to the fabric")
        return Refused(
            claimed=member.name,
            dialled=dialled,
            said=said,
            links=links,
            log=log,
            stolen=stolen.errors.strip().splitlines()[-1].removeprefix("error: "),
            stolen_log=stolen_log,
        )

    async def _all_known(self) -> None:
        """Wait until each machine knows both others, how far they are, and what they have."""
        warm = sum(bool(each.models) for each in self.all)
        for machine in self.all:
            async with client_of(machine.running()) as client:
                asking = Asking(client, {}, self._clock)

                async def knows(asking: Asking = asking) -> bool | None:
                    rows = (await asking.fabric()).pops
                    reached = [row for row in rows if row.reach in {"direct", "here"}]
                    measured = [row for row in reached if row.rtt_ms is not None]
                    having = [row for row in reached if MODEL in _warm(row)]
                    found = (len(measured), len(having)) == (len(self.all) - 1, warm)
                    return True if found else None

                await until(f"{machine.name} knows both others", _WAIT_S, knows)


async def _logged(machine: Process, words: str) -> str:
    """The line of a machine's log that has these words, as soon as it is there."""

    async def look() -> str | None:
        return next((line for line in machine.logged() if words in line), None)

    return await until(f"{machine.name} logs `{words}`", _WAIT_S, look)


def _machine(process: Process, row: PopRow) -> Machine:
    return Machine(
        name=process.name,
        pop=process.pop,
        zone=row.zone,
        site=row.site,
        models=_warm(row),
        ready_s=process.ready_s,
        rtt_ms=row.rtt_ms,
    )


def _warm(row: PopRow) -> tuple[ModelName, ...]:
    return tuple(each.name for each in row.models if each.warmth == "warm")
