"""This PoP's membership in the fabric, from its first invitation to its end.

    alone --turn_on: it invites, or has joined--> member --end--> over
    alone, its certificate ran out --renewed--> member

A member listens for other PoPs, says what it is, hears what they are, has their models as guests,
measures the links to them, keeps its certificate good, and passes owners' words on. A PoP that is
alone does none of this, and loads none of what it takes.

Rules
- What goes wrong between PoPs never ends this one: it serves its clients whatever the fabric is.
- What happens is told in facts and in the log, on each side.
"""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

from msgspec import structs

from littoral.adapters.cores import granted_memory_bytes
from littoral.adapters.fabric import ZenohNames
from littoral.adapters.identity import verify
from littoral.adapters.owner import Checked, FabricFiles, open_owner
from littoral.adapters.upstreams.upstreams import Neighbourhood
from littoral.adapters.upstreams.words import Errand, Followed
from littoral.node.config import Config
from littoral.node.delivery.telling import listen_of
from littoral.node.fabric.calls import Calls
from littoral.node.fabric.certificate import Certificate
from littoral.node.fabric.guests import Guests
from littoral.node.fabric.holding import Holding
from littoral.node.fabric.joining import controls, newcomers
from littoral.node.fabric.learning import Learning
from littoral.node.fabric.links import Links
from littoral.node.fabric.memory import KnownPop, known_of, recall, remember
from littoral.node.fabric.missing import Missing
from littoral.node.fabric.parting import Parting
from littoral.node.fabric.peers import Peers
from littoral.node.fabric.placed import listening_host, place_of, seeds_of, state_place
from littoral.node.fabric.ranking import Ranking
from littoral.node.fabric.registrar import Registrar
from littoral.node.fabric.relaying import Relaying
from littoral.node.fabric.saying import state_of
from littoral.node.fabric.speaking import Speaking
from littoral.node.fabric.standing import Standing
from littoral.node.fabric.surroundings import Surroundings
from littoral.node.fabric.view import FleetView
from littoral.node.fabric.words import Words
from littoral.node.neighbours import Fabric
from littoral.node.opened import Opened
from littoral.routing.fleet import Fleet, PopState
from littoral.routing.prices import prices_of
from littoral.terms.errors import (
    IdentityError,
    LittoralError,
    OwnerKeyAwayError,
)
from littoral.terms.facts import Fact, MemberJoined
from littoral.terms.ids import ModelName, OwnerId, PopId
from littoral.terms.limits import KNOWN_POPS_MAX
from littoral.terms.values import SECOND
from littoral.trust.records import Record
from littoral.web import certificate as shown_by
from littoral.web.listener import Bind

__all__ = ["Membership"]

log = logging.getLogger("littoral")

_MILLISECOND: Final = 1_000_000


