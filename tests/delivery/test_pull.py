"""One pull, step by step."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.dealing import Deals
from littoral.delivery.news import Deal, News, Table
from littoral.delivery.pull import PullMachine
from littoral.delivery.sizes import Sizes
from littoral.delivery.wanting import pick, rarities
from littoral.delivery.words import (
    ORIGIN,
    Begin,
    Blame,
    Cancel,
    Drop,
    Effect,
    Ended,
    Event,
    Fail,
    Fetch,
    Finish,
    Landed,
    Met,
    Parted,
    Replaced,
    Role,
    Seal,
    Sealed,
    SealFailed,
    Spoiled,
    Tell,
    Told,
    Woke,
)
from littoral.terms.ids import PopId
from littoral.terms.values import SECOND, Instant

ME, OTHER, THIRD = (PopId(f"pop-{number:016x}") for number in range(3))
ALL = ChunkSet.of(range(10))


class Hand:
    """Gives a machine its events, and lets time pass."""

    def __init__(self, machine: PullMachine) -> None:
        self.machine = machine
        self.now = Instant(0)
        self.asked: dict[int, Fetch] = {}

    def say(self, *events: Event) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            effects += self._kept(self.machine.step(event, self.now))
        return effects

    def wait(self, seconds: float) -> list[Effect]:
        until = self.now + int(seconds * SECOND)
        effects: list[Effect] = []
        while (due := self.machine.deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            effects += self._kept(self.machine.step(Woke(), self.now))
        self.now = Instant(until)
        return effects

    def _kept(self, effects: Sequence[Effect]) -> Sequence[Effect]:
        self.machine.check()
        for effect in effects:
            if isinstance(effect, Fetch):
                self.asked[effect.id] = effect
            elif isinstance(effect, Drop):
                self.asked.pop(effect.id, None)
        return effects

    def land_all(self) -> list[Effect]:
        """All that is asked for comes."""
        effects: list[Effect] = []
        for fetch in list(self.asked.values()):
            for chunk in fetch.chunks:
                effects += self.say(Landed(fetch.id, chunk))
            del self.asked[fetch.id]
        return effects


def whole(chunks: ChunkSet, *, pulling: bool = False) -> News:
    return News(holds=chunks.encoded(), pulling=pulling)


def alone() -> Hand:
    hand = Hand(PullMachine(ME, [1000] * 10))
    hand.say(Begin())
    return hand


def test_a_pop_alone_asks_the_origin_run_by_run_until_all_is_sealed() -> None:
    hand = alone()
    effects: list[Effect] = []
    for _ in range(20):
        effects += hand.wait(0.1)
        effects += hand.land_all()
    fetches = [effect for effect in effects if isinstance(effect, Fetch)]
    assert all(fetch.source == ORIGIN for fetch in fetches)
    assert all(len(list(fetch.chunks.runs())) == 1 for fetch in fetches)
    assert Seal() in effects
    assert hand.say(Sealed())[-1] == Finish()
    assert hand.machine.done
    assert hand.machine.has == ALL


def test_nothing_is_asked_before_those_that_pull_too_are_there_or_late() -> None:
    hand = Hand(PullMachine(ME, [1000] * 10, expected=[OTHER]))
    hand.say(Begin())
    hand.wait(0.25)
    assert not hand.asked
    hand.wait(0.2)
    assert hand.asked
    other = Hand(PullMachine(ME, [1000] * 10, expected=[OTHER]))
    other.say(Begin(), Met(OTHER, Role.EQUAL, whole(ChunkSet(), pulling=True)))
    other.wait(0.1)
    assert other.asked


def test_whoever_has_it_all_is_asked_and_the_origin_is_not() -> None:
    hand = alone()
    hand.say(Met(OTHER, Role.EQUAL, whole(ALL)))
    hand.wait(0.1)
    assert {fetch.source for fetch in hand.asked.values()} == {OTHER}


def test_who_gives_a_wrong_chunk_is_blamed_and_not_asked_again_even_if_it_comes_back() -> None:
    hand = alone()
    hand.say(Met(OTHER, Role.EQUAL, whole(ALL)))
    hand.wait(0.1)
    fetch = next(iter(hand.asked.values()))
    chunk = next(iter(fetch.chunks))
    assert Blame(OTHER, chunk) in hand.say(Spoiled(fetch.id, chunk))
    hand.say(Parted(OTHER), Met(OTHER, Role.EQUAL, whole(ALL)))
    hand.wait(5)
    assert {fetch.source for fetch in hand.asked.values()} == {ORIGIN}


def test_an_origin_with_other_bytes_is_given_up_and_the_reason_said() -> None:
    hand = alone()
    last: list[Effect] = []
    for _ in range(100):
        last = hand.wait(1)
        for fetch in list(hand.asked.values()):
            hand.asked.pop(fetch.id, None)
            hand.say(Spoiled(fetch.id, next(iter(fetch.chunks))))
        if hand.machine.done:
            break
    assert last[-1] == Fail("the origin gives other bytes than were promised")


def test_an_origin_that_fails_is_asked_again_later_and_later() -> None:
    hand = alone()
    times = []
    for _ in range(300):
        effects = hand.wait(0.1)
        for effect in effects:
            if isinstance(effect, Fetch):
                times.append(hand.now / SECOND)
                hand.say(Ended(effect.id, "503"))
    gaps = [after - before for before, after in pairwise(times)]
    assert len(times) < 20
    assert max(gaps[-2:]) > gaps[0]


def test_a_source_that_stops_is_dropped_within_two_seconds() -> None:
    hand = alone()
    hand.say(Met(OTHER, Role.EQUAL, whole(ALL)))
    hand.wait(0.5)
    asked = set(hand.asked)
    dropped = {effect.id for effect in hand.wait(1.5) if isinstance(effect, Drop)}
    assert asked <= dropped
    assert ORIGIN in {fetch.source for fetch in hand.asked.values()}


def test_a_dealer_that_is_silent_and_owes_nothing_is_replaced_with_a_word() -> None:
    hand = Hand(PullMachine(OTHER, [1000] * 10))
    hand.say(Begin(), Met(ME, Role.EQUAL, whole(ChunkSet(), pulling=True)))
    hand.say(Told(ME, News(table=Table(1, 1, (), whole=True))))
    assert Replaced(ME) not in hand.wait(1.7)
    effects = hand.wait(0.3)
    assert Replaced(ME) in effects
    (table,) = [effect.news.table for effect in effects if isinstance(effect, Tell)][:1]
    assert table is not None
    assert table.epoch == 2


def test_what_was_dropped_is_taken_if_it_comes_late() -> None:
    hand = alone()
    hand.wait(0.1)
    fetch = next(iter(hand.asked.values()))
    hand.wait(2)
    assert fetch.id not in hand.asked
    hand.say(Landed(fetch.id, 0))
    assert 0 in hand.machine.has


def test_cancel_drops_all_and_tells_the_others() -> None:
    hand = alone()
    hand.wait(0.1)
    effects = hand.say(Cancel())
    assert not hand.asked
    assert isinstance(effects[-1], Tell)
    assert not effects[-1].news.pulling
    assert hand.machine.deadline() is None
    assert hand.say(Cancel()) == []


def test_a_wrong_file_that_nobody_else_vouched_for_can_not_be_had() -> None:
    hand = alone()
    for _ in range(20):
        hand.wait(0.1)
        hand.land_all()
    assert isinstance(hand.say(SealFailed(0, 10))[-1], Fail)


def test_the_liar_of_a_draft_is_read_again_at_the_origin_and_named() -> None:
    hand = Hand(PullMachine(ME, [1000] * 4, ChunkSet.of([0])))
    hand.say(Begin(), Met(OTHER, Role.EQUAL, whole(ChunkSet.of(range(4)))))
    hand.wait(0.1)
    for fetch in list(hand.asked.values()):
        for chunk in fetch.chunks:
            hand.say(Landed(fetch.id, chunk, OTHER if chunk == 2 else THIRD))
    hand.asked.clear()
    assert Seal() in hand.wait(0.2)
    hand.say(SealFailed(0, 4))
    effects: list[Effect] = []
    for _ in range(10):
        effects += hand.wait(0.2)
        for fetch in list(hand.asked.values()):
            assert fetch.source == ORIGIN
            for chunk in fetch.chunks:
                effects += hand.say(Landed(fetch.id, chunk, changed=chunk == 2))
        hand.asked.clear()
        if Seal() in effects and Blame(OTHER, 2) not in effects:
            hand.say(SealFailed(0, 4))
    assert Blame(OTHER, 2) in effects
    assert not any(isinstance(each, Blame) and each.source != OTHER for each in effects)
    assert hand.say(Sealed())[-1] == Finish()


def test_a_hint_that_comes_while_all_is_looked_at_again_is_followed_after_that() -> None:
    hand = Hand(PullMachine(ME, [1000] * 4, ChunkSet.of([0])))
    hand.say(Begin(), Met(OTHER, Role.EQUAL, whole(ChunkSet.of(range(4)))))
    hand.wait(0.1)
    for fetch in list(hand.asked.values()):
        for chunk in fetch.chunks:
            hand.say(Landed(fetch.id, chunk, OTHER if chunk == 2 else THIRD))
    hand.asked.clear()
    assert Seal() in hand.wait(0.2)
    hand.say(SealFailed(0, 4))
    hand.wait(0.2)
    read = {chunk for fetch in hand.asked.values() for chunk in fetch.chunks}
    hand.land_all()
    assert Seal() in hand.wait(0.2)
    (hinted, *_) = {1, 2, 3} - read
    hand.say(Told(OTHER, News(pulling=True, wrong=((hinted, hinted + 1),))))
    assert hand.machine.has == ChunkSet.of(range(4)), "as long as it may be right"
    hand.say(SealFailed(0, 4))
    hand.wait(0.2)
    (again,) = hand.asked.values()
    assert (again.source, again.chunks) == (ORIGIN, ChunkSet.of([hinted]))


def test_the_table_of_the_higher_epoch_counts_and_of_equal_ones_the_lower_name() -> None:
    deals = Deals()
    assert deals.hear(OTHER, Table(1, 1, (Deal(0, 5, OTHER),), whole=True))
    assert deals.hear(THIRD, Table(1, 1, (Deal(0, 5, THIRD),), whole=True)) is None
    assert deals.hear(ME, Table(1, 1, (Deal(0, 5, ME),), whole=True))
    assert deals.of(ME) == ChunkSet.of(range(5))
    assert deals.hear(THIRD, Table(2, 1, (Deal(3, 4, THIRD),))) is None, "it begins whole"
    assert deals.hear(THIRD, Table(2, 1, (Deal(3, 4, THIRD),), whole=True))
    assert deals.hear(THIRD, Table(2, 2, (Deal(3, 9, OTHER),)))
    assert (deals.of(THIRD), deals.of(OTHER)) == (ChunkSet(), ChunkSet.of(range(3, 9)))


def test_the_rarest_is_picked_first_and_one_chunk_at_least() -> None:
    one, two = ChunkSet.of([1, 2, 3]), ChunkSet.of([2, 3])
    common = rarities([one, two, ChunkSet.of([3])])
    sizes = Sizes([1000] * 10)
    assert pick(one, common, 0.0, 10, sizes) == ChunkSet.of([1])
    assert pick(two, common, 0.0, 5000, sizes) == ChunkSet.of([2])
    assert pick(ChunkSet(), common, 0.5, 10, sizes) == ChunkSet()


@pytest.mark.parametrize("most", [0, 999, 1000, 2500, 99_999])
def test_a_run_is_cut_at_whole_chunks(most: int) -> None:
    sizes = Sizes([1000] * 10)
    end = sizes.reach((2, 8), most)
    assert 3 <= end <= 8
    assert end == 3 or sizes.of_run((2, end)) <= most


def test_news_for_whoever_comes_has_everything_and_later_news_what_is_new() -> None:
    hand = alone()
    hand.wait(0.1)
    hand.land_all()
    told = [each.news for each in hand.wait(0.5) if isinstance(each, Tell)]
    gained = ChunkSet.of_runs(run for news in told for run in news.gained)
    assert gained
    greeting = hand.machine.greeting()
    assert ChunkSet.of_bytes(greeting.holds or b"") == hand.machine.has
    assert greeting.table is not None
    assert greeting.table.whole


def test_news_of_who_was_not_met_is_not_heard() -> None:
    hand = alone()
    hand.say(Told(OTHER, whole(ALL)))
    hand.wait(0.1)
    assert {fetch.source for fetch in hand.asked.values()} == {ORIGIN}
