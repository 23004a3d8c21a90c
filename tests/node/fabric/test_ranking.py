"""Whom a request goes to, and when it leaves a PoP that could answer it itself."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec import structs

from littoral.adapters.upstreams.words import Errand
from littoral.node.fabric.elsewhere import Others
from littoral.node.fabric.ranking import Ranking
from littoral.node.onward import key_behind
from littoral.routing.fleet import Fleet, Known
from littoral.routing.prefix import Sketch, prefixes_of, prompt_of
from littoral.terms.errors import RequirementUnmetError
from littoral.terms.ids import Digest, KeyId, OwnerId, PopId, ZoneName
from littoral.terms.limits import TABLE_S
from littoral.terms.values import (
    SECOND,
    Caller,
    EngineKind,
    Instant,
    Kind,
    ModelEntry,
    Passage,
    UpstreamTarget,
)
from tests.routing.pops import MODEL, NOW, Clock, member, model, name, pop

DIGEST = Digest("sha256:" + "a" * 64)
HERE, NEAR, FAR = (name(number) for number in range(3))
OWNERS = frozenset({OwnerId("own-0000000000000001")})


@dataclass
class World:
    """A fleet, as this PoP ranks it."""

    pops: list[Known]
    links: dict[PopId, float] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.fleet = Fleet({known.state.pop: known for known in self.pops})
        self.ranking = Ranking(
            member(0), lambda: self.fleet, self.links, lambda _: OWNERS, self.clock
        )


def errand(text: str = "hello", **passage: Any) -> Errand:
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    usual: dict[str, Any] = {"via": (HERE,), "scope": "0" * 32}
    return Errand(
        "chat.completions",
        msgspec.json.encode(body),
        MODEL,
        True,
        passage=Passage(**{**usual, **passage}),
    )


def ranked(world: World, asked: Errand | None = None) -> list[PopId]:
    """The PoPs in the order in which they are to be asked."""
    return list(world.ranking.rank(asked or errand(), MODEL, spin=1))


def test_the_nearer_of_two_that_are_alike_comes_first() -> None:
    world = World([pop(1), pop(2)], {NEAR: 0.001, FAR: 0.5})
    assert ranked(world) == [NEAR, FAR]


def test_who_is_gone_or_drains_is_not_asked_though_it_is_a_target() -> None:
    world = World([pop(1, alive=False), pop(2), pop(3, draining=True)])
    assert ranked(world) == [FAR]


def test_who_a_request_came_through_is_not_asked_again() -> None:
    world = World([pop(1), pop(2)], {NEAR: 0.001, FAR: 0.5})
    through = errand(via=(NEAR, HERE))
    assert ranked(world, through) == [FAR]


def test_a_requirement_rules_out_who_lacks_it_and_fails_closed() -> None:
    world = World([pop(1, who=member(1, zone="us")), pop(2)], {NEAR: 0.001, FAR: 0.5})
    assert ranked(world, errand(requires="zone=fr")) == [FAR]
    assert ranked(world, errand(requires="zone=mars")) == []


def test_a_conversation_returns_to_where_its_past_is() -> None:
    text = "Once upon a time. " * 400
    scope = key_behind(HERE, "0" * 32)
    sketch = Sketch(8_192)
    sketch.read(prefixes_of(scope, MODEL, prompt_of(msgspec.json.decode(errand(text).body))))
    world = World([pop(1), pop(2, model(prefixes=sketch.told()))], {NEAR: 0.01, FAR: 0.02})
    assert ranked(world, errand(text)) == [FAR, NEAR]
    other = errand(text, scope="1" * 32)
    assert ranked(world, other) == [NEAR, FAR]


def test_what_was_sent_counts_until_it_is_over() -> None:
    slow = model(slots=1, decode_tps=1.0)
    world = World([pop(1, slow), pop(2, slow)], {NEAR: 0.001, FAR: 0.1})
    sent = world.ranking.follow(errand(), MODEL, NEAR)
    assert ranked(world) == [FAR, NEAR]
    sent.began()
    sent.ended()
    assert ranked(world) == [NEAR, FAR]


def test_it_counts_for_the_model_that_is_asked_there_whatever_the_client_calls_it() -> None:
    slow = model(slots=1, decode_tps=1.0)
    world = World([pop(1, slow), pop(2, slow)], {NEAR: 0.001, FAR: 0.1})
    called = structs.replace(errand(), model="its other name")
    assert ranked(world, called) == [NEAR, FAR]
    world.ranking.follow(called, MODEL, NEAR)
    assert ranked(world) == [FAR, NEAR]


def test_why_a_pop_was_asked_is_told_though_it_was_not_ranked_or_has_the_model_no_more() -> None:
    world = World([pop(1), pop(2)], {NEAR: 0.001, FAR: 0.5})
    asked = errand()
    assert ranked(world, asked) == [NEAR, FAR]
    why = world.ranking.follow(asked, MODEL, FAR).why
    assert why == "0.5 s = link 0.5 + queue 0 + prompt 0.003, of 2 PoPs"
    again = world.ranking.follow(errand(), MODEL, FAR).why
    assert again.startswith("0.51 s = link 0.5 + queue 0.003 (1 sent from here just now) + ")
    assert world.ranking.follow(errand(), MODEL, name(7)).why == ""


def test_a_record_that_came_since_tells_of_what_was_sent_and_an_old_one_does_not() -> None:
    slow = model(slots=1, decode_tps=1.0)
    world = World([pop(1, slow), pop(2, slow)], {NEAR: 0.001, FAR: 0.1})
    world.ranking.look(world.fleet)
    world.ranking.follow(errand(), MODEL, NEAR)
    world.ranking.look(world.fleet)
    assert ranked(world) == [FAR, NEAR]
    later = pop(1, slow, heard_at=Instant(NOW + SECOND))
    world.ranking.look(world.fleet.heard(Known(later.member, later.state, later.heard_at)))
    assert ranked(world) == [FAR, NEAR], "the same record"
    state = structs.replace(later.state, seq=2)
    world.ranking.look(world.fleet.heard(Known(later.member, state, later.heard_at)))
    assert ranked(world) == [NEAR, FAR]


def test_the_fleet_is_read_again_when_it_has_changed_but_not_with_each_record() -> None:
    world = World([pop(1), pop(2)], {NEAR: 0.001, FAR: 0.5})
    assert ranked(world) == [NEAR, FAR]
    world.fleet = world.fleet.left(NEAR)
    assert ranked(world) == [NEAR, FAR]
    world.clock.at = Instant(NOW + int(TABLE_S * SECOND))
    assert ranked(world) == [FAR]


def test_a_body_that_is_no_request_is_ranked_all_the_same() -> None:
    world = World([pop(1)])
    for body in (b"", b"[]", b"{", b'{"messages": 3}', b'{"messages": [3, {"content": null}]}'):
        odd = Errand("chat.completions", body, MODEL, False, passage=errand().passage)
        assert ranked(world, odd) == [NEAR]


# --- here or elsewhere --------------------------------------------------------------------------

ENTRY = ModelEntry(MODEL, EngineKind.LLAMA, (Kind.CHAT,), 4_096, digest=DIGEST)
GUEST = ModelEntry(
    MODEL,
    EngineKind.UPSTREAM,
    (Kind.CHAT,),
    4_096,
    digest=DIGEST,
    upstreams=(UpstreamTarget("https://p/v1", MODEL, peer=member(1).name),),
)
CALLER = Caller(KeyId("kaaaaaaaaaaaa"), "shop")


def requiring(text: str) -> Caller:
    return Caller(CALLER.key_id, "shop", requires=text)


def others(world: World, guest: ModelEntry | None = GUEST) -> Others:
    standing = SimpleNamespace(ranking=world.ranking, member=member(0))
    membership = SimpleNamespace(standing=standing)
    return Others(membership, lambda _: guest, ZoneName("fr"))  # type: ignore[arg-type]


def sooner(world: World, caller: Caller = CALLER) -> bool:
    return others(world).sooner(errand(requires=caller.requires), caller, ENTRY, GUEST)


def same(number: int, **said: Any) -> Known:
    return pop(number, model(digest=DIGEST, **said))


def test_an_idle_pop_answers_for_its_own_models() -> None:
    assert not sooner(World([same(0), same(1)], {NEAR: 0.001}))


def test_a_busy_pop_has_an_idle_one_answer() -> None:
    busy = same(0, in_flight=4, waiting=6, queued_tokens=6_000)
    assert sooner(World([busy, same(1)], {NEAR: 0.001}))


def test_little_gain_is_not_worth_the_way() -> None:
    assert not sooner(World([same(0, queued_tokens=40), same(1)], {NEAR: 0.001}))


def test_other_weights_are_never_asked() -> None:
    busy = same(0, in_flight=4, waiting=6)
    other = ModelEntry(
        MODEL, EngineKind.UPSTREAM, (Kind.CHAT,), 0, upstreams=GUEST.upstreams, digest=None
    )
    assert others(World([busy]), other).guest(ENTRY) is None
    assert others(World([busy]), GUEST).guest(ENTRY) is GUEST


def test_a_request_that_may_not_stay_goes_where_it_may_or_is_refused() -> None:
    away = pop(1, model(digest=DIGEST), who=member(1, zone="eu"))
    assert sooner(World([same(0), away], {NEAR: 1.0}), requiring("zone=eu"))
    with pytest.raises(RequirementUnmetError):
        sooner(World([same(0), same(1)]), requiring("zone=eu"))


def test_a_pop_that_is_alone_checks_what_is_required_of_it() -> None:
    alone = Others(
        SimpleNamespace(standing=None),  # type: ignore[arg-type]
        lambda _: None,
        ZoneName("fr"),
    )
    alone.check(requiring("zone=fr"), ENTRY)
    with pytest.raises(RequirementUnmetError):
        alone.check(requiring("zone=eu"), ENTRY)
    with pytest.raises(RequirementUnmetError):
        alone.check(requiring("owner=own-00000000000000aa"), ENTRY)
