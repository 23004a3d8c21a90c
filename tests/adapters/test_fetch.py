"""One answer of an upstream, as whoever asked for it holds it."""

import asyncio
import gc
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from littoral.adapters.upstreams.attempt import Attempt
from littoral.adapters.upstreams.fetch import Fetch
from littoral.adapters.upstreams.upstreams import Upstreams
from littoral.adapters.upstreams.words import Begun, Errand
from littoral.serving.outcome import Outcome
from littoral.terms.errors import LittoralError
from littoral.terms.values import EngineKind, UpstreamTarget
from tests.adapters.engines.running import private_upstreams
from tests.hardening.upstreams import Asked, Play, head, upstream, well
from tests.trust.made import draft
from tests.web.raw import PATIENCE_S


class Heard:
    """A listener that remembers that the answer is over."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    def begun(self, begun: Begun) -> None:
        """A stream begins."""

    def data(self, data: bytes) -> None:
        """More of it."""

    def ended(self, outcome: Outcome) -> None:
        self.over.set()

    def whole(self, begun: Begun, body: bytes, outcome: Outcome) -> None:
        self.over.set()

    def failed(self, error: LittoralError) -> None:
        self.over.set()


async def refuse(_: Asked, writer: asyncio.StreamWriter) -> bool:
    writer.write(head("content-length: 0", status="400 Bad Request"))
    return True


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def ask(upstreams: Upstreams, port: int, *, stream: bool) -> None:
    entry = replace(
        draft().model,
        engine=EngineKind.UPSTREAM,
        upstreams=(UpstreamTarget(f"http://127.0.0.1:{port}/v1", "theirs"),),
    )
    body = json.dumps({"model": entry.name, "messages": [], "stream": stream}).encode()
    heard = Heard()
    errand = Errand("chat.completions", body, entry.name, stream)
    upstreams.fetch(upstreams.route(entry), errand, heard).start()
    async with asyncio.timeout(PATIENCE_S):
        await heard.over.wait()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("play", [well, refuse])
async def test_what_made_an_answer_is_free_at_its_end_without_the_collector(
    play: Play, *, stream: bool
) -> None:
    upstreams = private_upstreams(lambda _: None, set(), {})
    async with upstream(play) as running:
        await ask(upstreams, running.port, stream=stream)
        await asyncio.sleep(0)  # the call that told of the end is over as well
        assert not [each for each in gc.get_objects() if isinstance(each, (Fetch, Attempt))]
        upstreams.close()
