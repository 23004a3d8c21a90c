"""A real engine starts on a real model that is still arriving, chunk by chunk as it asks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from littoral.adapters.artifacts import ArtifactStore, Intake, open_store
from littoral.adapters.clock import SystemClock
from littoral.adapters.models.describe import gguf_entry
from littoral.adapters.models.gguf import read_gguf
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.manifest import Manifest
from littoral.node.delivery.around import Around
from littoral.node.delivery.arriving import Arriving, ArrivingFile
from littoral.node.delivery.foretold import foretold
from littoral.node.delivery.rates import Rates
from littoral.node.delivery.shelves import FillingShelf
from littoral.node.home import Home
from littoral.terms.errors import EngineStartError
from littoral.terms.ids import PopId, SiteName
from littoral.terms.values import ModelEntry, ModelFile, Starting
from tests.adapters.arriving.made import mounted, python, said, stale_mount, until
from tests.adapters.artifacts.made import ROOM, QuickDisk, made, noise
from tests.adapters.engines.running import running
from tests.delivery.made import artifact_of

PIECE = 1024 * 1024
ASKED: dict[str, object] = {
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "temperature": 0,
    "max_tokens": 8,
}


class Bringing:
    """An artifact that comes as it is asked for, or not at all."""

    def __init__(self, store: ArtifactStore, manifest: Manifest, tables: tuple[bytes, ...]) -> None:
        taken = store.take(manifest, tables)
        assert isinstance(taken, Intake)
        self.intake = taken
        self.shelf = FillingShelf(taken, _never)
        self.pieces: list[bytes] = []
        self.asked: list[int] = []
        self.held_back = 0
        """From this chunk on nothing comes; 0: all does."""

    def want(self, chunks: ChunkSet) -> None:
        """Have these come in a moment."""
        self.asked += chunks
        asyncio.get_running_loop().call_soon(self.come, chunks)

    def come(self, chunks: ChunkSet) -> None:
        for number in chunks:
            if not self.held_back or number < self.held_back or number == len(self.pieces) - 1:
                data = memoryview(self.pieces[number])
                assert self.shelf.put(number, data, self.shelf.intake.table[number].hash or b"")


def is_mounted(folder: Path) -> bool:
    """By the system's table: to look into the folder would wait for the loop that this is on."""
    return f" {folder} " in Path("/proc/self/mounts").read_text()


def _never(error: Exception) -> None:
    raise AssertionError(error)


@pytest.fixture(scope="module")
def pieces(smollm2: ModelEntry) -> list[bytes]:
    data = Path(smollm2.files[0].path).read_bytes()
    return [data[start : start + PIECE] for start in range(0, len(data), PIECE)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ArtifactStore]:
    opened = open_store(tmp_path / "store", bytes_max=ROOM, disk=QuickDisk())
    yield opened
    opened.close()


@pytest.fixture
def bringing(store: ArtifactStore, pieces: list[bytes]) -> Iterator[Bringing]:
    brought = Bringing(store, *artifact_of({"model.gguf": pieces}))
    brought.pieces = pieces
    yield brought
    brought.intake.close()


@pytest.fixture
async def arriving(tmp_path: Path) -> AsyncIterator[Arriving]:
    mounted(tmp_path / "probe").close()
    shown = Arriving(tmp_path / "arriving")
    yield shown
    shown.close()


@pytest.mark.model
async def test_an_engine_starts_on_what_arrives_and_answers_as_it_would_on_the_file(
    bringing: Bringing, arriving: Arriving, smollm2: ModelEntry, tmp_path: Path
) -> None:
    showing = arriving.show("a", bringing.shelf, ("model.gguf",), bringing.want)
    assert showing is not None
    file = replace(smollm2.files[0], path=str(showing.paths[0]))
    entry = replace(smollm2, files=(file,), arriving=True)
    async with running(entry, tmp_path) as engine:
        early = await engine.body(ASKED)
        assert set(bringing.asked) == set(range(len(bringing.pieces))), "all is read once it is up"
        tail = bringing.asked.index(len(bringing.pieces) - 1)
        assert tail < 12, "the end of the file is looked at first"
        showing.end(whole=True)
        await until(lambda: not is_mounted(showing.paths[0].parent.parent))
        assert await engine.body(ASKED), "it needs the mount no more"
    async with running(smollm2, tmp_path) as engine:
        plain = await engine.body(ASKED)
    assert early["choices"] == plain["choices"]


