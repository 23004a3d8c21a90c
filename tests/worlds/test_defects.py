"""Worlds have teeth: each of these defects, put into a real core, is found by some world.

A defect that no world finds any more means that the simulation has gone blind somewhere.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from littoral.node.fabric.view import FleetView
from littoral.placement import pool as pools
from littoral.placement.pool import Pool
from littoral.routing import fleet as fleets
from littoral.routing import predict
from littoral.routing.board import TargetBoard
from littoral.routing.failures import Failure
from littoral.routing.fleet import PopState
from littoral.routing.journey import Journey
from littoral.routing.sends import Sends
from littoral.routing.words import Effect as Going
from littoral.serving.exchange import Effect, Exchange, Record, Refund, Release, Settle
from littoral.terms.values import Instant
from littoral.trust import records
from tests.worlds.lived import lived

WORLDS = range(100)
"""In how many worlds a defect is looked for, at most."""

Patch = pytest.MonkeyPatch


def older_records_win(patch: Patch) -> None:
    def earlier(one: PopState, other: PopState) -> PopState:
        return other if real(one, other) == one else one

    real = fleets.later
    patch.setattr(fleets, "later", earlier)


def the_last_heard_wins(patch: Patch) -> None:
    patch.setattr(fleets, "later", lambda _before, heard: heard)


def equal_numbers_are_not_ordered(patch: Patch) -> None:
    def first_wins(one: PopState, other: PopState) -> PopState:
        return one if (one.boot, one.seq) >= (other.boot, other.seq) else other

    patch.setattr(fleets, "later", first_wins)


def boots_do_not_count(patch: Patch) -> None:
    real = fleets.later
    patch.setattr(
        fleets, "later", lambda one, other: one if one.seq >= other.seq else real(other, other)
    )


def signatures_are_not_looked_at(patch: Patch) -> None:
    patch.setattr(records, "opened", lambda record, _verify: record.payload)


def names_need_not_follow_from_keys(patch: Patch) -> None:
    patch.setattr(records, "decoded", records._RECORD.decode)


def the_revoked_stay(patch: Patch) -> None:
    patch.setattr(FleetView, "recheck", lambda _self, _unix_s: None)


def a_journey_goes_on_after_the_first_byte(patch: Patch) -> None:
    def broke(self: Journey, attempt: int, failure: Failure, now: Instant) -> Sequence[Going]:
        one = self.attempts[attempt]
        if not one.live:
            return ()
        effects = self._lose(one, failure, now)
        self.winner = -1
        return self._go_on(now, effects)

    patch.setattr(Journey, "broke", broke)


def a_hedge_is_not_cancelled(patch: Patch) -> None:
    real = Journey.first_byte

    def first_byte(self: Journey, attempt: int, now: Instant) -> Sequence[Going]:
        return real(self, attempt, now)[:0]

    patch.setattr(Journey, "first_byte", first_byte)


def a_journey_has_no_end(patch: Patch) -> None:
    patch.setattr(Journey, "deadline", lambda _self: None)


def a_refused_journey_counts_for_ever(patch: Patch) -> None:
    patch.setattr(TargetBoard, "_leave", lambda _self, _base: None)


def a_drained_target_is_asked(patch: Patch) -> None:
    patch.setattr(TargetBoard, "drain", lambda _self, _row: None)


def requests_go_in_circles(patch: Patch) -> None:
    patch.setattr(predict, "_barred", lambda _candidate, _wanted: None)


def what_was_sent_counts_for_ever(patch: Patch) -> None:
    patch.setattr(Sends, "ended", lambda _self, _send: None)


def a_slot_is_not_given_back(patch: Patch) -> None:
    real = Pool._released

    def released(self: Pool, ticket: int, now: Instant) -> None:
        if ticket % 5:
            real(self, ticket, now)

    patch.setattr(Pool, "_released", released)


def slots_are_not_counted(patch: Patch) -> None:
    patch.setattr(pools, "fits_beside", lambda *_: True)
    patch.setattr(Pool, "check", lambda _self: None)


def memory_is_not_counted(patch: Patch) -> None:
    patch.setattr(Pool, "_make_room", lambda *_: True)
    patch.setattr(Pool, "check", lambda _self: None)


def who_waits_for_a_model_that_gave_up_is_forgotten(patch: Patch) -> None:
    patch.setattr(Pool, "_refuse_waiting", lambda *_: None)
    patch.setattr(Pool, "_tick", lambda *_: None)


def without(kind: type, patch: Patch) -> None:
    real = Exchange._end

    def end(self: Exchange, outcome: Any) -> Sequence[Effect]:
        return [effect for effect in real(self, outcome) if not isinstance(effect, kind)]

    patch.setattr(Exchange, "_end", end)


def some_exchanges_have_no_record(patch: Patch) -> None:
    without(Record, patch)


def a_budget_is_not_settled(patch: Patch) -> None:
    without(Settle, patch)


def a_budget_is_not_given_back(patch: Patch) -> None:
    without(Refund, patch)


def a_broken_exchange_keeps_its_slot(patch: Patch) -> None:
    without(Release, patch)


def an_exchange_has_two_records(patch: Patch) -> None:
    real = Exchange._end

    def end(self: Exchange, outcome: Any) -> Sequence[Effect]:
        effects = list(real(self, outcome))
        return effects + [each for each in effects if isinstance(each, Record)]

    patch.setattr(Exchange, "_end", end)


DEFECTS: list[Callable[[Patch], None]] = [
    older_records_win,
    the_last_heard_wins,
    equal_numbers_are_not_ordered,
    boots_do_not_count,
    signatures_are_not_looked_at,
    names_need_not_follow_from_keys,
    the_revoked_stay,
    a_journey_goes_on_after_the_first_byte,
    a_hedge_is_not_cancelled,
    a_journey_has_no_end,
    a_refused_journey_counts_for_ever,
    a_drained_target_is_asked,
    requests_go_in_circles,
    what_was_sent_counts_for_ever,
    a_slot_is_not_given_back,
    slots_are_not_counted,
    memory_is_not_counted,
    who_waits_for_a_model_that_gave_up_is_forgotten,
    some_exchanges_have_no_record,
    a_budget_is_not_settled,
    a_budget_is_not_given_back,
    a_broken_exchange_keeps_its_slot,
    an_exchange_has_two_records,
]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_some_world_finds_that(defect: Callable[[Patch], None], monkeypatch: Patch) -> None:
    defect(monkeypatch)
    for seed in WORLDS:
        try:
            lived(seed)
        except AssertionError:
            return
    pytest.fail("no world finds it")
