"""Sixty worlds in which PoPs pull while much goes wrong; and defects that such worlds find.

A seed alone: `python -m pytest tests/worlds/test_deliveries.py -k "seed-12]"`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from littoral.delivery.asking import Asking
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.dealing import Deals
from littoral.delivery.doubts import Doubts
from littoral.delivery.fetches import Fetches
from littoral.delivery.news import Deal
from littoral.delivery.peers import Peer
from littoral.delivery.pull import PullMachine
from littoral.delivery.sharing import Sharing
from littoral.delivery.words import Effect
from littoral.sim.delivery.drawn import lived
from littoral.terms.ids import PopId
from littoral.terms.values import Instant

SEEDS = range(60)
Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("seed", SEEDS, ids="seed-{}".format)
def test_all_that_must_hold_does_in_the_world_of(seed: int) -> None:
    lived(seed)


def test_the_same_seed_tells_the_same_story_and_another_one_another() -> None:
    assert lived(7).digest == lived(7).digest
    assert lived(7).digest != lived(8).digest


def test_worlds_are_worth_looking_at() -> None:
    worlds = [lived(seed) for seed in range(30)]
    assert any(world.spoiled for world in worlds), "some lie"
    assert any(pop.blamed for world in worlds if world.draft for pop in world.pops.values())
    assert any(world.replaced for world in worlds), "some are silent"
    assert any(not pop.alive for world in worlds for pop in world.pops.values()), "some die"


def who_lies_is_asked_again(patch: Patch) -> None:
    real = Asking.blame

    def blame(self: Asking, pop: PopId, chunk: int) -> None:
        real(self, pop, chunk)
        for peer in self._state.peers.values():
            peer.blamed = False

    patch.setattr(Asking, "blame", blame)


def a_seal_that_fails_is_sealed_anyway(patch: Patch) -> None:
    real = PullMachine.seal_failed

    def seal_failed(self: PullMachine, run: Any, now: Instant) -> Sequence[Effect]:
        return self.sealed(now) if self._phase == "sealing" else real(self, run, now)

    patch.setattr(PullMachine, "seal_failed", seal_failed)


def whoever_vouched_is_blamed(patch: Patch) -> None:
    real = Doubts.read_again
    patch.setattr(
        Doubts, "read_again", lambda self, chunk, *, changed: real(self, chunk, changed=True)
    )


def a_dealer_rules_for_ever(patch: Patch) -> None:
    real = Sharing._take_over

    def take_over(self: Sharing, pullers: list[Peer], now: Instant) -> bool:
        return not self._state.deals.epoch and real(self, pullers, now)

    patch.setattr(Sharing, "_take_over", take_over)
    patch.setattr(Asking, "_ask_anybody", lambda *_: None)


def whoever_is_gone_is_asked(patch: Patch) -> None:
    patch.setattr(Asking, "drop", lambda _self, _peer: None)


def what_is_held_is_asked_for(patch: Patch) -> None:
    patch.setattr(Fetches, "landed", lambda _self, _number, _chunk: [])


def a_chunk_has_two_owners(patch: Patch) -> None:
    def put(self: Deals, deal: Deal) -> None:
        run = ChunkSet.of_runs([(deal.first, deal.end)])
        self.owned[deal.owner] = self.of(deal.owner) | run

    patch.setattr(Deals, "put", put)


def nothing_is_wanted(patch: Patch) -> None:
    patch.setattr(Asking, "_want", lambda *_: None)
    patch.setattr(Asking, "_ask_anybody", lambda *_: None)


def the_silent_are_waited_for(patch: Patch) -> None:
    patch.setattr(Asking, "look", lambda *_: None)


def plans_are_made_once(patch: Patch) -> None:
    real = PullMachine.deadline
    patch.setattr(PullMachine, "deadline", lambda self: None if self._state.came else real(self))


DEFECTS: list[Callable[[Patch], None]] = [
    who_lies_is_asked_again,
    a_seal_that_fails_is_sealed_anyway,
    whoever_vouched_is_blamed,
    a_dealer_rules_for_ever,
    whoever_is_gone_is_asked,
    what_is_held_is_asked_for,
    a_chunk_has_two_owners,
    nothing_is_wanted,
    the_silent_are_waited_for,
    plans_are_made_once,
]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_some_world_finds_that(defect: Callable[[Patch], None], monkeypatch: Patch) -> None:
    defect(monkeypatch)
    for seed in SEEDS:
        try:
            lived(seed)
        except AssertionError:
            return
    pytest.fail("no world finds it")
