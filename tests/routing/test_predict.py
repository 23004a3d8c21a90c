"""What a candidate weighs, who may not be asked, and what words say of it."""

import math

import pytest
from msgspec.structs import replace

from littoral.routing.candidates import Needs, Out, candidate_of, priors_of, rtt_of
from littoral.routing.explain import explain, reason
from littoral.routing.fleet import Fleet, Known, LinkState, ModelState, Tier, Warmth
from littoral.routing.predict import (
    Wanted,
    choose,
    chosen,
    predicted,
    weighed_at,
    weights,
    why_out,
)
from littoral.routing.prefix import Sketch, prefixes_of
from littoral.routing.sends import Sends
from littoral.terms import limits
from littoral.terms.ids import Digest, OwnerId, ZoneName
from littoral.terms.values import SECOND, Instant, Kind
from tests.routing.pops import MODEL, NEEDS, NONE, NOW, member, model, name, pop, table

ASK = Wanted(NEEDS, 1_000)
LONG_AGO = Instant(NOW - 60 * SECOND)


def weight(
    said: ModelState, wanted: Wanted = ASK, sends: Sends = NONE, heard_at: Instant = NOW
) -> float:
    """Of one PoP, 10 ms away."""
    return predicted(table(pop(1, said, heard_at=heard_at)), wanted, sends, NOW)[0].weight


# Link 0.01, prompt 1,000 tokens at 1,000 a second, answer of 100 tokens at 50 a second.
IDLE = 0.01 + 1.0 + 2.0


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (model(), IDLE),
        (model(prefill_tps=2_000.0), IDLE - 0.5),
        (model(decode_tps=100.0), IDLE - 1.0),
        (model(in_flight=3), IDLE),
        (model(in_flight=4), IDLE + 0.5),  # an answer takes 2 s, and one of four ends each 0.5 s
        (model(in_flight=4, waiting=3), IDLE + 4 * 0.5),
        (model(queued_tokens=500), IDLE + 0.5),
        (model(warmth=Warmth.COLD), IDLE + 8.0),
        (model(warmth=Warmth.LOADING), IDLE + 4.0),
        (model(price_in=200_000, price_out=1_000_000), IDLE + 0.2 + 0.1),  # a unit is 1,000 s
    ],
)
def test_the_numbers_by_hand(said: ModelState, seconds: float) -> None:
    assert weight(said) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("wanted", "seconds"),
    [
        (Wanted(NEEDS, 0), IDLE - 1.0),
        (Wanted(NEEDS, 1_000, answer_tokens=10), IDLE - 2.0 + 0.2),
        (Wanted(NEEDS, 1_000, answer_tokens=9_999), IDLE),
        (Wanted(replace(NEEDS, stream=True), 1_000), IDLE - 2.0 + 0.1 * 2.0),
    ],
)
def test_what_a_request_asks_for_counts(wanted: Wanted, seconds: float) -> None:
    assert weight(model(), wanted) == pytest.approx(seconds)


def test_an_embedding_has_no_answer_to_wait_for() -> None:
    said = replace_kinds(model(), Kind.EMBED)
    wanted = Wanted(Needs(Kind.EMBED, "embeddings"), 1_000, answer_tokens=50)
    assert weight(said, wanted) == pytest.approx(0.01 + 1.0)


def replace_kinds(said: ModelState, *kinds: Kind) -> ModelState:
    return ModelState(
        said.name, kinds, prefill_tps=said.prefill_tps, decode_tps=said.decode_tps, slots=said.slots
    )


def test_a_tier_more_is_worth_a_little() -> None:
    one, other = (
        predicted(table(pop(1, tier=tier)), ASK, NONE, NOW)[0].weight
        for tier in (Tier.SIGNED, Tier.CONFIDENTIAL)
    )
    assert one - other == pytest.approx(0.03)


def test_own_sends_count_at_once() -> None:
    sends = Sends()
    for _ in range(2):
        sends.sent(name(1), 300, NOW)
    assert weight(model(in_flight=3), sends=sends) == pytest.approx(IDLE + 0.6 + 2 * 0.5)
    assert weight(model(), sends=sends) == pytest.approx(IDLE + 0.6)


