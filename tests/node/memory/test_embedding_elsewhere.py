"""Texts that other PoPs embed or sort go only where the request may be answered."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from littoral.node.memory.embedding import Embedding
from littoral.routing.requirements import without_weights
from littoral.terms.values import Caller, EngineKind, ModelStatus, UpstreamTarget
from tests.node.memory.made import BOB, MODEL, CountingDoor

ASKS = replace(BOB, requires="zone=eu, digest=sha256:" + 64 * "a" + ", owner=own-0123456789abcdef")


class Elsewhere(CountingDoor):
    """Other PoPs have its model, or an upstream."""

    def __init__(self, peer: str) -> None:
        super().__init__()
        self._peer = peer

    def models(self, caller: Caller) -> Sequence[ModelStatus]:
        (status,) = super().models(caller)
        target = UpstreamTarget("https://other.test", MODEL, peer=self._peer)
        entry = replace(status.entry, engine=EngineKind.UPSTREAM, upstreams=(target,))
        return [replace(status, entry=entry)]


@pytest.mark.parametrize(
    ("door", "requires"),
    [
        (Elsewhere("spiffe://pops/other"), "zone=eu, owner=own-0123456789abcdef"),
        (Elsewhere(""), ""),
        (CountingDoor(), ""),
    ],
    ids=["another-pop", "upstream", "here"],
)
async def test_a_question_goes_to_no_pop_that_may_not_answer_it(
    door: CountingDoor, requires: str
) -> None:
    await Embedding(door).vectors(MODEL, ["a question"], ASKS)
    assert [caller.requires for caller in door.callers] == [requires]


def test_what_is_required_of_weights_is_of_the_model_that_answers() -> None:
    assert without_weights("") == ""
    assert without_weights("digest=sha256:00") == ""
    assert without_weights(" zone=eu ,tier=signed") == "zone=eu, tier=signed"
