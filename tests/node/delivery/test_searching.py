"""Who begins at the same time is waited for only where nobody has it yet."""

from pathlib import Path

import pytest

from littoral.node.delivery import searching
from littoral.terms.delivery import PullStage
from tests.node.delivery.made import PULL_WAIT_S, acquainted, nodes


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
