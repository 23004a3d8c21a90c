"""What a PoP hears while it is still becoming a member counts as what it hears later."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from littoral.adapters.owner import open_owner
from littoral.node.config import load_config
from littoral.node.fabric import membership
from littoral.node.pop import running_pop
from littoral.routing.fleet import PopState, encoded
from littoral.terms.heard import Said
from littoral.terms.ports import Hear
from littoral.trust.records import Card, RecordKind, signed, topic
from littoral.web.fabric import FABRIC
from tests.adapters.owner.made import identity, pop_at
from tests.adapters.owner.test_tls import RealTime
from tests.web.raw import Answer, Client, get, post

OTHER = identity(2)


class Quick:
    """A fabric in which somebody is heard before `open` comes back, and says nothing again."""

    home: Path

    def __init__(self, *_: object) -> None:
        self.said: list[str] = []

    async def open(self, hear: Hear) -> None:
        clock = RealTime()
        files = pop_at(self.home / "other", open_owner(self.home, clock), clock, 2)
        payloads = {
            RecordKind.CARD: Card(1, 1, tuple(files.shown()[:2])).encoded(),
            RecordKind.STATE: encoded(PopState(OTHER.pop_id, 1, 1)),
        }
        for kind, payload in payloads.items():
            hear([Said(topic(kind, OTHER.pop_id), signed(kind, payload, OTHER))])

    def say(self, about: str, _: bytes) -> None:
        self.said.append(about)

    async def reopen(self, seeds: Sequence[str] = ()) -> None:
        raise AssertionError(f"nobody is missed: {seeds}")

    async def close(self) -> None:
        """Nothing is open."""


async def test_who_is_heard_while_the_fabric_is_opened_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Quick.home = tmp_path
    monkeypatch.setattr(membership, "ZenohNames", Quick)
    settings: dict[str, str | int | float | bool | None] = {
        "home": str(tmp_path),
        "port": 0,
        "fabric_port": 0,
        "state_port": 0,
        "models": "",
    }
    async with running_pop(load_config(settings, {})) as pop:
        key = f"Authorization: Bearer {pop.keyring.local_key}"

        async def ask(request: bytes, method: str) -> Answer:
            port = urlsplit(pop.url).port
            client = Client(*await asyncio.open_connection("127.0.0.1", port))
            try:
                return await client.ask(request, method)
            finally:
                client.leave()

        invited = await ask(post(b"{}", f"{FABRIC}/invites", key), "POST")
        assert invited.status == 201, invited.body
        shown = json.loads((await ask(get(FABRIC, key), "GET")).body)
    rows = {row["pop"]: row["reach"] for row in shown["pops"]}
    assert OTHER.pop_id in rows
