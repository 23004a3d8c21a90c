"""Who pulls finds those who have it, whatever they are called and whenever they got it."""

import shutil
from pathlib import Path

import pytest

from littoral.terms.delivery import PullStage
from tests.node.delivery.movers import acquainted, nodes


@pytest.mark.parametrize("turned", [False, True], ids=["the lower name pulls", "the higher pulls"])
@pytest.mark.parametrize("lately", [False, True], ids=["long had", "had lately"])
async def test_a_pop_dials_whoever_has_everything(
    tmp_path: Path, turned: bool, lately: bool
) -> None:
    async with nodes(tmp_path, 2) as made:
        has, wants = sorted(made, key=lambda node: node.member.pop, reverse=not turned)
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "weights.bin").write_bytes(bytes(range(256)) * 4_000)
        had = await has.pulled(f"file:{folder}")
        assert had.artifact is not None
        if not lately:
            for name in list(has.library.groups):
                has.library.groups.pop(name).close()
        shutil.rmtree(folder)
        acquainted(has, wants)
        pull = await wants.pulled(had.artifact)
        assert pull.stage is PullStage.DONE, pull
        assert pull.neighbour_bytes + pull.reused_bytes == pull.size_bytes
