"""A fine-tune arrives as what differs from a base that is here, if its neighbour has that too."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from littoral.terms.delivery import PullShown, PullStage, PullWanted
from tests.delivery.test_resemblance import changed, numbers, safetensors
from tests.node.delivery.movers import Node, acquainted, nodes

BASE = {"first": numbers(1), "second": numbers(2)}
TUNED = {name: changed(data, 7) for name, data in BASE.items()}

Pair = tuple[Node, Node]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with nodes(tmp_path, 2) as (one, two):
        yield one, two


def placed(folder: Path, tensors: dict[str, bytes]) -> str:
    """A model in a folder, and what it is called."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(safetensors(tensors))
    return f"file:{folder}"


async def had(node: Node, reference: str) -> str:
    """The name of what was pulled."""
    pull = await node.pulled(reference)
    assert pull.stage is PullStage.DONE, pull
    assert pull.artifact is not None
    return pull.artifact


async def tuned_to(pair: Pair, folder: Path, *, base: str | None) -> PullShown:
    """One has base and fine-tune, and two the base and pulls the fine-tune, from one only."""
    one, two = pair
    at = placed(folder / "base", BASE)
    assert await had(one, at) == await had(two, at)
    tuned = await had(one, placed(folder / "tuned", TUNED))
    shutil.rmtree(folder / "tuned")
    acquainted(one, two)
    plan = await two.desk.plan(PullWanted(tuned, base=base))
    pull = await two.pulled(tuned, base)
    assert pull.stage is PullStage.DONE, pull
    assert pull.artifact == tuned
    ((source, most),) = plan.sources
    assert (source, most) == (one.member.pop, pull.neighbour_bytes)
    travelled_bytes = pull.neighbour_bytes - pull.spared_bytes
    assert plan.neighbours_least_bytes <= travelled_bytes <= most
    assert plan.neighbours_least_bytes < (0.7 if base is None else 0.05) * most
    with two.store.shelf.hold(pull.artifact) as held:
        assert held.paths[0].read_bytes() == safetensors(TUNED)
    return pull


async def test_what_is_like_the_base_comes_in_less(pair: Pair, tmp_path: Path) -> None:
    pull = await tuned_to(pair, tmp_path, base=f"file:{tmp_path / 'base'}")
    assert pull.origin_bytes == 0
    assert pull.neighbour_bytes + pull.reused_bytes == pull.size_bytes
    assert pull.spared_bytes > 0.85 * pull.size_bytes


async def test_who_has_just_got_it_so_hands_it_on_so(tmp_path: Path) -> None:
    async with nodes(tmp_path / "pops", 3) as (one, two, three):
        at = placed(tmp_path / "base", BASE)
        assert len({await had(node, at) for node in (one, two, three)}) == 1
        tuned = await had(one, placed(tmp_path / "tuned", TUNED))
        shutil.rmtree(tmp_path / "tuned")
        for source, target in ((one, two), (two, three)):
            acquainted(source, target)
            pull = await target.pulled(tuned, at)
            assert pull.stage is PullStage.DONE, pull
            assert pull.spared_bytes > 0.85 * pull.size_bytes


async def test_without_a_base_it_comes_in_planes(pair: Pair, tmp_path: Path) -> None:
    pull = await tuned_to(pair, tmp_path, base=None)
    assert 0.25 * pull.size_bytes < pull.spared_bytes < 0.4 * pull.size_bytes


async def test_over_a_quick_uplink_it_comes_as_it_is(pair: Pair, tmp_path: Path) -> None:
    pair[0].uplink_bytes_s = 1e9
    pull = await tuned_to(pair, tmp_path, base=f"file:{tmp_path / 'base'}")
    assert pull.spared_bytes == 0


async def test_a_base_that_has_rotted_here_costs_the_saving_and_blames_nobody(
    pair: Pair, tmp_path: Path
) -> None:
    one, two = pair
    base = await had(two, placed(tmp_path / "rotten", BASE))
    with two.store.shelf.hold(next(iter(two.store.shelf.artifacts()))) as held:
        path = held.paths[0]
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(150_000)
        file.write(bytes(1_000))
    shutil.rmtree(tmp_path / "rotten")
    at = placed(tmp_path / "base", BASE)
    assert await had(one, at) == base
    tuned = await had(one, placed(tmp_path / "tuned", TUNED))
    shutil.rmtree(tmp_path / "tuned")
    acquainted(one, two)
    pull = await two.pulled(tuned, base)
    assert pull.stage is PullStage.DONE, pull
    group = two.library.groups[tuned]
    assert not group.blamed


async def test_lists_of_tensors_are_handed_on(pair: Pair, tmp_path: Path) -> None:
    one, two = pair
    tuned = await had(one, placed(tmp_path / "tuned", TUNED))
    shutil.rmtree(tmp_path / "tuned")
    acquainted(one, two)
    assert await had(two, tuned) == tuned
    for node in pair:
        (row,) = node.store.shelf.manifest(next(iter(node.store.shelf.artifacts()))).files
        assert row.tensors is not None
        assert b'"second"' in node.store.shelf.blob(row.tensors)
