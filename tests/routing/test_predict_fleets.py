"""What always holds of a choice among PoPs, and what becomes of many choices together."""

import random
from collections import Counter
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.routing.candidates import Needs
from littoral.routing.fleet import Fleet, Known, ModelState, Tier, Warmth
from littoral.routing.predict import BEST, Wanted, choose, predicted, why_out
from littoral.routing.prefix import Sketch, prefixes_of, tokens_at
from littoral.routing.sends import Sends
from littoral.routing.table import EXACT, FRESH, Table
from littoral.routing.tide import NEAR, NEAR_S, NEAR_S_PER_S, NEWS_S
from littoral.terms.ids import PopId, ZoneName
from littoral.terms.values import SECOND, Instant, Kind
from tests.routing.pops import MODEL, NEEDS, NONE, NOW, member, model, name, pop, table

COMMON = b"You are a helpful assistant. " * 20
ZONES = ("fr", "de", "jp")
SLACK_S = NEAR_S + NEAR_S_PER_S * FRESH / SECOND
"""What near-equals may differ by beside the factor, with the oldest record."""


def talk(number: int, size: int = 2_048) -> bytes:
    return COMMON + (b"%d: tell me more. " % number * size)[:size]


def sketch(*prompts: bytes) -> bytes:
    made = Sketch(100_000)
    for prompt in prompts:
        made.read(prefixes_of("a", MODEL, prompt))
    return made.told()


def asked(prompt: bytes, needs: Needs = NEEDS) -> Wanted:
    return Wanted(needs, len(prompt) // 4, prefixes_of("a", MODEL, prompt))


def weights(made: Table, wanted: Wanted, sends: Sends = NONE) -> dict[PopId, float]:
    return {each.candidate.pop: each.weight for each in predicted(made, wanted, sends, NOW)}


models = st.builds(
    model,
    slots=st.integers(1, 16),
    in_flight=st.integers(0, 30),
    waiting=st.integers(0, 10),
    queued_tokens=st.integers(0, 20_000),
    prefill_tps=st.sampled_from([0.0, 300.0, 1_000.0, 4_000.0]),
    decode_tps=st.sampled_from([0.0, 20.0, 100.0]),
    warmth=st.sampled_from(Warmth),
    context_tokens=st.sampled_from([0, 512, 8_192]),
    prefixes=st.sampled_from([b"", sketch(talk(1)), sketch(talk(1), talk(2)), sketch(talk(3))]),
)
needs = st.builds(
    Needs,
    st.sampled_from([Kind.CHAT, Kind.EMBED]),
    st.just("chat.completions"),
    st.booleans(),
    zones=st.none() | st.frozensets(st.sampled_from(ZONES).map(ZoneName)),
    tier=st.sampled_from(Tier),
)
wanteds = st.builds(
    Wanted,
    needs,
    st.integers(0, 4_000),
    st.integers(1, 4).map(lambda number: prefixes_of("a", MODEL, talk(number))),
    st.integers(0, 500).map(float),
    st.integers(0, 5_000),
    st.lists(st.integers(0, 9).map(name), max_size=3).map(tuple),
)
spins = st.integers(0, 2**64 - 1)


@st.composite
def fleets(draw: st.DrawFn, least: int = 0, most: int = 9) -> list[Known]:
    return [
        pop(
            number,
            draw(models),
            who=member(number, zone=draw(st.sampled_from(ZONES))),
            alive=draw(st.booleans()) or draw(st.booleans()),
            tier=draw(st.sampled_from(Tier)),
            draining=draw(st.integers(0, 4)) == 0,
            heard_at=Instant(NOW - draw(st.integers(0, 40)) * SECOND),
        )
        for number in range(draw(st.integers(least, most)))
    ]


@given(fleets(), wanteds, spins)
def test_constraints_always_hold_and_nobody_who_satisfies_them_is_left_out(
    pops: list[Known], wanted: Wanted, spin: int
) -> None:
    made = table(*pops)
    chosen = choose(made, wanted, NONE, NOW, spin)
    assert set(chosen) == {
        each.pop for each in made.candidates.values() if why_out(each, wanted) is None
    }
    for one in chosen:
        known = made.candidates[one].known
        assert known.alive or one == name(0)
        assert not known.state.draining
        assert one not in wanted.via
        assert known.state.tier >= wanted.needs.tier
        assert wanted.needs.zones is None or known.member.zone in wanted.needs.zones
        assert wanted.needs.kind is Kind.CHAT
    assert chosen == choose(table(*pops), wanted, NONE, NOW, spin)


@given(fleets(), wanteds, spins)
def test_where_nobody_is_at_work_only_near_equals_are_drawn_and_the_others_follow_in_order(
    pops: list[Known], wanted: Wanted, spin: int
) -> None:
    made = table(*[_idle(known) for known in pops])
    chosen = choose(made, wanted, NONE, NOW, spin)
    weighed = predicted(made, wanted, NONE, NOW)
    assert [each for each in chosen[1:] if each != chosen[0]] == [
        each.candidate.pop for each in weighed if each.candidate.pop != chosen[0]
    ]
    if chosen:
        best, first = weighed[0], weights(made, wanted)[chosen[0]]
        assert first <= best.weight * (1 + NEAR) + SLACK_S


def _idle(known: Known) -> Known:
    said = tuple(_changed(each, in_flight=0) for each in known.state.models)
    return replace(known, state=msgspec.structs.replace(known.state, models=said))


@given(fleets(1), wanteds, spins)
def test_nobody_is_asked_who_is_worse_than_others_have_made_the_better_ones_by_now(
    pops: list[Known], wanted: Wanted, spin: int
) -> None:
    made = table(*pops)
    wanted = Wanted(wanted.needs, wanted.prompt_tokens)
    chosen = choose(made, wanted, NONE, NOW, spin)
    if not chosen:
        return
    weighed = predicted(made, wanted, NONE, NOW)
    first = weights(made, wanted)[chosen[0]]
    if first <= weighed[0].weight * (1 + NEAR) + SLACK_S:
        return
    needed = 0.0
    for each in weighed:
        adds_s = wanted.prompt_tokens * each.candidate.prefill_s + each.candidate.wait_s + NEAR_S
        needed += max(0.0, first - each.weight) / adds_s
    begins_per_s = sum(each.candidate.begins_per_s for each in weighed)
    assert needed <= begins_per_s * (NEWS_S + weighed[0].link_s)


@given(fleets(1), wanteds, spins)
def test_a_worse_candidate_changes_nothing(pops: list[Known], wanted: Wanted, spin: int) -> None:
    wanted = Wanted(replace(wanted.needs, zones=None, tier=Tier.SIGNED), wanted.prompt_tokens)
    before = choose(table(*pops), wanted, NONE, NOW, spin)
    slow = pop(99, model(prefill_tps=1_000.0, decode_tps=50.0, queued_tokens=10**9))
    after = choose(table(*pops, slow), wanted, NONE, NOW, spin)
    if before and _all_measured(pops):
        assert after == [*before, name(99)]


def _all_measured(pops: list[Known]) -> bool:
    """Then medians of rates move nothing."""
    said = [known.state.models[0] for known in pops]
    return all(each.prefill_tps and each.decode_tps for each in said)


@given(models, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9_999), wanteds)
def test_more_queue_never_makes_a_candidate_better(
    said: ModelState, in_flight: int, waiting: int, tokens: int, wanted: Wanted
) -> None:
    wanted = Wanted(NEEDS, wanted.prompt_tokens, wanted.prefixes)
    more = _changed(
        said,
        in_flight=said.in_flight + in_flight,
        waiting=said.waiting + waiting,
        queued_tokens=said.queued_tokens + tokens,
    )
    less, greater = (weights(table(pop(1, each)), wanted)[name(1)] for each in (said, more))
    assert less <= greater
    sends = Sends()
    sends.sent(name(1), tokens, NOW)
    assert less <= weights(table(pop(1, said)), wanted, sends)[name(1)]


