"""What a PoP hears while it is still entering the fabric counts as what it hears later."""

import asyncio
import json
import logging
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from littoral.adapters.fabric import ZenohNames
from littoral.node.config import load_config
from littoral.node.fabric import membership
from littoral.node.pop import running_pop
from littoral.terms.heard import Said
from littoral.terms.ports import Hear
from tests.web.raw import PATIENCE_S, Client, post

TOPIC = "state/pop-0000000000000001/pop-0000000000000001"


class Eager(ZenohNames):
    """A fabric whose other PoPs speak before it is open."""

    async def open(self, hear: Hear) -> None:
        hear([Said(TOPIC, b"no record")])
        await super().open(hear)


def test_what_is_heard_while_the_fabric_is_opened_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(membership, "ZenohNames", Eager)
    config = load_config(
        {"home": str(tmp_path), "port": 0, "models": "", "fabric_port": 0, "state_port": 0}
    )

    async def run() -> int:
        async with asyncio.timeout(PATIENCE_S), running_pop(config) as pop:
            port = urlsplit(pop.url).port
            client = Client(*await asyncio.open_connection("127.0.0.1", port))
            bearer = f"Authorization: Bearer {pop.keyring.local_key}"
            answer = await client.ask(post(json.dumps({}).encode(), "/v1/fabric/invites", bearer))
            client.leave()
            return answer.status

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(run()) == 201
    assert f"1 records on '{TOPIC}' rejected (malformed)" in caplog.text
