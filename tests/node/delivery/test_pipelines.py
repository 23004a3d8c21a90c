"""Pipelines are kept, listed and delivered as the artifacts that they are."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from littoral.delivery.pipelines import read_pipeline
from littoral.terms.delivery import PullStage
from littoral.terms.errors import BadRequestError, ConflictError, NotFoundError
from littoral.terms.pipelines import PipelineWanted
from tests.delivery.test_pipelines import GOOD
from tests.node.delivery.movers import Node, acquainted, nodes

Pair = tuple[Node, Node]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with nodes(tmp_path, 2) as (one, two):
        yield one, two


async def test_what_was_defined_is_listed_and_shown(pair: Pair) -> None:
    one, _ = pair
    assert (await one.pipelines.pipelines()).pipelines == ()
    row = await one.pipelines.define(PipelineWanted(GOOD))
    assert row.steps == ("embed", "recall", "rerank", "generate")
    assert (await one.pipelines.pipelines()).pipelines == (row,)
    for name in ("handbook", row.artifact):
        shown = await one.pipelines.pipeline(name)
        assert shown.pipeline == read_pipeline(GOOD)
        assert shown.pop == one.member.pop
    (stored,) = (await one.desk.store()).artifacts
    assert stored.pinned
    assert stored.reference.startswith("pipeline:handbook@")


async def test_defined_again_it_is_the_same_and_changed_it_is_another(pair: Pair) -> None:
    one, _ = pair
    row = await one.pipelines.define(PipelineWanted(GOOD))
    assert await one.pipelines.define(PipelineWanted(GOOD)) == row
    assert len((await one.pipelines.pipelines()).pipelines) == 1
    other = await one.pipelines.define(PipelineWanted(GOOD.replace("most = 20", "most = 30")))
    assert other.artifact != row.artifact
    with pytest.raises(ConflictError) as refused:
        await one.pipelines.pipeline("handbook")
    assert row.artifact in refused.value.advice
    assert (await one.pipelines.pipeline(row.artifact)).artifact == row.artifact


async def test_it_is_delivered_to_pops_of_the_same_owner_and_to_nobody_else(pair: Pair) -> None:
    one, two = pair
    row = await one.pipelines.define(PipelineWanted(GOOD))
    acquainted(one, two)
    pull = await two.pulled(row.artifact)
    assert pull.stage is PullStage.DONE, pull
    assert (await two.pipelines.pipelines()).pipelines == (row,)
    one.meet([])
    assert one.library.shelf(row.artifact, two.member) is None


async def test_what_is_none_is_refused_or_not_found(pair: Pair) -> None:
    one, _ = pair
    with pytest.raises(BadRequestError, match="no TOML"):
        await one.pipelines.define(PipelineWanted("what is this?"))
    with pytest.raises(NotFoundError):
        await one.pipelines.pipeline("handbook")
    assert (await one.desk.store()).artifacts == ()
