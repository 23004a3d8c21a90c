"""Of two PoPs of which only one may fetch from the other, each has all the same what it wants."""

import asyncio
from pathlib import Path
from random import Random

import pytest
from msgspec import structs

from littoral.node.delivery.words import Dealing
from littoral.terms.delivery import PullShown, PullStage, PullWanted
from tests.node.delivery.movers import PULL_WAIT_S, Node, nodes


def know(takes: Node, gives: Node) -> None:
    """Each has heard what the other says now."""
    takes.meet([structs.replace(gives.told(), dealing=Dealing(gets=False))])
    gives.meet([structs.replace(takes.told(), dealing=Dealing(gives=False))])


def file_of(folder: Path, name: str) -> str:
    path = folder / f"{name}.bin"
    path.write_bytes(Random(name).randbytes(6_000_000))
    return f"file:{path}"


@pytest.mark.parametrize("taker", [0, 1])
async def test_what_is_here_whole_is_fetched_in_the_one_direction_alone(
    tmp_path: Path, taker: int
) -> None:
    mine, yours = file_of(tmp_path, "mine"), file_of(tmp_path, "yours")
    async with nodes(tmp_path, 2) as both:
        takes, gives = both[taker], both[1 - taker]
        know(takes, gives)
        for node, reference in ((gives, yours), (takes, mine)):
            assert (await node.pulled(reference)).stage is PullStage.DONE
            know(takes, gives)
        came = await takes.pulled(yours)
        assert came.neighbour_bytes == came.size_bytes
        came = await gives.pulled(mine)
        assert came.origin_bytes == came.size_bytes


@pytest.mark.parametrize("taker", [0, 1])
async def test_of_two_that_begin_at_once_one_helps_the_other(tmp_path: Path, taker: int) -> None:
    reference = file_of(tmp_path, "ours")
    async with nodes(tmp_path, 2) as both:
        takes, gives = both[taker], both[1 - taker]
        know(takes, gives)
        pulls = [await node.desk.pull(PullWanted(reference)) for node in (gives, takes)]

        async def ended(node: Node, pull: PullShown) -> PullShown:
            while not pull.stage.over:
                know(takes, gives)
                await asyncio.sleep(0.005)
                pull = await node.desk.pulled(pull.id)
            return pull

        async with asyncio.timeout(PULL_WAIT_S):
            alone, helped = [
                await ended(node, pull) for node, pull in zip((gives, takes), pulls, strict=True)
            ]
        assert (alone.stage, helped.stage) == (PullStage.DONE, PullStage.DONE)
        assert alone.neighbour_bytes == 0
        assert alone.origin_bytes == alone.size_bytes
        assert helped.origin_bytes + helped.neighbour_bytes == helped.size_bytes
