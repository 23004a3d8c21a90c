"""PoPs of one owner in this process, on the loopback, that know each other's addresses."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from littoral.adapters.clock import SystemClock
from littoral.adapters.identity import open_identity
from littoral.adapters.models import Catalogue, parse_upstream
from littoral.adapters.models.catalogue import ECHO
from littoral.adapters.upstreams.upstreams import Neighbourhood
from littoral.adapters.upstreams.words import Follow, Rank
from littoral.node.config import load_config
from littoral.node.fabric.relaying import Relaying
from littoral.node.neighbours import Admission, Fabric
from littoral.node.pop import Pop, running_pop
from littoral.terms.errors import IdentityError
from littoral.terms.facts import Fact
from littoral.terms.ids import ModelName
from littoral.terms.values import (
    EngineKind,
    Kind,
    ModelEntry,
    RelayPolicy,
    ToolSupport,
    UpstreamTarget,
)
from littoral.trust.keys import KEY_RANDOM_BYTES, Grant, make_key
from littoral.trust.members import Member
from littoral.web.certificate import Certificate
from littoral.web.http import Request, Responder
from littoral.web.listener import Bind
from tests.certificates import Authority, member
from tests.web.raw import PATIENCE_S, Answer, Client, get, post

FAR = ModelName("far")
"""A model that the PoP which answers has, and the gateway has not."""

APIS = ("chat.completions", "completions", "embeddings", "responses", "messages")
OWN = Admission()


@dataclass
class Side:
    """One PoP, and how it is reached."""

    pop: Pop
    authority: Authority
    member: Member
    admitted: dict[Member, Admission | None] = field(default_factory=dict)
    """Members that are treated otherwise than those of the owner."""
    shown: list[ssl.SSLContext] = field(default_factory=list)
    """How it speaks to others: the last of them counts."""
    relayed: list[Fact] = field(default_factory=list)
    """What its relaying said."""
    passing: list[Relaying] = field(default_factory=list)

    @property
    def relaying(self) -> Relaying:
        return self.passing[0]

    @property
    def fabric_port(self) -> int:
        assert self.pop.neighbours is not None
        return self.pop.neighbours.addresses[0][1]

    @property
    def url(self) -> str:
        """Of its listener for other PoPs."""
        return f"https://127.0.0.1:{self.fabric_port}"

    def target(self, *, peer: str = "", port: int = 0) -> UpstreamTarget:
        """This PoP as another one's upstream; under another name, or at another port."""
        url = f"https://127.0.0.1:{port or self.fabric_port}/v1"
        return UpstreamTarget(url, FAR, peer=peer or self.member.name, apis=APIS)

    def relayed_by(self, relay: "Side") -> UpstreamTarget:
        """This PoP as an upstream that another one passes requests on to."""
        name = self.member.name
        return UpstreamTarget(
            f"{relay.url}/v1", FAR, peer=name, apis=APIS, through=relay.member.name
        )

    def offer(self, *targets: UpstreamTarget, **policy: float) -> None:
        """Have `FAR` as a guest."""
        self.pop.host.entries.offer({FAR: guest(*targets, **policy)})

    def add(self, entry: ModelEntry) -> None:
        """Have a model of one's own."""
        catalogue = Catalogue(self.pop.home.models)
        with catalogue.adding(entry.name, resumable=False, progress=lambda *_: None) as staging:
            staging.commit(entry)
        self.pop.host.entries.rescan()

    def add_upstream(self, port: int) -> None:
        """Have `FAR` from a server on this port."""
        target = parse_upstream(f"http://127.0.0.1:{port}/v1", model="theirs")
        self.add(replace(guest(target), relay=RelayPolicy(attempts=1)))

    def key(self, **grant: str) -> str:
        """A new API key."""
        record, token = make_key(
            SystemClock().random_bytes(KEY_RANDOM_BYTES),
            name=f"key {SystemClock().unix_ns()}",
            unix_s=1,
            grant=Grant(**grant),  # type: ignore[arg-type]  # names are texts
        )
        self.pop.keyring._store.keys.add(record)
        return token

    # --- as a client ---

    async def open(self) -> Client:
        """A client's connection."""
        port = urlsplit(self.pop.url).port
        async with asyncio.timeout(PATIENCE_S):
            return Client(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, path: str, body: bytes, *fields: str, key: str = "") -> Answer:
        """A client's request."""
        client = await self.open()
        try:
            return await client.ask(self.request(path, body, *fields, key=key), "POST")
        finally:
            client.leave()

    def request(self, path: str, body: bytes, *fields: str, key: str = "") -> bytes:
        bearer = f"Authorization: Bearer {key or self.pop.keyring.local_key}"
        return post(body, path, bearer, *fields)

    async def get(self, path: str, key: str = "") -> Answer:
        client = await self.open()
        bearer = f"Authorization: Bearer {key or self.pop.keyring.local_key}"
        try:
            return await client.ask(get(path, bearer))
        finally:
            client.leave()

    # --- as another PoP ---

    async def open_as(self, tls: ssl.SSLContext) -> Client:
        """A connection to its listener for other PoPs."""
        async with asyncio.timeout(PATIENCE_S):
            return Client(*await asyncio.open_connection("127.0.0.1", self.fabric_port, ssl=tls))

    async def ask_as(self, tls: ssl.SSLContext, data: bytes, method: str = "POST") -> Answer:
        client = await self.open_as(tls)
        try:
            return await client.ask(data, method)
        finally:
            client.leave()

    # --- what is seen ---

    def in_flight(self) -> int:
        """Requests of `FAR` that its engine works on."""
        statuses = self.pop.host.statuses()
        return sum(each.in_flight for each in statuses if each.entry.name == FAR)

    async def until(self, in_flight: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.in_flight() != in_flight:
                await asyncio.sleep(0.001)


def by_name(certificate: Certificate) -> Member | None:
    """Whom a certificate names, where there is one authority and it names its own."""
    if len(certificate.names) != 1:
        return None
    try:
        return Member.of_name(certificate.names[0])
    except IdentityError:
        return None


def guest(*targets: UpstreamTarget, **policy: float) -> ModelEntry:
    """`FAR`, as another PoP has it."""
    return ModelEntry(
        name=FAR,
        engine=EngineKind.UPSTREAM,
        kinds=(Kind.CHAT, Kind.COMPLETE, Kind.EMBED),
        context_tokens=0,
        tools=ToolSupport.NATIVE,
        upstreams=targets,
        relay=RelayPolicy(**policy),  # type: ignore[arg-type]  # numbers all
    )


FAR_ECHO = replace(ECHO, name=FAR)


@asynccontextmanager
async def side(
    folder: Path,
    authority: Authority,
    *,
    settings: Mapping[str, str | int | float | bool] | None = None,
    shows: str = "",
    rank: Rank | None = None,
    follow: Follow | None = None,
) -> AsyncIterator[Side]:
    """Run one.

    Args:
        folder: its home, made anew.
        authority: whom it believes, and who has named it.
        settings: of its configuration.
        shows: another name than its own, to other PoPs.
        rank: how it ranks others.
        follow: hears of what it sends to others.
    """
    folder.mkdir()
    named = member(open_identity(folder, SystemClock()).pop_id)
    config = load_config({"home": str(folder), "port": 0, "drain_s": 0.2, **(settings or {})}, {})
    shown = [authority.client(shows or named.name)]
    admitted: dict[Member, Admission | None] = {}

    async def newcomers(request: Request, responder: Responder) -> None:
        await responder.send(200, {"content-type": "text/plain"}, b"welcome " + request.body)

    async with asyncio.TaskGroup() as tasks:
        said: list[Fact] = []
        relaying = Relaying(named, by_name, tasks.create_task, said.append)
        fabric = Fabric(
            bind=Bind(),
            tls=authority.server(shows or named.name),
            neighbourhood=Neighbourhood(lambda _: shown[-1], rank, follow, relaying.line),
            knows=by_name,
            policy=lambda other: admitted.get(other, OWN),
            newcomers=newcomers,
            members=lambda _: newcomers,
            relaying=relaying,
        )
        async with running_pop(config, fabric) as pop:
            try:
                yield Side(pop, authority, named, admitted, shown, said, [relaying])
            finally:
                relaying.close()