def test_what_is_kept_of_the_prompt_is_not_read_again() -> None:
    prompt = b"tell me more. " * 286
    prefixes = prefixes_of("a", MODEL, prompt)
    sketch = Sketch(10_000)
    sketch.read(prefixes[:8])
    told = model(prefixes=sketch.told())
    assert weight(told, Wanted(NEEDS, 1_000, prefixes)) == pytest.approx(IDLE - 0.512)
    assert weight(told, Wanted(NEEDS, 100, prefixes)) == pytest.approx(IDLE - 1.0)
    assert weight(told, Wanted(NEEDS, 1_000, prefixes_of("b", MODEL, prompt))) == IDLE


def test_an_old_view_is_discounted_and_more_so_with_age() -> None:
    assert weight(model(), heard_at=Instant(NOW - 10 * SECOND)) == pytest.approx(IDLE)
    assert weight(model(), heard_at=Instant(NOW - 20 * SECOND)) == pytest.approx(IDLE + 0.5)
    assert weight(model(), heard_at=Instant(0)) == pytest.approx(IDLE + 5.0)
    here = table(pop(0, heard_at=Instant(0)))
    assert predicted(here, ASK, NONE, NOW)[0].weight == pytest.approx(IDLE - 0.01)


def test_a_pop_has_gone_on_reading_since_it_was_heard_of() -> None:
    said, ago = model(queued_tokens=3_000), Instant(NOW - 2 * SECOND)
    assert weight(said) == pytest.approx(IDLE + 3.0)
    assert weight(said, heard_at=ago) == pytest.approx(IDLE + 1.0)
    assert weight(model(queued_tokens=500), heard_at=ago) == pytest.approx(IDLE)
    assert weight(model(in_flight=4), heard_at=ago) == pytest.approx(IDLE + 0.5)
    found = predicted(table(pop(1, said, heard_at=ago)), ASK, NONE, NOW)[0]
    assert (found.queue_s, found.first_token_s) == pytest.approx((1.0, 0.01 + 1.0 + 1.0))
    here = table(pop(0, said, heard_at=ago))  # what it knows of itself is not old
    assert predicted(here, ASK, NONE, NOW)[0].queue_s == pytest.approx(3.0)


def test_many_are_ordered_anew_as_their_queues_become_shorter() -> None:
    """A PoP whose queue is read by then is found, though no record came meanwhile."""
    quick = [pop(number, model(queued_tokens=2_000)) for number in range(2, 60)]
    made = table(pop(1, model(queued_tokens=11_600, prefill_tps=4_000.0)), *quick)
    for after_s, best in ((0.0, False), (2.2, True), (0.0, False)):
        now = Instant(NOW + int(after_s * SECOND))
        assert (weights(made, ASK, NONE, now)[0][1] == name(1)) == best


def test_what_nobody_measured_has_a_prior_and_what_others_measured_is_one() -> None:
    new = model(prefill_tps=0.0, decode_tps=0.0, answer_tokens=0.0, load_s=0.0)
    assert weight(new) == pytest.approx(0.01 + 1_000 / 1_000 + 256 / 30, rel=0.02)
    both = table(pop(1), pop(2, new))
    assert [each.weight for each in predicted(both, ASK, NONE, NOW)] == pytest.approx([IDLE, IDLE])


def test_a_new_pop_is_tried_but_not_flooded() -> None:
    new = model(prefill_tps=0.0, decode_tps=0.0)
    both, sends = table(pop(1, model(in_flight=3)), pop(2, new)), Sends()
    chosen = []
    for spin in range(6):
        chosen.append(choose(both, ASK, sends, NOW, spin)[0])
        sends.sent(chosen[-1], 100, NOW)
    assert chosen.count(name(2)) in {1, 2}


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf, -math.inf])
def test_no_record_makes_a_time_negative_or_infinite(wrong: float) -> None:
    said = model(prefill_tps=wrong, decode_tps=wrong, answer_tokens=wrong, load_s=wrong)
    assert IDLE <= weight(said) < 20
    said = model(slots=-4, in_flight=-9, waiting=-9, queued_tokens=-(10**30), price_in=-1)
    assert weight(said) == pytest.approx(IDLE)
    link = LinkState(name(0), wrong)
    far = table(pop(1, links=(link,), who=member(1, zone="jp")), links={name(1): wrong})
    assert 0.1 < predicted(far, ASK, NONE, NOW)[0].link_s < 1


