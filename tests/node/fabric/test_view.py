"""The view: whatever arrives, in whatever order, it keeps what is signed, good and latest."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.adapters.identity import verify
from littoral.node.fabric.view import FleetView
from littoral.routing.fleet import Fleet
from littoral.terms import limits
from littoral.terms.facts import Fact, PopBack, PopChanged, PopGone, PopSeen, RecordRejected
from littoral.terms.heard import Gone, Heard, Here, Said
from littoral.terms.ids import ModelName, SiteName
from littoral.terms.values import SECOND, Instant
from littoral.trust.members import Member
from littoral.trust.records import Record, RecordKind, decoded, signed
from tests.fabric_made import Pop, check

A, B, C = Pop(1), Pop(2), Pop(3)
NOW = Instant(5 * SECOND)
UNIX = 1_000


class Seen(FleetView):
    """A view, and all that it told."""

    def __init__(self, admissible: Callable[[Member], bool] = lambda _: True) -> None:
        self.facts: list[Fact] = []
        self.passed: list[Record] = []
        self.kept: set[bytes] = set()
        self.fleets: list[Fleet] = []
        super().__init__(
            verify=verify,
            check=check,
            admissible=admissible,
            observe=self.facts.append,
            keeps=lambda record: record.payload in self.kept,
            passed_on=self.passed.append,
        )
        self.watch(self.fleets.append)

    def take(self, *heard: Heard, now: Instant = NOW, unix_s: int = UNIX) -> None:
        self.hear(heard, now, unix_s)
        self.check()

    def told(self) -> list[Fact]:
        told, self.facts[:] = list(self.facts), []
        return told


def state(pop: Pop, seq: int, **more: object) -> Said:
    return Said(pop.topic(), pop.state(seq, **more))  # type: ignore[arg-type]


def card(pop: Pop, seq: int = 1, **more: object) -> Said:
    return Said(pop.topic(RecordKind.CARD), pop.card(seq, **more))  # type: ignore[arg-type]


def payload_of(said: Said) -> bytes:
    return decoded(said.record).payload


RECORDS = [
    *(state(pop, seq, boot=boot) for pop in (A, B) for boot in (1, 2) for seq in (1, 2)),
    *(state(A, 2, boot=2, models=[name]) for name in ("one", "two")),
    *(card(pop, seq, site=f"s{seq}") for pop in (A, B) for seq in (1, 2)),
    card(C),
    state(A, 3, boot=2, url=""),
    card(A, 3, until=1),
    Said(B.topic(), A.state(9)),
    Said(A.topic(), b"noise"),
]


@given(st.permutations(RECORDS), st.lists(st.sampled_from(RECORDS)), st.integers(1, 9))
def test_records_in_any_order_and_number_give_the_same_fleet(
    order: Sequence[Said], again: Sequence[Said], together: int
) -> None:
    view, plain = Seen(), Seen()
    plain.take(*RECORDS)
    heard = [*again, *order]
    for at in range(0, len(heard), together):
        view.take(*heard[at : at + together])
    assert view.fleet == plain.fleet
    assert set(view.fleet.pops) == {B.id}
    assert (view.fleet.pops[B.id].state.boot, view.fleet.pops[B.id].member.site) == (2, "s2")


def test_a_pop_is_seen_once_its_state_and_its_card_are_there() -> None:
    view = Seen()
    view.take(state(A, 1, models=["m"]))
    assert not view.fleet.pops
    view.take(card(A))
    known = view.fleet.pops[A.id]
    assert (known.state.seq, known.member.site, known.alive, known.heard_at) == (1, "s", True, NOW)
    assert view.told() == [PopSeen(A.id, known.member.owner, known.member.zone, known.member.site)]
    assert view.fleets == [view.fleet]


def test_watchers_hear_of_changes_once_for_all_that_came_together() -> None:
    view = Seen()
    view.take(card(A), state(A, 1), card(B), state(B, 1), state(A, 2))
    view.take(state(A, 1), card(B), state(B, 1))
    assert len(view.fleets) == 1


def test_another_site_and_other_models_are_told_of_and_a_mere_load_is_not() -> None:
    view = Seen()
    view.take(card(A), state(A, 1, models=["m"]))
    view.told()
    view.take(state(A, 2, models=["m"]))
    assert view.told() == []
    view.take(state(A, 3, models=["m", "n"]), card(A, 2, site="t"))
    m, n = ModelName("m"), ModelName("n")
    assert view.told() == [
        PopChanged(A.id, SiteName("s"), (m, n)),
        PopChanged(A.id, SiteName("t"), (m, n)),
    ]
    assert view.fleet.pops[A.id].member.site == "t"


def test_liveliness_says_who_is_gone_and_back() -> None:
    view = Seen()
    view.take(Here(A.id), card(A), state(A, 1), Here(A.id))
    view.told()
    view.take(Gone(A.id))
    assert not view.fleet.pops[A.id].alive
    view.take(Gone(A.id), state(A, 1), Here(B.id), Gone(C.id))
    assert not view.fleet.pops[A.id].alive
    view.take(Here(A.id))
    assert view.fleet.pops[A.id].alive
    assert view.told() == [PopGone(A.id, "left"), PopBack(A.id)]


def test_a_newer_state_is_a_better_sign_of_life_than_liveliness() -> None:
    view = Seen()
    view.take(card(A), state(A, 1), Gone(A.id), state(A, 2))
    assert view.fleet.pops[A.id].alive


def test_who_says_nothing_for_long_is_gone_whatever_liveliness_says() -> None:
    view = Seen()
    view.take(card(A), state(A, 1))
    later = Instant(NOW + int(limits.FLEET_SILENT_S * SECOND))
    view.tick(later, UNIX)
    assert view.fleet.pops[A.id].alive
    view.tick(Instant(later + 1), UNIX)
    view.check()
    assert view.told()[1:] == [PopGone(A.id, "silent")]
    view.take(state(A, 2), now=later)
    assert view.fleet.pops[A.id].alive


def test_an_expired_card_takes_its_pop_out_until_a_new_one_comes() -> None:
    view = Seen()
    view.take(card(A, 1, until=UNIX + 10), state(A, 1))
    view.tick(NOW, UNIX + 9)
    assert A.id in view.fleet.pops
    view.tick(Instant(NOW + int(limits.FLEET_CHECK_S * SECOND)), UNIX + 10)
    view.check()
    assert view.told()[1:] == [PopGone(A.id, "certificate")]
    view.take(state(A, 2), unix_s=UNIX + 11)
    assert A.id not in view.fleet.pops
    view.take(card(A, 2), unix_s=UNIX + 12)
    assert view.fleet.pops[A.id].state.seq == 2


def test_who_is_revoked_is_out_at_once_and_no_replay_brings_it_back() -> None:
    revoked: set[str] = set()
    view = Seen(lambda member: member.pop not in revoked)
    view.take(card(A), state(A, 1), card(B), state(B, 1))
    view.told()
    revoked.add(A.id)
    view.recheck(UNIX)
    view.check()
    assert view.told() == [PopGone(A.id, "not_admitted")]
    view.take(card(A), state(A, 1), state(A, 2), card(A, 2), Here(A.id))
    assert set(view.fleet.pops) == {B.id}
    assert view.told() == [RecordRejected(A.topic(RecordKind.CARD), "not_admitted", 1)]
    revoked.clear()
    view.recheck(UNIX)
    assert view.fleet.pops[A.id].state.seq == 2


def test_a_name_of_another_in_a_good_certificate_is_no_membership() -> None:
    view = Seen()
    stolen = signed(RecordKind.CARD, payload_of(card(B)), A.identity)
    view.take(state(A, 1), Said(A.topic(RecordKind.CARD), stolen))
    assert not view.fleet.pops
    assert view.told() == [RecordRejected(A.topic(RecordKind.CARD), "certificate", 1)]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Said(A.topic(), B.state(1)), "misplaced"),
        (Said(A.topic(RecordKind.CARD), A.state(1)), "misplaced"),
        (Said(A.topic(subject=B.id), A.state(1)), "misplaced"),
        (Said("", A.state(1)), "misplaced"),
        (Said(A.topic(), A.state(1)[:-1] + b"\0"), "signature"),
        (Said(A.topic(), b""), "malformed"),
        (Said(A.topic(), signed(RecordKind.STATE, b"\x80", A.identity)), "malformed"),
        (
            Said(A.topic(), signed(RecordKind.STATE, payload_of(state(B, 1)), A.identity)),
            "malformed",
        ),
    ],
)
def test_what_is_forged_or_damaged_changes_nothing_and_is_told_of(said: Said, reason: str) -> None:
    view = Seen()
    view.take(card(A), card(B))
    view.take(said)
    assert not view.fleet.pops
    assert view.told() == [RecordRejected(said.topic, reason, 1)]


def test_many_rejected_records_are_told_of_once_and_then_counted() -> None:
    view = Seen()
    view.tick(NOW, UNIX)
    for _ in range(10):
        view.take(Said("x" * 1000, b"noise"))
    assert view.told() == [RecordRejected("x" * 120, "malformed", 1)]
    view.tick(Instant(NOW + int(limits.FLEET_CHECK_S * SECOND)), UNIX)
    assert view.told() == [RecordRejected("x" * 120, "malformed", 9)]
    for number in range(2 * limits.REJECTIONS_KNOWN_MAX):
        view.take(Said(str(number), b"noise"))


def test_what_owners_signed_is_handed_on_whoever_passes_it_on() -> None:
    view = Seen()
    said = signed(RecordKind.ADMISSION, b"of somebody", A.identity)
    view.take(Said(A.topic(RecordKind.ADMISSION, B.id), said))
    view.take(Said(B.topic(RecordKind.ADMISSION, B.id), said))
    assert [(each.pop, each.payload) for each in view.passed] == [(A.id, b"of somebody")]


def test_what_is_kept_already_is_not_handed_on_again() -> None:
    view = Seen()
    said = Said(
        A.topic(RecordKind.ADMISSION, B.id),
        signed(RecordKind.ADMISSION, b"of somebody", A.identity),
    )
    view.take(said)
    view.kept.add(b"of somebody")
    view.take(said)
    assert len(view.passed) == 1


def test_names_that_are_nobodys_push_out_none_of_the_members() -> None:
    view = Seen()
    view.take(card(A), state(A, 1), state(B, 1))
    for number in range(10, 11 + limits.FLEET_STRANGERS_MAX):
        view.take(state(Pop(number), 1))
    view.take(card(B))
    assert set(view.fleet.pops) == {A.id}
    view.take(state(B, 1))
    assert set(view.fleet.pops) == {A.id, B.id}


def test_a_fleet_that_is_full_takes_nobody_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("littoral.node.fabric.view.FLEET_POPS_MAX", 1)
    view = Seen()
    view.take(card(A), state(A, 1), card(B), state(B, 1), card(A, 2))
    assert set(view.fleet.pops) == {A.id}
