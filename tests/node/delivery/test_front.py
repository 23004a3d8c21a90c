"""What clients of the Hub find on a PoP: what is here, and what the mover pulls while they wait."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from littoral.adapters.artifacts import ArtifactStore
from littoral.node.delivery.front import PullThrough
from littoral.node.delivery.office import Office
from littoral.node.delivery.words import MoverSaid
from littoral.terms.artifacts import OriginFile
from littoral.terms.delivery import (
    ListedFile,
    ListingShown,
    ListingWanted,
    PullShown,
    PullStage,
    PullWanted,
)
from littoral.terms.errors import NotAllowedError, NotFoundError, OriginBrokeError, OriginError
from littoral.terms.ids import KeyId, ModelName
from littoral.terms.values import Caller
from tests.adapters.artifacts.made import Made, made, noise, put, store_in, take, write
from tests.node.delivery.made import CLOCK, claim, identity

COMMIT = "c" * 40
PINNED = f"hf:lab/model@{COMMIT}"
SMALL = made({"a.bin": [noise(number) for number in range(4)]})
BOTH = made({"a.bin": list(SMALL.pieces), "b.json": [b"{}"]})
ANYBODY = Caller(key_id=KeyId("k"), name="anybody", operator=True, models=None)


@dataclass
class FakeOffice:
    """A mover that lists one repository, and pulls as it is told to."""

    listing_: ListingShown
    pull_: list[PullShown] = field(default_factory=list)
    """What is shown, one each; the last again and again."""
    away: bool = False
    said: MoverSaid | None = None
    listed: int = 0
    pulled_: list[str] = field(default_factory=list)

    async def listing(self, wanted: ListingWanted) -> ListingShown:
        self.listed += 1
        if self.away:
            raise OriginBrokeError("nobody answers")
        return self.listing_

    async def pull(self, wanted: PullWanted) -> PullShown:
        self.pulled_.append(wanted.reference)
        return await self.pulled("1")

    async def pulled(self, name: str) -> PullShown:
        return self.pull_.pop(0) if len(self.pull_) > 1 else self.pull_[0]


@dataclass
class Stand:
    office: FakeOffice
    front: PullThrough
    store: ArtifactStore
    folder: Path

    def has(self, source: Made, reference: str) -> None:
        """It was pulled before."""
        put(self.store, source)
        self.store.claim(
            source.artifact, claim(identity(self.folder, "me"), source, reference=reference)
        )
        number = 1 if self.office.said is None else self.office.said.number + 1
        self.office.said = MoverSaid(number, "", (), 0)

    async def read(self, file: OriginFile, start: int = 0, end: int | None = None) -> bytes:
        end = file.size_bytes if end is None else end
        async with self.front.open(file, start, end) as pieces:
            return b"".join([piece async for piece in pieces])


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    store = store_in(tmp_path)
    rows = BOTH.manifest.files
    files = tuple(ListedFile(row.path, row.size_bytes, row.sha256, None) for row in rows)
    office = FakeOffice(ListingShown(PINNED, files, private=False))
    front = PullThrough(tmp_path / "artifacts", lambda: (), cast("Office", office), CLOCK)
    yield Stand(office, front, store, tmp_path)
    store.close()


def shown(stage: PullStage, source: Made | None = None, error: str = "") -> PullShown:
    artifact = None if source is None else source.artifact
    return PullShown("1", PINNED, stage, artifact, error=error)


async def test_what_the_origin_lists_is_found_and_asked_for_once_in_a_while(stand: Stand) -> None:
    found = await stand.front.find("lab/model", "main", ANYBODY)
    assert (found.commit, found.names) == (COMMIT, ("main",))
    assert [file.path for file in found.files] == ["a.bin", "b.json"]
    await stand.front.find("lab/model", "main", ANYBODY)
    assert stand.office.listed == 1
    assert (await stand.front.find("lab/model", COMMIT, ANYBODY)).commit == COMMIT
    assert stand.office.listed == 2


async def test_a_file_is_given_while_it_arrives_where_its_chunks_are_known(stand: Stand) -> None:
    found = await stand.front.find("lab/model", "main", ANYBODY)
    intake = take(stand.store, SMALL)
    write(intake, SMALL, [0, 1])
    intake.commit()
    stand.office.pull_ = [shown(PullStage.FETCHING, SMALL)]
    half = len(SMALL.pieces[0]) + len(SMALL.pieces[1])
    assert await stand.read(found.files[0], 100, half) == SMALL.files[0][100:half]
    stand.office.pull_ += [shown(PullStage.DONE, SMALL)]
    write(intake, SMALL)
    intake.seal()
    intake.close()
    assert await stand.read(found.files[0]) == SMALL.files[0]
    assert set(stand.office.pulled_) == {f"{PINNED}:a.bin"}


async def test_a_file_that_nobody_has_is_given_once_it_is_whole(stand: Stand) -> None:
    found = await stand.front.find("lab/model", "main", ANYBODY)
    put(stand.store, SMALL)
    stages = PullStage.ASKING, PullStage.READING, PullStage.FETCHING
    stand.office.pull_ = [*map(shown, stages), shown(PullStage.DONE, SMALL)]
    assert await stand.read(found.files[0]) == SMALL.files[0]


async def test_a_pull_that_fails_is_said_to_the_client(stand: Stand) -> None:
    found = await stand.front.find("lab/model", "main", ANYBODY)
    stand.office.pull_ = [shown(PullStage.ASKING), shown(PullStage.FAILED, error="no room")]
    with pytest.raises(OriginError, match="no room"):
        await stand.read(found.files[0])


async def test_what_is_here_is_given_from_here(stand: Stand) -> None:
    stand.has(SMALL, f"{PINNED}:a.bin")
    found = await stand.front.find("lab/model", "main", ANYBODY)
    assert [file.path for file in found.files] == ["a.bin", "b.json"]
    assert await stand.read(found.files[0]) == SMALL.files[0]
    assert stand.office.pulled_ == []
    assert stand.front.repositories(ANYBODY) == ["lab/model"]


async def test_without_its_origin_what_was_pulled_is_what_there_is(stand: Stand) -> None:
    stand.office.away = True
    with pytest.raises(NotFoundError):
        await stand.front.find("lab/model", "main", ANYBODY)
    stand.has(BOTH, PINNED)
    for revision in ("main", COMMIT):
        found = await stand.front.find("lab/model", revision, ANYBODY)
        assert {file.path: await stand.read(file) for file in found.files} == dict(
            zip(["a.bin", "b.json"], BOTH.files, strict=True)
        )
    assert [each.commit for each in await stand.front.revisions("lab/model", ANYBODY)] == [COMMIT]


async def test_a_key_that_may_ask_for_some_models_only_gets_no_other(stand: Stand) -> None:
    bound = replace(ANYBODY, operator=False, models=(ModelName("tiny"),))
    with pytest.raises((NotAllowedError, NotFoundError)):
        await stand.front.find("lab/model", "main", bound)