@pytest.mark.parametrize("huge", [1e300, 10**40])
def test_a_boast_is_cut_to_what_machines_can_do(huge: float) -> None:
    said = model(prefill_tps=float(huge), slots=int(huge), queued_tokens=int(huge))
    assert 0 < weight(said) < 1e4


# --- links --------------------------------------------------------------------------------------


def link_s(known: Known, *others: Known, measured: float = 0.0) -> float | None:
    fleet = Fleet({each.state.pop: each for each in (known, *others)})
    return rtt_of(known, fleet, member(0), {known.state.pop: measured} if measured else {})


def test_a_link_is_measured_or_said_or_guessed_by_place() -> None:
    said = pop(1, links=(LinkState(name(9), 1.0), LinkState(name(0), 40.0)))
    assert link_s(said, measured=0.03) == 0.03
    assert link_s(said) == pytest.approx(0.04)
    assert link_s(pop(1)) == 0.000_5
    assert link_s(pop(1, who=member(1, site="lyon"))) == 0.02
    assert (
        link_s(pop(1, who=member(1, owner="own-0000000000000002"))) == 0.02
    )  # "paris" is another's word there
    assert link_s(pop(1, who=member(1, zone="jp"))) == 0.12
    assert link_s(pop(0)) == 0.0


def test_who_cannot_be_dialled_is_reached_through_others() -> None:
    behind = pop(1, url="", relays=(name(2), name(3)), who=member(1, zone="jp"))
    near, far = pop(2), pop(3, who=member(3, zone="jp"))
    assert link_s(behind) is None
    assert link_s(behind, near) == pytest.approx(0.000_5 + 0.12)
    assert link_s(behind, far) == pytest.approx(0.12 + 0.000_5)
    assert link_s(behind, pop(2, alive=False)) is None
    assert link_s(pop(1, url="", relays=(name(0),)), pop(0), measured=0.07) == 0.07


# --- who may not be asked -----------------------------------------------------------------------

STRICT = Needs(
    Kind.CHAT,
    "chat.completions",
    zones=frozenset({ZoneName("fr")}),
    owners=frozenset({OwnerId("own-0000000000000001")}),
    tier=Tier.AUDITED,
    digest=Digest("sha256:aa"),
)
GOOD = model(digest="sha256:aa", context_tokens=4_096)
EXCLUDED = {
    Out.GONE: pop(1, GOOD, alive=False),
    Out.DRAINING: pop(1, GOOD, draining=True),
    Out.UNREACHABLE: pop(1, GOOD, url=""),
    Out.OWNER: pop(1, GOOD, who=member(1, owner="own-0000000000000002")),
    Out.ZONE: pop(1, GOOD, who=member(1, zone="jp")),
    Out.TIER: pop(1, GOOD, tier=Tier.SIGNED),
    Out.DIGEST: pop(1, model(digest="sha256:bb")),
    Out.KIND: pop(1, replace_kinds(GOOD, Kind.EMBED)),
    Out.API: pop(1, model(digest="sha256:aa", apis=("completions",))),
    Out.CONTEXT: pop(1, model(digest="sha256:aa", context_tokens=512)),
    Out.LOOP: pop(7, GOOD, who=member(7)),
}


@pytest.mark.parametrize("out", EXCLUDED, ids=lambda out: out.name)
def test_who_does_not_satisfy_a_request_is_never_chosen(out: Out) -> None:
    wanted = Wanted(STRICT, 10, context_tokens=1_000, via=(name(7),))
    if out in {Out.KIND, Out.API}:
        wanted = Wanted(replace(STRICT, digest=None), 10)
    both = table(EXCLUDED[out], pop(2, model(digest="sha256:aa", in_flight=500)))
    assert why_out(both.candidates[EXCLUDED[out].state.pop], wanted) is out
    for spin in range(50):
        assert choose(both, wanted, NONE, NOW, spin * 7**23) == [name(2)]
    assert out.value in explain(both, wanted, NONE, NOW)[-1]


def test_it_fails_closed() -> None:
    nowhere = replace(NEEDS, zones=frozenset[ZoneName]())
    nobody = replace(NEEDS, owners=frozenset[OwnerId]())
    exact = replace(NEEDS, digest=Digest("sha256:aa"))
    for needs in (nowhere, nobody, exact):
        assert choose(table(pop(1)), Wanted(needs, 10), NONE, NOW, 1) == []
    assert choose(table(), ASK, NONE, NOW, 1) == []


