"""Who begins at the same time is waited for, but only where nobody has it yet."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec import structs

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.pull import PullMachine
from littoral.node.delivery import pulling, searching
from littoral.node.delivery.finding import mark_of, wish_of
from littoral.routing.fleet import Delivery
from littoral.terms.delivery import ListingWanted, PullStage
from littoral.terms.ids import PopId
from tests.node.delivery.movers import PULL_WAIT_S, acquainted, nodes


async def test_what_a_neighbour_has_whole_is_had_without_waiting_who_else_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(b"weights" * 100_000)
    reference = f"file:{tmp_path / 'model'}"
    async with nodes(tmp_path, 2) as (one, two):
        assert (await one.pulled(reference)).stage is PullStage.DONE
        monkeypatch.setattr(searching, "_GATHER_S", 2 * PULL_WAIT_S)
        acquainted(one, two)
        pull = await two.pulled(reference)
        assert pull.stage is PullStage.DONE
        assert pull.neighbour_bytes == pull.size_bytes


async def test_whoever_wishes_the_same_is_waited_for_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[set[PopId]] = []

    def machine(
        me: PopId, sizes: Iterable[int], has: ChunkSet, those: Iterable[PopId], **more: bool
    ) -> PullMachine:
        expected.append(set(those))
        return PullMachine(me, sizes, has, expected[-1], **more)

    monkeypatch.setattr(pulling, "PullMachine", machine)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(b"weights" * 100_000)
    async with nodes(tmp_path, 2) as (one, two):
        listing = await one.desk.listing(ListingWanted(f"file:{tmp_path / 'model'}"))
        wish = bytes.fromhex(wish_of(listing.reference).removeprefix("wish:"))
        said = Delivery(wish, mark_of(listing.reference), whole=False)
        one.meet([structs.replace(two.told(), deliveries=(said,))])
        assert one.others.wishing(wish_of(listing.reference)) == {two.member.pop}
        pull = await one.pulled(listing.reference)
        assert pull.stage is PullStage.DONE, "though it does not come"
        assert expected == [{two.member.pop}]
