"""A model of another PoP is asked with passages of this one: they are recalled where the key is."""

import json
from pathlib import Path

import pytest

from littoral.trust.receipts import stated
from tests.certificates import Authority
from tests.fabric.pops import FAR, FAR_ECHO, side

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_gateway_recalls_and_the_other_pop_answers(tmp_path: Path, stream: bool) -> None:
    authority = Authority(tmp_path)
    async with (
        side(tmp_path / "gateway", authority) as gateway,
        side(tmp_path / "serving", authority) as serving,
    ):
        serving.add(FAR_ECHO)
        gateway.offer(serving.target())
        await gateway.ask("/v1/memory", json.dumps({"name": "tides"}).encode())
        record = {"id": "turn", "text": "The tide turns at six.", "document": "tides.md"}
        write = {"writes": [{"type": "upsert", "records": [record]}]}
        await gateway.ask("/v1/memory/tides/write", json.dumps(write).encode())
        body = {
            "model": FAR,
            "messages": [{"role": "user", "content": "When does the tide turn?"}],
            "memory": "tides",
            "stream": stream,
        }
        answer = await gateway.ask(CHAT, json.dumps(body).encode())
        assert answer.status == 200, answer
        assert answer.headers["littoral-source"] == "neighbour"
        assert b"turns" in answer.body
        assert b'"tides.md"' in answer.body, "and is cited by the gateway"
        receipt_id = answer.headers["littoral-receipt"]
        receipt = stated((await gateway.get(f"/v1/receipts/{receipt_id}")).body)
        assert receipt.parent is not None
        assert receipt.parent.pop == serving.pop.pop_id
        assert [each.collection for each in receipt.passages] == ["tides"]
