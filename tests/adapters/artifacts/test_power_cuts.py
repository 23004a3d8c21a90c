"""Whenever the power fails, what was said is there, and no wrong byte is under a right name."""

import os
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from littoral.adapters.artifacts import ArtifactStore, Shelf
from littoral.delivery.chunk_set import ChunkSet
from littoral.terms.errors import NotFoundError
from littoral.terms.ids import ArtifactId
from tests.adapters.artifacts.made import (
    Made,
    draft_of,
    made,
    model,
    noise,
    put,
    store_in,
    take,
    write,
)
from tests.adapters.artifacts.power import FailingDisk, PowerError

SEED = 1
SMALL = model(0, size=300)
OTHER = made({"m": [noise(50, 99), *SMALL.pieces[1:3]], "n": list(SMALL.pieces[1:])})
SOURCES = {source.artifact: source for source in (SMALL, OTHER)}


@dataclass
class Said:
    """What somebody was told would stay."""

    held: dict[ArtifactId, ChunkSet] = field(default_factory=dict)
    complete: set[ArtifactId] = field(default_factory=set)
    pinned: set[ArtifactId] = field(default_factory=set)
    rotten: bool = False
    """Some chunk has rotted, and nobody has seen it yet."""
    vouched: ChunkSet = field(default_factory=ChunkSet)

    def dropped(self, artifact: ArtifactId) -> None:
        self.held.pop(artifact, None)
        self.complete.discard(artifact)


Story = Callable[[ArtifactStore, Said], None]


def fill(store: ArtifactStore, said: Said, source: Made, numbers: list[int]) -> None:
    intake = take(store, source)
    for number in numbers:
        write(intake, source, [number])
        said.held[source.artifact] = intake.commit()
    if len(intake.held) == len(source.pieces):
        intake.seal()
        said.held[source.artifact] = ChunkSet.of(range(len(source.pieces)))
        said.complete.add(source.artifact)
    intake.close()


def a_pull_and_another_that_shares(store: ArtifactStore, said: Said) -> None:
    fill(store, said, SMALL, [2, 0])
    fill(store, said, SMALL, [1, 3])
    store.pin(SMALL.artifact, pinned=True)
    said.pinned.add(SMALL.artifact)
    fill(store, said, OTHER, [0])


def a_pull_dropped_and_begun_again(store: ArtifactStore, said: Said) -> None:
    fill(store, said, SMALL, [0, 1, 2])
    said.dropped(SMALL.artifact)
    store.remove(SMALL.artifact)
    fill(store, said, SMALL, [3, 2])
    fill(store, said, SMALL, [0, 1])
    said.dropped(SMALL.artifact)
    store.remove(SMALL.artifact)
    fill(store, said, SMALL, [1])


def rot_and_repair(store: ArtifactStore, said: Said) -> None:
    fill(store, said, SMALL, [0, 1, 2, 3])
    said.rotten = True
    with store.shelf.hold(SMALL.artifact) as holding:
        holding.paths[2].chmod(0o600)
        with holding.paths[2].open("r+b") as file:
            file.write(b"rotten")
    said.complete.clear()
    said.held[SMALL.artifact] = ChunkSet.of([0, 2, 3, 4])
    assert store.scrub(10**6).rotten == ((SMALL.artifact, 1),)
    said.rotten = False
    fill(store, said, SMALL, [1])


def a_draft_with_a_lie(store: ArtifactStore, said: Said) -> None:
    draft, cuts = draft_of(SMALL)
    intake = store.take_draft(draft, cuts)
    for number in (0, 1, 2):
        intake.write(number, SMALL.pieces[number])
        said.vouched = intake.commit()
    intake.write(3, noise(66, 300))
    intake.write(4, SMALL.pieces[4])
    intake.commit()
    intake.write(3, SMALL.pieces[3])
    said.vouched = intake.commit()
    said.vouched = ChunkSet()
    intake.seal()
    said.held[SMALL.artifact] = ChunkSet.of(range(5))
    said.complete.add(SMALL.artifact)


STORIES: list[Story] = [
    a_pull_and_another_that_shares,
    a_pull_dropped_and_begun_again,
    rot_and_repair,
    a_draft_with_a_lie,
]