def _changed(said: ModelState, **changes: object) -> ModelState:
    return ModelState(
        **{**{field: getattr(said, field) for field in said.__struct_fields__}, **changes}
    )


@given(models, st.integers(0, 2_500))
def test_to_keep_more_never_makes_a_candidate_worse(said: ModelState, size: int) -> None:
    prompt = talk(1)
    kept = [_changed(said, prefixes=sketch(prompt[:length])) for length in (size // 2, size)]
    less, more = (weights(table(pop(1, each)), asked(prompt))[name(1)] for each in kept)
    assert more <= less


def test_each_pop_is_known_for_the_longest_beginning_that_it_keeps() -> None:
    prompt, sizes = talk(1, 6_000), (6_000, 4_000, 2_000, 1_000)
    made = table(
        *[
            pop(number, model(prefixes=sketch(prompt[:size])))
            for number, size in enumerate(sizes, 1)
        ]
    )
    wanted = asked(prompt)
    assert choose(made, wanted, NONE, NOW, 1) == [name(number) for number in range(1, 5)]
    assert [each.kept_tokens for each in predicted(made, wanted, NONE, NOW)] == [
        tokens_at(len(prefixes_of("a", MODEL, prompt[:size])) - 1) for size in sizes
    ]
    covered, _ = made.holders.of(wanted.prefixes)
    assert covered == made.holders.each(wanted.prefixes, list(made.candidates))


# --- many PoPs ----------------------------------------------------------------------------------


def large(pops: int, seed: int, *, even: bool = False, at_work: int = 12) -> Table:
    source = random.Random(seed)
    return table(
        *[
            pop(
                number,
                model(
                    in_flight=0 if even else source.randrange(at_work),
                    queued_tokens=0 if even else source.randrange(5_000),
                    prefill_tps=1_000.0 if even else source.uniform(300, 4_000),
                    decode_tps=50.0 if even else source.uniform(10, 120),
                    context_tokens=source.choice([0, 600, 8_192]),
                    prefixes=sketch(talk(number % 90), talk(number % 7)),
                ),
                heard_at=Instant(NOW - source.randrange(20) * SECOND),
            )
            for number in range(pops)
        ]
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("at_work", [1, 12])
def test_among_many_the_best_are_found_without_weighing_all(seed: int, at_work: int) -> None:
    made, source, sends = large(300, seed, at_work=at_work), random.Random(seed), Sends()
    for _ in range(200):
        sends.sent(name(source.randrange(300)), source.randrange(4_000), NOW)
    for number in range(120):
        wanted = Wanted(
            replace(NEEDS, stream=bool(number % 2)),
            source.choice([5, 90, 700, 3_000]),
            prefixes_of("a", MODEL, talk(number, source.choice([256, 1_024, 4_096]))),
            answer_tokens=source.choice([0.0, 7.0]),
            context_tokens=source.choice([0, 700]),
            via=(name(source.randrange(300)),) if number % 3 == 0 else (),
        )
        chosen = choose(made, wanted, sends, NOW, source.getrandbits(64))
        exact = predicted(made, wanted, sends, NOW)
        best = [each.candidate.pop for each in exact]
        known = weights(made, wanted, sends)
        if at_work == 1:  # nobody: else this is where others have filled the queues to
            assert known[chosen[0]] <= exact[0].weight * (1 + NEAR) + SLACK_S
        assert {*chosen[: BEST + 1]} >= {*best[:BEST]}
        assert not [each for each in chosen if why_out(made.candidates[each], wanted)]


def test_among_many_alike_the_choice_is_spread() -> None:
    made, source = large(200, 1, even=True), random.Random(5)
    wanted = Wanted(NEEDS, 500)
    counted = Counter(
        choose(made, wanted, NONE, NOW, source.getrandbits(64))[0] for _ in range(2_000)
    )
    assert len(counted) > EXACT
    assert max(counted.values()) < 60


# --- many choices -------------------------------------------------------------------------------


def test_gateways_with_one_stale_view_spread() -> None:
    pops = [pop(number, model(in_flight=number % 2)) for number in range(10)]
    source, counted = random.Random(3), Counter[PopId]()
    for gateway in range(100, 150):
        made = Table(MODEL, member(gateway))
        made.update(_fleet(pops), {known.state.pop: 0.01 for known in pops})
        sends = Sends()
        for _ in range(4):
            chosen = choose(made, Wanted(NEEDS, 500), sends, NOW, source.getrandbits(64))[0]
            sends.sent(chosen, 500, NOW)
            counted[chosen] += 1
    assert len(counted) == 10
    assert max(counted.values()) < 2 * 200 / 10  # power of two: never more than twice its part


def test_gateways_that_see_one_idle_pop_leave_it_as_their_own_sends_fill_it() -> None:
    pops = [pop(number, model(queued_tokens=400 if number else 0)) for number in range(10)]
    source, counted = random.Random(3), Counter[PopId]()
    for gateway in range(100, 150):
        made = Table(MODEL, member(gateway))
        made.update(_fleet(pops), {known.state.pop: 0.01 for known in pops})
        sends = Sends()
        for _ in range(10):
            chosen = choose(made, Wanted(NEEDS, 200), sends, NOW, source.getrandbits(64))[0]
            sends.sent(chosen, 200, NOW)
            counted[chosen] += 1
    assert max(counted.values()) <= 500 * 0.3


def _fleet(pops: list[Known]) -> Fleet:
    return Fleet({known.state.pop: known for known in pops})


def test_a_conversation_stays_where_its_past_is_while_load_allows_and_moves_when_not() -> None:
    def first(queued_tokens: int) -> set[PopId]:
        made = table(
            pop(1, model(prefixes=sketch(talk(1, 8_192)), queued_tokens=queued_tokens)),
            *[pop(number) for number in range(2, 6)],
        )
        wanted = asked(talk(1, 8_192) + b"And then? " * 30)
        return {choose(made, wanted, NONE, NOW, spin * 7**23)[0] for spin in range(100)}

    assert first(0) == {name(1)}
    assert first(1_500) == {name(1)}  # reading 2,000 tokens again takes longer than that queue
    assert name(1) not in first(4_000)
