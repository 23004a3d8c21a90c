"""What was given a name and is no model is not fetched; without a name it is as any artifact."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from littoral.terms.artifacts import OriginFile
from littoral.terms.delivery import PullStage, PullWanted
from tests.adapters.artifacts.made import made
from tests.adapters.models.made import TINY, gguf_bytes
from tests.node.delivery.made import REFERENCE, FakeOrigin, listing_of
from tests.node.delivery.test_desk import MODEL, Stand, a_desk

NAMED = PullWanted("hf:lab/model", name="mine")
ADAPTER = {key: value for key, value in TINY.items() if not key.startswith("tokenizer.")}


def has(origin: FakeOrigin, content: bytes, *, promised: bool = True) -> None:
    """From now on it has this one file."""
    origin.listing = listing_of(made({"m.gguf": [content]}), promised=promised)
    origin.files = {"m.gguf": content}


async def failed(stand: Stand, wanted: PullWanted) -> str:
    shown = await stand.over(await stand.desk.pull(wanted))
    assert shown.stage is PullStage.FAILED, shown
    return shown.error


async def test_where_its_listing_has_no_model_nothing_is_read(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as stand:
        assert "none is mine" in await failed(stand, NAMED)
        assert stand.origin.read_bytes == 0
        shown = await stand.over(await stand.desk.pull(PullWanted("hf:lab/model")))
        assert (shown.stage, shown.model) == (PullStage.DONE, None)
        assert shown.size_bytes == MODEL.manifest.size_bytes


async def test_where_its_header_says_that_it_is_none_the_rest_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_desk(tmp_path) as stand:
        content = gguf_bytes(ADAPTER, data=bytes(range(250)) * 32_000)
        has(stand.origin, content)
        let_go = threading.Event()

        @contextmanager
        def read(_: OriginFile, start: int, end: int) -> Iterator[Iterator[bytes]]:
            def pieces() -> Iterator[bytes]:
                for at in range(start, end, 2**16):
                    if at >= len(content) // 2:
                        let_go.wait(30)
                    yield content[at : min(end, at + 2**16)]

            yield pieces()

        monkeypatch.setattr(stand.origin, "read", read)
        assert "is not a language model" in await failed(stand, NAMED)
        let_go.set()
        shown = await stand.over(await stand.desk.pull(PullWanted("hf:lab/model")))
        assert (shown.stage, shown.model, shown.error) == (PullStage.DONE, None, "")


@pytest.mark.parametrize("promised", [True, False])
async def test_a_name_that_another_model_has_is_refused_before_anything_is_read(
    tmp_path: Path, *, promised: bool
) -> None:
    async with a_desk(tmp_path) as stand:
        has(stand.origin, gguf_bytes(data=bytes(1_000)))
        assert (await stand.over(await stand.desk.pull(NAMED))).model == "mine"
        has(stand.origin, gguf_bytes(data=bytes(2_000)), promised=promised)
        stand.origin.listing = type(stand.origin.listing)(
            REFERENCE.replace("@", "@other"), stand.origin.listing.files
        )
        read_bytes = stand.origin.read_bytes
        for name in ("mine", "echo"):
            error = await failed(stand, PullWanted("hf:lab/model", name=name))
            assert f"another model is named {name}" in error
        assert stand.origin.read_bytes == read_bytes
