"""Segments of collections go to the PoPs that are named, on whichever way they are asked for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from littoral.delivery.manifest import Kind
from littoral.node.delivery.words import ReadersTold, SegmentsMade
from littoral.terms.delivery import PullStage
from littoral.terms.errors import NotFoundError, StoreError
from littoral.terms.ids import ArtifactId
from tests.node.delivery.movers import Node, acquainted, nodes

Three = tuple[Node, Node, Node]
REFERENCE = "collection:docs@1.2"


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[Three]:
    async with nodes(tmp_path, 3) as (one, two, three):
        yield one, two, three


async def made(node: Node, folder: Path) -> tuple[ArtifactId, dict[str, bytes]]:
    """What a PoP has written, kept by its mover."""
    folder.mkdir()
    contents = {f"{number:04}.changes": bytes([number]) * 700_000 for number in range(3)}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    kept = await node.segments.keep(SegmentsMade(str(folder), REFERENCE))
    assert not list(folder.iterdir()), "the room is not taken twice"
    return kept.artifact, contents


def files(node: Node, artifact: ArtifactId) -> dict[str, bytes]:
    with node.store.shelf.hold(artifact) as held:
        names = [file.path for file in held.manifest.files]
        return {name: path.read_bytes() for name, path in zip(names, held.paths, strict=True)}


async def test_they_come_as_they_were_made_to_those_who_read_them(
    three: Three, tmp_path: Path
) -> None:
    one, two, other = three
    artifact, contents = await made(one, tmp_path / "made")
    assert one.store.shelf.manifest(artifact).kind is Kind.EMBEDDINGS
    acquainted(one, two, other, readers=[ReadersTold(artifact, (two.member.pop,))])
    assert (await two.pulled(artifact)).stage is PullStage.DONE
    assert files(two, artifact) == contents
    assert (await other.pulled(artifact)).stage is PullStage.FAILED


async def test_who_has_fetched_them_gives_them_to_readers_only(
    three: Three, tmp_path: Path
) -> None:
    one, two, other = three
    artifact, contents = await made(one, tmp_path / "made")
    reads = [ReadersTold(artifact, (two.member.pop,))]
    acquainted(one, two, readers=reads)
    assert (await two.pulled(artifact)).stage is PullStage.DONE
    acquainted(two, other, readers=reads)
    assert two.library.shelf(artifact, other.member) is None
    assert two.library.document(artifact, "manifest", other.member) is None
    assert two.library.news(artifact, other.member, lambda _: None) is None
    assert (await other.pulled(artifact)).stage is PullStage.FAILED
    acquainted(two, other, readers=[ReadersTold(artifact, (two.member.pop, other.member.pop))])
    assert (await other.pulled(artifact)).stage is PullStage.DONE
    assert files(other, artifact) == contents


async def test_of_which_nobody_has_said_who_reads_them_nobody_does(
    three: Three, tmp_path: Path
) -> None:
    one, two, _ = three
    artifact, _ = await made(one, tmp_path / "made")
    acquainted(one, two)
    assert one.library.shelf(artifact, two.member) is None
    assert (await two.pulled(artifact)).stage is PullStage.FAILED


async def test_what_is_dropped_is_gone_and_nothing_of_it_is_given(
    three: Three, tmp_path: Path
) -> None:
    one, two, _ = three
    artifact, _ = await made(one, tmp_path / "made")
    acquainted(one, two, readers=[ReadersTold(artifact, (two.member.pop,))])
    assert (await two.pulled(artifact)).stage is PullStage.DONE
    with two.store.shelf.hold(artifact):
        assert not (await two.segments.drop(artifact)).gone, "somebody reads it"
    for node in (one, two):
        assert (await node.segments.drop(artifact)).gone
        assert node.store.shelf.artifacts() == ()
        with pytest.raises(NotFoundError):
            node.store.shelf.manifest(artifact)
    assert one.library.shelf(artifact, two.member) is None
    assert (await one.segments.drop(artifact)).gone, "once more is no error"


async def test_a_folder_that_can_not_be_read_is_an_error(three: Three, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't be read"):
        await three[0].segments.keep(SegmentsMade(str(tmp_path / "none"), REFERENCE))