def test_after_enough_hops_a_request_is_answered_here_or_not_at_all() -> None:
    via = tuple(name(number) for number in range(10, 10 + limits.FABRIC_HOPS_MAX))
    wanted = Wanted(NEEDS, 10, via=via)
    assert choose(table(pop(0, model(in_flight=90)), pop(1)), wanted, NONE, NOW, 1) == [name(0)]
    assert choose(table(pop(1)), wanted, NONE, NOW, 1) == []
    assert why_out(table(pop(1)).candidates[name(1)], wanted) is Out.HOPS


def test_a_context_that_nobody_knows_excludes_nobody() -> None:
    wanted = Wanted(NEEDS, 10, context_tokens=10**6)
    assert choose(table(pop(1)), wanted, NONE, NOW, 1) == [name(1)]


# --- words --------------------------------------------------------------------------------------


def test_words_say_every_part_of_the_time() -> None:
    prefixes = prefixes_of("a", MODEL, b"x" * 4_096)
    sketch = Sketch(10_000)
    sketch.read(prefixes[:12])
    said = model(prefixes=sketch.told(), queued_tokens=100)
    three = table(
        pop(1, said),
        pop(2, model(warmth=Warmth.COLD, price_in=500_000), heard_at=LONG_AGO),
        pop(3, who=member(3, zone="jp", site="tokyo")),
    )
    sends = Sends()
    sends.sent(name(2), 50, NOW)
    wanted = Wanted(replace(NEEDS, zones=frozenset({ZoneName("fr")})), 1_000, prefixes)
    assert explain(three, wanted, sends, NOW) == [
        f"{name(1)} site paris: 0.34 s = link 0.01 + queue 0.1 + prompt 0.23 "
        "(768 of 1,000 tokens kept), then 2 s of answer (weighs 2.34)",
        f"{name(2)} site paris: 9.06 s = link 0.01 + load 8 + queue 0.05 (1 sent from here just "
        "now) + prompt 1, then 2 s of answer, for 0.0005 units; not heard of for 60 s, which "
        "counts as 2.5 s (weighs 14.06)",
        f"{name(3)} site tokyo: not asked, its zone is not allowed",
    ]


def test_a_table_follows_the_fleet() -> None:
    one = table(pop(1))
    kept = one.candidates[name(1)]
    one.update(Fleet({name(1): kept.known, name(2): pop(2)}), {name(1): 0.01})
    assert one.candidates[name(1)] is kept
    assert set(choose(one, ASK, NONE, NOW, 1)) == {name(1), name(2)}
    one.update(Fleet({}), {})
    assert choose(one, ASK, NONE, NOW, 1) == []


def test_a_candidate_is_made_of_what_its_pop_said() -> None:
    known = pop(1)
    made = candidate_of(known, model(), 0.01, priors_of([model()]), here=False, kept=frozenset())
    assert (made.pop, made.queue_s(), made.link_s) == (name(1), 0.0, 0.01)


def test_why_a_pop_is_asked_fits_into_a_receipt() -> None:
    found = table(*(pop(number, model(queued_tokens=500)) for number in range(1, 4)))
    wanted = Wanted(NEEDS, prompt_tokens=1_000)
    weighed = weighed_at(found, wanted, NONE, NOW, name(1))
    assert weighed is not None
    said = reason(weighed, found, wanted, NONE, NOW)
    assert said.startswith("1.51 s = link 0.01 + queue 0.5 + prompt 1")
    assert said.endswith("of 3 PoPs")
    assert len(said) <= limits.REASON_CHARS_MAX
    assert weighed_at(found, wanted, NONE, NOW, name(9)) is None


def test_why_a_pop_is_asked_is_said_by_what_it_was_chosen_by() -> None:
    sends = Sends()
    found = table(*(pop(number, model(queued_tokens=500 * number)) for number in range(1, 4)))
    wanted = Wanted(NEEDS, prompt_tokens=1_000)
    sends.sent(name(1), 300, NOW)
    for weighed in chosen(found, wanted, sends, NOW, 1):
        alone = weighed_at(found, wanted, sends, NOW, weighed[1][4])
        assert alone is not None
        assert reason(weighed, found, wanted, sends, NOW) == reason(
            alone, found, wanted, sends, NOW
        )