def tell(story: Story, folder: Path, operations: int) -> tuple[FailingDisk, Said, bool]:
    """The story up to where the power fails; whether it came to its end."""
    disk, said, before = FailingDisk(folder, operations), Said(), descriptors()
    with suppress(PowerError):
        story(store_in(folder, disk=disk), said)
        return disk, said, True
    for descriptor in descriptors() - before:  # as a process that ends lets go of them
        with suppress(OSError):
            os.close(descriptor)
    return disk, said, False


def descriptors() -> set[int]:
    """All that this process has open; the one that lists them is closed by then."""
    return {number for number in map(int, listed()) if is_open(number)}


def listed() -> list[str]:
    return [path.name for path in Path("/dev/fd").iterdir()]


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def check(folder: Path, said: Said) -> None:
    """What was said is there, and all that is there is right; and it can go on."""
    store = store_in(folder)
    shelf = store.shelf
    if said.rotten:
        store.scrub(10**6)
    for artifact, chunks in said.held.items():
        assert not chunks - shelf.held(artifact), "what was said is lost"
    for artifact in shelf.artifacts():
        assert shelf.verify(artifact, lambda done, total: None) == [], "a wrong byte"
        with suppress(NotFoundError), shelf.hold(artifact) as holding:
            files = tuple(path.read_bytes() for path in holding.paths)
            assert files == SOURCES[artifact].files
    assert {row.artifact for row in shelf.rows() if row.complete} >= said.complete
    assert {row.artifact for row in shelf.rows() if row.pinned} >= said.pinned
    for draft in store.drafts():
        intake = store.take_draft(draft, [shelf.blob(file.cuts) for file in draft.files])
        assert not said.vouched - intake.held, "what was vouched for is lost"
        for number in intake.held:
            intake.read(number)
        intake.close()
    for source in SOURCES.values():
        put(store, source)
        assert shelf.verify(source.artifact, lambda done, total: None) == []
        store.remove(source.artifact) if source is OTHER else None
    store.close()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_power_cut_after_any_operation_loses_nothing_that_was_said(
    tmp_path: Path, story: Story
) -> None:
    ended, operations = False, 20
    while not ended:
        operations += 1
        disk, said, ended = tell(story, tmp_path / f"{operations}", operations)
        left = tmp_path / f"{operations}.left"
        disk.after_the_failure(left, random.Random(SEED * 1_000 + operations))
        check(left, said)
    assert operations > 60


def test_a_kill_between_any_two_operations_loses_nothing_that_was_said(tmp_path: Path) -> None:
    for story in STORIES:
        ended, operations = False, 20
        while not ended:
            operations += 5
            folder = tmp_path / f"{story.__name__}.{operations}"
            _, said, ended = tell(story, folder, operations)
            drop_lock(folder)
            check(folder, said)


def drop_lock(folder: Path) -> None:
    """The lock of a process that was killed is nobody's; that of a story is still this test's."""
    (folder / "artifacts/lock").unlink(missing_ok=True)


def test_a_shelf_sees_no_wrong_byte_while_the_power_is_there(tmp_path: Path) -> None:
    seen: list[ArtifactId] = []
    for story in STORIES:
        disk = FailingDisk(tmp_path / story.__name__, 10**6)
        watched = Shelf(tmp_path / story.__name__ / "artifacts")
        spend = disk._spend

        rotten = {SMALL.artifact} if story is rot_and_repair else set()

        def look(
            watched: Shelf = watched,
            spend: Callable[[], None] = spend,
            rotten: set[ArtifactId] = rotten,
        ) -> None:
            spend()
            for artifact in watched.artifacts():
                if artifact in rotten:
                    continue
                with suppress(NotFoundError), watched.hold(artifact) as holding:
                    files = tuple(path.read_bytes() for path in holding.paths)
                    assert files == SOURCES[artifact].files
                    seen.append(artifact)

        disk._spend = look  # type: ignore[method-assign]
        store = store_in(tmp_path / story.__name__, disk=disk)
        story(store, Said())
        store.close()
    assert set(seen) == set(SOURCES)
