"""A built-in model that is pulled is asked as the one that was added by its name."""

import shutil
from pathlib import Path

from littoral.adapters.models import Catalogue
from littoral.terms.values import ModelEntry
from tests.node.delivery.movers import acquainted, nodes


async def test_a_built_in_model_is_the_same_from_an_origin_and_from_a_neighbour(
    tmp_path: Path, smollm2: ModelEntry
) -> None:
    (tmp_path / "origin").mkdir()
    weights = tmp_path / "origin" / "whatever.gguf"
    shutil.copyfile(smollm2.files[0].path, weights)
    async with nodes(tmp_path, 2) as (first, second):
        came = await first.pulled(f"file:{weights}")
        acquainted(first, second)
        assert came.artifact is not None
        assert (await second.pulled(came.artifact)).model == came.model == smollm2.name
        for number in (1, 2):
            entry = Catalogue(tmp_path / f"pop{number}" / "models").get(smollm2.name)
            assert entry.defaults == smollm2.defaults
            assert entry.defaults.system is not None
            assert (entry.tools, entry.licence) == (smollm2.tools, smollm2.licence)
            assert entry.description == smollm2.description


async def test_one_that_is_here_is_not_added_again(tmp_path: Path, smollm2: ModelEntry) -> None:
    async with nodes(tmp_path, 1) as (node,):
        pulled = f"file:{smollm2.files[0].path}"
        assert (await node.pulled(pulled)).model == smollm2.name
        named = Catalogue(tmp_path / "pop1" / "models").entries()
        again = await node.pulled(pulled)
        assert again.model == smollm2.name, again
        assert Catalogue(tmp_path / "pop1" / "models").entries() == named
