"""A PoP that is killed hard under load: what its receipts are afterwards."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import h11
import psutil
import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.identity import open_identity, verify
from littoral.adapters.store import StoredReceipt, open_store
from littoral.trust.receipts import FRAME_START, decode_document, stated
from tests.hardening.pops import CALLS, HardPop, body_of, hard_pop
from tests.hardening.upstreams import upstream
from tests.web.raw import PATIENCE_S, Answer


async def ask_on(pop: HardPop, model: str, ended: asyncio.Queue[Answer]) -> None:
    """Ask for streams until the PoP is gone; each that is whole is noted."""
    request = pop.post(CALLS["chat stream"][0], body_of("chat stream", model))
    with suppress(OSError, h11.RemoteProtocolError):
        async with pop.client() as client:
            while True:
                ended.put_nowait(await client.ask(request, "POST"))


def check_chain(home: Path) -> list[StoredReceipt]:
    """Every receipt kept, oldest first, each signed and each naming the one before it."""
    public_key = open_identity(home, SystemClock()).public_key
    with open_store(home, create=False) as store:
        kept = list(reversed(store.receipts.newest(1_000_000)))
    before = None
    for seq, one in enumerate(kept, 1):
        document = decode_document(one.document)
        document.proven(verify)
        assert document.opening.public_key == public_key
        said = stated(one.document)
        assert (one.seq, said.seq, said.prev) == (seq, seq, before)
        before = one.digest
    return kept


@pytest.mark.parametrize(("workers", "answers"), [(1, 31), (2, 17), (2, 83)])
async def test_each_stream_that_ended_has_its_receipt_in_an_unbroken_chain(
    tmp_path: Path, workers: int, answers: int
) -> None:
    ended: asyncio.Queue[Answer] = asyncio.Queue()
    with hard_pop(tmp_path, "--workers", str(workers)) as pop:
        everyone = [pop.pid, *(each.pid for each in psutil.Process(pop.pid).children())]
        async with upstream() as one, asyncio.timeout(PATIENCE_S):
            model = pop.add(one.port)
            asking = [asyncio.create_task(ask_on(pop, model, ended)) for _ in range(6)]
            given = [await ended.get() for _ in range(answers)]
            for pid in everyone:
                os.kill(pid, signal.SIGKILL)
            await asyncio.gather(*asking)
    kept = {one.receipt_id for one in check_chain(tmp_path / "home")}
    given += [ended.get_nowait() for _ in range(ended.qsize())]
    assert all(FRAME_START in each.body for each in given)
    assert {each.headers["littoral-receipt"] for each in given} <= kept
