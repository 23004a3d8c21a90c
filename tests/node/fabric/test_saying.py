"""What a PoP says of itself, and when it is worth saying."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from littoral.adapters.models.catalogue import ECHO
from littoral.node.fabric.learning import Learning
from littoral.node.fabric.saying import Matter, Place, due, matter, state_of
from littoral.routing.fleet import LinkState, PopState, Warmth, decoded, encoded
from littoral.routing.prices import prices_of
from littoral.terms.ids import Digest, ModelName, PopId
from littoral.terms.limits import SAY_S, STATE_ITEMS_MAX, STATE_SAY_S
from littoral.terms.values import (
    SECOND,
    EngineInfo,
    EngineKind,
    EngineState,
    Instant,
    Kind,
    ModelEntry,
    ModelStatus,
    Ready,
    Starting,
    UpstreamTarget,
)
from tests.routing.pops import NOW, Clock, member, model, name, pop

PLACE = Place(name(1), boot=7, url="https://10.0.0.1:7401", state_address="10.0.0.1:7402")
READY = Ready(EngineInfo(EngineKind.LLAMA, "x 1", "cpu", 8, 8_192))


def learning() -> Learning:
    return Learning(Clock(), kv_tokens=1_000, at_work=lambda _: 0)


def entry(kind: EngineKind = EngineKind.LLAMA, **said: Any) -> ModelEntry:
    usual: dict[str, Any] = {"context_tokens": 4_096, "digest": Digest("sha256:" + "a" * 64)}
    return ModelEntry(ModelName("m"), kind, (Kind.CHAT, Kind.COMPLETE), **{**usual, **said})


def said(
    *statuses: ModelStatus, links: Mapping[PopId, float] | None = None, number: int = 1
) -> PopState:
    return state_of(PLACE, number, statuses, links or {}, learning(), slots=8)


@pytest.mark.parametrize(
    ("state", "warmth"),
    [(READY, Warmth.WARM), (Starting("loading"), Warmth.LOADING), (None, Warmth.COLD)],
)
def test_a_models_engine_says_how_warm_it_is(state: EngineState | None, warmth: Warmth) -> None:
    (model,) = said(ModelStatus(entry(), state, in_flight=2, waiting=1)).models
    assert (model.warmth, model.in_flight, model.waiting, model.slots) == (warmth, 2, 1, 8)


def test_what_it_speaks_is_what_its_dialects_speak() -> None:
    (model,) = said(ModelStatus(entry(), READY)).models
    assert set(model.apis) == {"chat.completions", "messages", "responses", "completions"}
    (echo,) = said(ModelStatus(ECHO, READY)).models
    assert "embeddings" in echo.apis
    sorts = ModelEntry(ModelName("s"), EngineKind.ONNX, (Kind.RERANK,), 512)
    (sorter,) = said(ModelStatus(sorts, READY)).models
    assert (sorter.kinds, sorter.apis) == ((Kind.RERANK,), ("rerank",))


def test_what_a_model_costs_is_said_with_it() -> None:
    prices = prices_of(["m=0.05/0.2", "*=1/2"])
    state = state_of(PLACE, 1, [ModelStatus(entry(), READY)], {}, learning(), 8, prices)
    (model,) = decoded(encoded(state)).models
    assert (model.price_in, model.price_out) == (50_000, 200_000)


def test_what_came_over_a_link_is_said_with_how_long_it_is() -> None:
    place = replace(PLACE, rates=((name(2), 95_000_000),))
    state = state_of(place, 1, [], {name(2): 0.001, name(3): 0.002}, learning(), 8)
    assert [(each.pop, each.bytes_per_s) for each in decoded(encoded(state)).links] == [
        (name(2), 95_000_000),
        (name(3), 0),
    ]


def test_of_an_upstreams_model_no_load_is_told_and_of_a_guest_nothing() -> None:
    upstream = entry(EngineKind.UPSTREAM, digest=None, upstreams=(UpstreamTarget("u", "m"),))
    guest = entry(
        EngineKind.UPSTREAM, upstreams=(UpstreamTarget("https://p/v1", "m", peer=member(2).name),)
    )
    (model,) = said(ModelStatus(upstream, None), ModelStatus(guest, None)).models
    assert model.warmth is Warmth.WARM
    assert model.digest is None


def test_a_model_that_was_never_loaded_here_says_about_how_long_it_takes() -> None:
    (model,) = said(ModelStatus(entry(size_bytes=1_000_000_000), None)).models
    assert 1 <= model.load_s <= 30


def test_everything_said_is_in_bounds_and_comes_back_the_same() -> None:
    statuses = [
        ModelStatus(entry(digest=Digest(f"sha256:{number:064x}")), READY) for number in range(600)
    ]
    links = {name(number): number / 1_000 for number in range(600)}
    state = said(*statuses, links=links)
    assert len(state.models) == len(state.artifacts) == STATE_ITEMS_MAX
    assert decoded(encoded(state)) == state


def test_only_the_shortest_links_are_said() -> None:
    links = {name(number): (100 - number) / 1_000 for number in range(60)}
    said_links = said(links=links).links
    assert [link.pop for link in said_links] == [name(number) for number in range(52, 60)]


def test_links_are_said_in_milliseconds() -> None:
    assert said(links={name(2): 0.0123}).links == (LinkState(name(2), 12.3),)


# --- what matters -------------------------------------------------------------------------------


STATE = pop(1).state


def with_model(**changed: Any) -> PopState:
    return structs.replace(STATE, models=(model(**changed),))


def test_the_first_word_and_what_changes_the_ways_matter_most() -> None:
    assert matter(None, STATE) is Matter.WAYS
    for other in (
        structs.replace(STATE, draining=True),
        structs.replace(STATE, url="https://elsewhere"),
        structs.replace(STATE, models=()),
        with_model(warmth=Warmth.COLD),
        with_model(digest=Digest("sha256:" + "b" * 64)),
    ):
        assert matter(STATE, other) is Matter.WAYS


@pytest.mark.parametrize(
    "changed",
    [
        {"waiting": 1},
        {"in_flight": 4},
        {"queued_tokens": 1_000},
        {"prefill_tps": 2_000.0},
        {"decode_tps": 10.0},
        {"prefixes": b"1234"},
    ],
)
def test_what_changes_the_times_matters_less(changed: dict[str, Any]) -> None:
    assert matter(STATE, with_model(**changed)) is Matter.TIMES


def test_what_changes_little_does_not_matter() -> None:
    assert matter(STATE, with_model(in_flight=1, prefill_tps=1_050.0)) is Matter.NOTHING
    assert matter(STATE, structs.replace(STATE, seq=9, memory_free=5)) is Matter.NOTHING


def test_a_link_that_moved_matters() -> None:
    near = structs.replace(STATE, links=(LinkState(name(2), 10.0),))
    far = structs.replace(STATE, links=(LinkState(name(2), 100.0),))
    assert matter(near, far) is Matter.TIMES
    assert matter(near, structs.replace(STATE, links=(LinkState(name(2), 11.0),))) is Matter.NOTHING
    fast, slower = (structs.replace(STATE, links=(LinkState(name(2), ms),)) for ms in (0.4, 1.6))
    assert matter(fast, slower) is Matter.NOTHING
    assert matter(STATE, fast) is Matter.TIMES


@pytest.mark.parametrize(
    ("how_much", "after_s", "holds"),
    [
        (Matter.WAYS, 0, True),
        (Matter.TIMES, SAY_S / 2, False),
        (Matter.TIMES, SAY_S, True),
        (Matter.NOTHING, STATE_SAY_S / 2, False),
        (Matter.NOTHING, STATE_SAY_S, True),
    ],
)
def test_it_is_said_at_once_soon_or_at_rest(how_much: Matter, after_s: float, holds: bool) -> None:
    assert due(how_much, NOW, Instant(NOW + int(after_s * SECOND))) is holds