class Membership:
    """Of one PoP."""

    def __init__(self, config: Config, opened: Opened, tasks: asyncio.TaskGroup) -> None:
        """Be alone yet.

        Args:
            config: where to listen.
            opened: the home's.
            tasks: own what goes on meanwhile.
        """
        self._config = config
        self._opened = opened
        self._clock = opened.clock
        self._tasks = tasks
        self.dials_out: Final = config.fabric_dials_out
        self.files: Final = FabricFiles(config.home)
        self.certificate: Final = Certificate(
            *(config.home, opened.identity, opened.clock, self.registrar),
            place=(config.zone, config.site),
        )
        self.neighbourhood: Final = Neighbourhood(
            *(self._client, self._rank, self._follow),
            held=lambda pop: self._in_it().relaying.line(pop),  # noqa: PLW0108 - not before
        )
        self.learning: Final = Learning(
            opened.clock, kv_tokens=config.kv_tokens, at_work=self._at_work
        )
        self._prices: Final = prices_of(config.prices)
        self.standing: Standing | None = None
        """What there is while this PoP is a member; None while it is alone."""
        self._guests = Guests()
        self._surroundings: Surroundings | None = None
        self._stack = AsyncExitStack()
        self._turning = asyncio.Lock()
        self._running: list[asyncio.Task[None]] = []
        self._drains = False

    def attach(self, surroundings: Surroundings) -> None:
        """Know the rest of the PoP."""
        self._surroundings = surroundings

    @property
    def around(self) -> Surroundings:
        """The rest of the PoP."""
        assert self._surroundings is not None, "attached before"
        return self._surroundings

    # --- its life -------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Be a member again, if this PoP was one.

        Raises:
            IdentityError, PortInUseError, ConfigError: what was joined can't be taken up.
        """
        if not self.certificate.had:
            return
        if self.certificate.left_s() > 0 or self.registrar() is not None:
            await self.turn_on()
        else:
            back = self.certificate.come_back(Calls(self._client), self.turn_on)
            self._running.append(self._tasks.create_task(back))

    async def turn_on(self) -> Standing:
        """Be a member from now on, if this PoP is none yet.

        Raises:
            As `begin`; then all is as it was.
        """
        async with self._turning:
            if self.standing is not None:
                return self.standing
            if self.certificate.due() and self.registrar() is not None:
                self.certificate.found()
            stack = AsyncExitStack()
            try:
                standing = self.standing = await self._stand(stack)
                # All that comes is heard: what is said once is not said again.
                hear = standing.view.hear
                await standing.names.open(
                    lambda heard: hear(heard, self._clock.now(), self._unix_s())
                )
            except BaseException:
                self.standing = None
                await stack.aclose()
                raise
            self._stack = stack
            standing.speaking.say_card(self.files.shown())
            self.words_changed()
            for work in (*standing.works(), self._look(), self._renew(), *self.around.works()):
                self._running.append(self._tasks.create_task(work))
            return standing

    async def end(self) -> None:
        """Leave, so that all others hear it at once."""
        for task in self._running:
            task.cancel()
        self.standing = None
        await self._stack.aclose()

    def observe(self, fact: Fact) -> None:
        """Learn from what happens to this PoP's own models."""
        self.learning.observe(fact)
        self.changed()

    def changed(self) -> None:
        """There may be something else to say of this PoP."""
        if self.standing is not None:
            self.standing.speaking.changed.set()

    def registrar(self) -> Registrar | None:
        """The issuing side, where this PoP may issue."""
        members = self._opened.store.members
        try:
            owner = open_owner(self._config.home, self._clock)
        except OwnerKeyAwayError:
            return None
        return Registrar(owner, members, self._clock, self._certified, seeds=self.seeds)

    def _certified(self, fact: Fact) -> None:
        """This PoP has acted for its owner: who is new is told to all, so that all issuers know."""
        self._opened.telemetry.observe(fact)
        if isinstance(fact, MemberJoined):
            self.words_changed()

    def seeds(self) -> Sequence[str]:
        """Endpoints at which the state of the fabric can be joined, this PoP's first."""
        standing = self.standing
        return () if standing is None else seeds_of(standing.place, standing.view.fleet)

    def draws_near(self) -> None:
        """The PoP is about to stop: say that it takes nothing new."""
        self._drains = True
        if self.standing is not None:
            self.standing.speaking.say()

    # --- putting it together ---------------------------------------------------------------------

    async def _stand(self, stack: AsyncExitStack) -> Standing:
        opened, config, home = self._opened, self._config, self._config.home
        own = self.files.own()
        assert own is not None, "it has a certificate"
        member = own.member
        memory = recall(home)
        boot = max(self._clock.unix_ns() // _MILLISECOND, memory.boot + 1)
        host, kept = listening_host(config, memory)
        remember(home, structs.replace(memory, host=kept, boot=boot))
        peers = Peers(self.files, opened.store.members, self._clock, opened.telemetry.observe)
        words = Words(opened.store.members, self.files, peers, member.owner, opened.identity)
        relaying = Relaying(member, peers.knows, self._tasks.create_task, opened.telemetry.observe)
        server = await stack.enter_async_context(
            self.around.serve(
                Fabric(
                    bind=Bind(host, config.fabric_port),
                    tls=peers.server,
                    neighbourhood=self.neighbourhood,
                    knows=peers.knows,
                    policy=words.may_ask,
                    newcomers=newcomers(self.registrar),
                    members=controls(self.registrar, self._shown, self.around.replication.answer),
                    relaying=relaying,
                )
            )
        )
        stack.callback(relaying.close)
        place = place_of(config, host, server.addresses[0][1], member.pop, boot)
        names = ZenohNames(member.pop, state_place(self.files, host, place, memory))
        view = FleetView(
            verify=verify,
            check=peers.check,
            admissible=lambda _: True,
            observe=opened.telemetry.observe,
            keeps=words.keeps,
            passed_on=lambda record: self._word(words, record),
        )
        calls = Calls(self._client)
        stack.callback(calls.close)
        links = Links(member.pop, lambda: view.fleet, calls, relaying, self._clock)
        ranking = Ranking(
            *(member, lambda: view.fleet, links.seconds, lambda _: words.owners(), self._clock),
            config.unit_worth_s,
        )
        parting = Parting(self.around.upstreams, relaying, links.ping, self._tasks)
        stack.callback(parting.close)
        view.watch(parting.look)
        view.watch(ranking.look)
        view.watch(self._seen)
        listen = listen_of(config, host, place.url)
        for watcher in self.around.join(member, words.deals, listen, names.say, self._client):
            view.watch(watcher)
        stack.callback(self.around.part)
        stack.push_async_callback(names.close)
        speaking = Speaking(
            *(opened.identity, self._clock, names, view),
            *(self._state, place.boot, opened.telemetry.observe),
        )
        holding = Holding(
            *(member, lambda: view.fleet, links.seconds, server.adopt, peers.client),
            *(self._clock, speaking.changed.set),
        )
        others = (peers, words, view, names, calls, links, ranking, place, speaking)
        missing = Missing(member.pop, lambda: view.fleet, links.ping, names.reopen, self._clock)
        return Standing(member, *others, parting, server, relaying, missing, holding)

    def _state(self, number: int) -> PopState:
        """What this PoP is now."""
        standing, around = self._in_it(), self.around
        place, links, relays = standing.place, standing.links, standing.holding.relays
        # An answer without a receipt is none to another PoP.
        halted = bool(self._opened.telemetry.receipts_halted())
        drains = self._drains or standing.words.drained(place.pop) or halted
        now = replace(place, draining=drains, memory_free=granted_memory_bytes(), relays=relays)
        said = around.delivers(now), number, around.host.statuses(), links.seconds
        return state_of(*said, self.learning, self._config.slots, self._prices)

    # --- what others ask ------------------------------------------------------------------------

    def _shown(self, certificate: shown_by.Certificate) -> Checked | None:
        """Which member this is; None where this PoP is none itself."""
        return None if self.standing is None else self.standing.peers.shown(certificate)

    def _client(self, owner: OwnerId) -> ssl.SSLContext:
        return self._in_it().peers.client(owner)

    def _rank(self, errand: Errand, model: ModelName, spin: int) -> Sequence[PopId]:
        return () if self.standing is None else self.standing.ranking.rank(errand, model, spin)

    def _follow(self, errand: Errand, model: ModelName, pop: PopId) -> Followed | None:
        standing = self.standing
        return None if standing is None else standing.ranking.follow(errand, model, pop)

    def _in_it(self) -> Standing:
        if self.standing is None:
            raise IdentityError("this PoP is in no fabric")
        return self.standing

    # --- what is heard --------------------------------------------------------------------------

    def _seen(self, seen: Fleet) -> None:
        """The fleet has changed: whoever is asked for what follows from it."""
        standing = self.standing
        if standing is None or self._surroundings is None:
            return
        guests = self._guests.of(seen, standing.member.pop, standing.words.may_serve)
        if guests is not None:
            self.around.host.entries.offer(guests)
            self.around.ahead.open(guests.values())

    def _word(self, words: Words, record: Record) -> None:
        """An owner's word was passed on, or a wish was said."""
        if not self.around.hear(record) and words.hear(record):
            self.words_changed()

    def words_changed(self) -> None:
        """Who is admitted, or which owners are, has changed: act on it, and pass it on."""
        standing = self.standing
        if standing is None:
            return
        issuing = self.registrar() is not None
        standing.speaking.pass_on(standing.words.to_say(issuing=issuing))
        self._guests.forget()
        standing.view.recheck(self._unix_s())
        self._seen(standing.view.fleet)
        standing.parting.shut_out(standing.words.shut_out())
        standing.server.look_again()
        standing.speaking.changed.set()

    async def trust_changed(self, seeds: Sequence[str] = ()) -> None:
        """Other owners are let in or shut out: have links follow, and look for them there.

        Raises:
            IdentityError, PortInUseError: the fabric can't be opened anew; it is tried again.
        """
        standing = self._in_it()
        home = self._config.home
        memory = recall(home)
        known = tuple(dict.fromkeys((*seeds, *memory.seeds)))[:KNOWN_POPS_MAX]
        remember(home, structs.replace(memory, seeds=known))
        await standing.names.reopen(seeds)

    # --- what goes on meanwhile -------------------------------------------------------------------

    async def _look(self) -> None:
        """Notice who has fallen silent, and remember who is there."""
        standing, home = self._in_it(), self._config.home
        remembered: Sequence[KnownPop] = recall(home).pops
        while True:
            await asyncio.sleep(1)
            standing.view.tick(self._clock.now(), self._unix_s())
            known = self._there()
            if known and known != remembered:
                try:
                    remember(home, structs.replace(recall(home), pops=known))
                    remembered = known
                except LittoralError as error:
                    log.warning("the PoPs of the fabric can't be remembered: %s", error)

    async def _renew(self) -> None:
        """Keep the certificate good, and show the new one to all."""
        standing = self._in_it()
        async for _ in self.certificate.renewals(self._there, standing.calls):
            try:
                standing.peers.renewed()
                standing.speaking.say_card(self.files.shown())
                await standing.names.reopen()
            except LittoralError as error:
                log.warning("%s", error)

    def _there(self) -> Sequence[KnownPop]:
        """The other PoPs, issuers first."""
        standing = self._in_it()
        return known_of(standing.view.fleet, standing.member.pop, standing.words.issuers())

    def _at_work(self, model: ModelName) -> int:
        return self.around.host.in_flight(model)

    def _unix_s(self) -> int:
        return self._clock.unix_ns() // SECOND
