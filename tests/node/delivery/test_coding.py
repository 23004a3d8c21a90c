"""Chunks are encoded once for all peers, only over slow uplinks, and against nothing secret."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from littoral.delivery.claims import Known, signed_claim
from littoral.delivery.encoding import Encoding
from littoral.delivery.resemblance import Tensors
from littoral.node.delivery.coding import Coding
from littoral.node.delivery.whole import Whole
from littoral.node.delivery.words import PeerTold
from littoral.terms.ids import ArtifactId, OwnerId, PopId
from tests.adapters.owner.made import identity
from tests.delivery.test_resemblance import changed, numbers, safetensors
from tests.node.delivery.movers import Node, acquainted, nodes

BASE = {"first": numbers(1)}
TUNED = {"first": changed(BASE["first"], 7)}


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Node, Node]]:
    async with nodes(tmp_path, 2) as (one, two):
        acquainted(one, two)
        yield one, two


async def had(node: Node, folder: Path, tensors: dict[str, bytes]) -> ArtifactId:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(safetensors(tensors))
    pull = await node.pulled(f"file:{folder}")
    shutil.rmtree(folder)
    assert pull.artifact is not None
    return pull.artifact


def largest(whole: Whole) -> int:
    return max(range(whole.table.chunks), key=lambda number: whole.table[number].size_bytes)


def published(node: Node, artifact: ArtifactId, *, private: bool) -> None:
    """Have it claimed to be for all, or for PoPs of this owner."""
    claim = signed_claim(
        identity(1),
        reference=f"file:/{artifact[-8:]}",
        artifact=artifact,
        known=Known.FIRST,
        private=private,
        base=None,
        unix_s=2**33,
    )
    node.holdings.claimed(artifact, claim)


async def test_a_private_base_is_no_base_for_pops_of_other_owners(
    pair: tuple[Node, Node], tmp_path: Path
) -> None:
    one, two = pair
    base = await had(one, tmp_path / "base", BASE)
    tuned = await had(one, tmp_path / "tuned", TUNED)
    published(one, base, private=True)
    published(one, tuned, private=False)
    whole = Whole(one.holdings, tuned)
    number = largest(whole)
    held = whole.shelf.held(number)
    assert held is not None
    stranger = replace(two.member, owner=OwnerId("own-" + 16 * "f"), pop=PopId("pop-" + 16 * "f"))
    one.meet([two.told(), PeerTold.of(stranger, "", (), own=False)])
    encodings = []
    for peer in (two.member, stranger):
        coder = one.library.coder(tuned, peer, base)
        assert coder is not None
        found = coder.coded(number, held)
        assert found is not None
        encodings.append(found[0])
    assert encodings == [Encoding.DELTA, Encoding.PLANES]
    whole.close()


@pytest.mark.parametrize("base", ["", "blake3:", "blake3:../../etc/passwd", "x" * 9_999, "\0"])
async def test_what_is_no_artifact_is_no_base(
    pair: tuple[Node, Node], tmp_path: Path, base: str
) -> None:
    one, two = pair
    tuned = await had(one, tmp_path / "tuned", TUNED)
    assert one.library.coder(tuned, two.member, base) is not None
    assert one.library.coder("blake3:" + 64 * "0", two.member, base) is None


async def test_a_chunk_is_encoded_once_for_all(
    pair: tuple[Node, Node], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = pair
    whole = Whole(one.holdings, await had(one, tmp_path / "tuned", TUNED))
    rate = [1e6]
    coding = Coding(lambda: rate[0])
    number = largest(whole)
    held = whole.shelf.held(number)
    assert held is not None
    first, second = (coding.coder(whole.table, whole.tensors, None) for _ in range(2))
    found = first.coded(number, held)
    assert found is not None
    assert second.coded(number, held) is found
    monkeypatch.setattr("littoral.node.delivery.coding.ENCODED_KEPT_BYTES", 1_000)
    assert coding.coder(whole.table, Tensors({}), whole).coded(number, held) is not None
    assert first.coded(number, held) == found
    assert first.coded(number, held) is not found, "of what is kept the oldest went"
    rate[0] = 1e9
    assert first.coded(number, held) is None
    whole.close()
