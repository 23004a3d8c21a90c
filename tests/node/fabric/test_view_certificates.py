"""The view and the real fabric with real certificates: an owner's, as PoPs get them by joining."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from littoral.adapters.clock import SystemClock
from littoral.adapters.fabric import FabricPlace, ZenohNames
from littoral.adapters.identity import verify
from littoral.adapters.owner import Bundle, Checker
from littoral.node.fabric.view import FleetView
from littoral.routing.fleet import PopState, encoded
from littoral.terms.facts import Fact, PopGone, RecordRejected
from littoral.terms.heard import Said
from littoral.terms.limits import FLEET_CHECK_S, LEAF_S
from littoral.terms.values import SECOND, Instant
from littoral.trust.records import Card, RecordKind, signed, topic
from tests.adapters.owner.made import START_UNIX_S, SetClock, identity, owner_at, pop_at

NUMBER = 2
WHO = identity(NUMBER)
STATE = Said(
    topic(RecordKind.STATE, WHO.pop_id),
    signed(RecordKind.STATE, encoded(PopState(WHO.pop_id, 1, 1)), WHO),
)


def view_of(bundle: Bundle, facts: list[Fact]) -> FleetView:
    return FleetView(
        verify=verify,
        check=Checker(bundle).member,
        admissible=lambda _: True,
        observe=facts.append,
        keeps=lambda _: False,
        passed_on=lambda _: None,
    )


def card(chain: tuple[bytes, ...], seq: int = 1) -> Said:
    record = signed(RecordKind.CARD, Card(1, seq, chain).encoded(), WHO)
    return Said(topic(RecordKind.CARD, WHO.pop_id), record)


def test_a_pop_is_known_by_its_certificate_while_that_is_good(tmp_path: Path) -> None:
    clock, facts = SetClock(), list[Fact]()
    owner = owner_at(tmp_path, clock)
    files = pop_at(tmp_path / "pop", owner, clock, NUMBER)
    view = view_of(Bundle.read(files.bundle), facts)
    view.hear([STATE, card(tuple(files.shown()))], Instant(0), START_UNIX_S)
    assert view.fleet.pops[WHO.pop_id].member.owner == owner.owner_id
    late = START_UNIX_S + LEAF_S + 1
    view.tick(Instant(int(FLEET_CHECK_S * SECOND)), late)
    assert PopGone(WHO.pop_id, "expired") in facts
    assert not view.fleet.pops
    clock.unix_s = late
    renewed = pop_at(tmp_path / "pop", owner, clock, NUMBER)
    view.hear([card(tuple(renewed.shown()), 2)], Instant(0), late)
    assert WHO.pop_id in view.fleet.pops


def test_a_certificate_of_an_owner_who_is_not_known_makes_nobody_a_member(tmp_path: Path) -> None:
    clock, facts = SetClock(), list[Fact]()
    files = pop_at(tmp_path / "pop", owner_at(tmp_path / "theirs", clock), clock, NUMBER)
    view = view_of(Bundle([owner_at(tmp_path / "ours", clock).root]), facts)
    said = card(tuple(files.shown()))
    view.hear([STATE, said], Instant(0), START_UNIX_S)
    assert facts == [RecordRejected(said.topic, "certificate", 1)]


async def test_pops_that_joined_meet_in_the_real_fabric(
    tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    system = SystemClock()
    clock = SetClock(system.unix_ns() // SECOND)
    owner = owner_at(tmp_path, clock)
    files = [pop_at(tmp_path / str(number), owner, clock, number) for number in (1, NUMBER)]
    ports = [unused_tcp_port_factory(), unused_tcp_port_factory()]
    one, two = (
        ZenohNames(
            identity(number).pop_id,
            FabricPlace(
                *("127.0.0.1", port, its.chain, its.key, its.bundle), (f"127.0.0.1:{ports[0]}",)
            ),
        )
        for number, port, its in zip((1, NUMBER), ports, files, strict=True)
    )
    view, seen = view_of(Bundle.read(files[0].bundle), []), asyncio.Event()
    view.watch(lambda fleet: seen.set() if WHO.pop_id in fleet.pops else None)
    await one.open(lambda heard: view.hear(heard, system.now(), clock.unix_s))
    await two.open(lambda _: None)
    for said in (STATE, card(tuple(files[1].shown()))):
        two.say(said.topic, said.record)
    try:
        async with asyncio.timeout(30):
            await seen.wait()
    finally:
        await two.close()
        await one.close()