@pytest.mark.model
async def test_an_engine_whose_file_will_not_come_ends(
    bringing: Bringing, arriving: Arriving, smollm2: ModelEntry, tmp_path: Path
) -> None:
    bringing.held_back = 30
    showing = arriving.show("a", bringing.shelf, ("model.gguf",), bringing.want)
    assert showing is not None
    file = replace(smollm2.files[0], path=str(showing.paths[0]))
    async with running(
        replace(smollm2, files=(file,), arriving=True), tmp_path, ready=False
    ) as engine:
        await until(lambda: 30 in bringing.asked)
        assert engine.states
        assert all(isinstance(state, Starting) for state in engine.states)
        showing.end(whole=False)
        with pytest.raises(EngineStartError):
            await engine.until_ready()


async def test_what_has_rotted_on_the_disk_is_not_given(store: ArtifactStore) -> None:
    small = made({"a": [noise(1), noise(2), noise(3)]})
    brought = Bringing(store, small.manifest, small.tables)
    brought.pieces = list(small.pieces)
    brought.come(ChunkSet.of([0, 1, 2]))
    descriptor, start, _ = brought.intake.place(1)
    with Path(f"/proc/self/fd/{descriptor}").open("r+b") as file:
        file.seek(start)
        file.write(b"rotten")
    taken: list[bytes | None] = []

    def take(pieces: object) -> None:
        assert pieces is None or isinstance(pieces, list)
        taken.append(None if pieces is None else b"".join(pieces))

    file_read = ArrivingFile(brought.shelf, 0, brought.want).read
    file_read(100, 9_000, take)
    file_read(8_000, 9_100, take)
    assert taken == [small.pieces[0][100:], None]
    brought.intake.close()


@pytest.mark.model
async def test_what_a_model_will_be_is_known_once_its_header_is_here(
    bringing: Bringing, smollm2: ModelEntry, tmp_path: Path
) -> None:
    path = Path(smollm2.files[0].path)
    with ThreadPoolExecutor(1) as threads:
        around = Around(
            me=PopId("pop-0000000000000001"),
            site=lambda: SiteName("main"),
            client=lambda: None,
            listens=lambda: False,
            threads=threads,
            clock=SystemClock(),
            uplink=lambda: None,
            rates=Rates(),
        )
        file = ModelFile(path.name, smollm2.size_bytes, smollm2.files[0].digest)
        known = asyncio.ensure_future(
            foretold(around, bringing.shelf, 0, smollm2.name, file, "somewhere")
        )
        count = 0
        while not known.done():
            bringing.come(ChunkSet.of([count]))
            count += 1
            await asyncio.wait([known], timeout=0.15)
    entry = await known
    assert count < 8, "long before the end"
    expected = gguf_entry(
        smollm2.name, read_gguf(path), path, smollm2.files[0].digest, origin="somewhere"
    )
    assert entry == replace(expected, files=(file,))


async def test_a_mount_is_there_only_while_there_is_something_to_read(
    store: ArtifactStore, arriving: Arriving, tmp_path: Path
) -> None:
    small = made({"a/b": [noise(1)], "c": [noise(2)]})
    brought = Bringing(store, small.manifest, small.tables)
    brought.pieces = list(small.pieces)
    program = "import sys; print(open(sys.argv[1], 'rb').read() == open(sys.argv[2], 'rb').read())"
    for _ in range(2):
        showing = arriving.show("x", brought.shelf, ("a/b", "c"), brought.want)
        assert showing is not None
        assert is_mounted(tmp_path / "arriving")
        assert [path.name for path in showing.paths] == ["a%2Fb", "c"]
        (tmp_path / "same").write_bytes(small.pieces[1])
        assert await said(await python(program, showing.paths[1], tmp_path / "same")) == "True\n"
        showing.end(whole=True)
        await until(lambda: not is_mounted(tmp_path / "arriving"))
    brought.intake.close()


async def test_a_pop_takes_away_what_a_killed_one_had_mounted(tmp_path: Path) -> None:
    mounted(tmp_path / "probe").close()
    home = Home(tmp_path / "home")
    home.make()
    await stale_mount(home.arriving)
    assert is_mounted(home.arriving)
    with home.held():
        assert not is_mounted(home.arriving)
        assert list(home.run.iterdir()) == []
