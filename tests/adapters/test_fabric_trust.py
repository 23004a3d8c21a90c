"""The real fabric's links: mutual TLS with the owner's root, and our keys alone."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
import zenoh

from littoral.adapters.fabric import FabricPlace
from littoral.adapters.fabric.place import Role, configuration
from littoral.terms.errors import IdentityError, PortInUseError
from littoral.terms.facts import RecordRejected
from littoral.terms.limits import RECORD_BYTES_MAX
from littoral.trust.records import RecordKind
from tests.fabric_made import Pop
from tests.fabric_stand import RealStand
from tests.owners import TestOwner

STRANGER = Pop(9)


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[RealStand]:
    made = RealStand(tmp_path / "owner")
    yield made
    await made.end()


class Intruder:
    """Whoever speaks Zenoh, with a configuration of its own."""

    def __init__(self, place: FabricPlace, change: Callable[[dict[str, object]], None]) -> None:
        settings = configuration(place, connect=(), role=Role.DIALS)
        settings.pop("access_control")
        change(settings)
        self.session = zenoh.open(zenoh.Config.from_json5(json.dumps(settings)))

    def linked(self) -> bool:
        return bool(self.session.info.peers_zid())

    def close(self) -> None:
        self.session.close()  # type: ignore[no-untyped-call]


def of_another_owner(settings: dict[str, object]) -> None:
    """Its place says so."""


def without_certificate(settings: dict[str, object]) -> None:
    tls = settings["transport"]["link"]["tls"]  # type: ignore[index]
    tls.update(enable_mtls=False, connect_certificate=None, connect_private_key=None)


def without_tls(settings: dict[str, object]) -> None:
    settings["transport"]["link"]["protocols"] = ["tcp"]  # type: ignore[index]
    endpoints = settings["connect"]["endpoints"]  # type: ignore[index]
    settings["connect"]["endpoints"] = [each.replace("tls/", "tcp/") for each in endpoints]  # type: ignore[index]


@pytest.mark.parametrize("how", [of_another_owner, without_certificate, without_tls])
async def test_who_has_no_certificate_of_the_owner_has_no_link(
    stand: RealStand, tmp_path: Path, how: Callable[[dict[str, object]], None]
) -> None:
    first = await stand.start(1)
    other = TestOwner(tmp_path / "other") if how is of_another_owner else stand.owner
    # It believes in our root, so that it is not it that refuses.
    place = replace(stand.place(STRANGER, other), roots=stand.owner.roots)
    intruder = Intruder(place, how)
    try:
        second = await stand.start(2)
        await stand.until(lambda: first.sees(second.pop) and second.sees(first.pop))
        for _ in range(10):
            intruder.session.put(f"littoral/{STRANGER.topic()}", STRANGER.state(1))
            latest = second.say()
            await stand.until(lambda: first.seq_of(second.pop) == latest)  # noqa: B023
        assert not intruder.linked()
        assert first.names.linked() == 1
        assert not [fact for fact in first.facts if isinstance(fact, RecordRejected)]
    finally:
        intruder.close()


async def test_a_member_passes_nothing_but_our_keys_and_nothing_too_large(stand: RealStand) -> None:
    first = await stand.start(1)
    intruder = Intruder(stand.place(STRANGER), lambda _: None)
    try:
        await stand.until(intruder.linked)
        sent, topic = intruder.session.put, STRANGER.topic()
        sent("other/x/y/z", b"")
        sent("littoral/state/y", b"")
        sent(f"littoral/{Pop(8).topic()}", STRANGER.state(1))
        sent(f"littoral/{topic}", bytes(RECORD_BYTES_MAX + 100))
        sent(f"littoral/{STRANGER.topic(RecordKind.CARD)}", STRANGER.card(1))
        sent(f"littoral/{topic}", STRANGER.state(2))
        await stand.until(lambda: first.seq_of(STRANGER) == 2)
        topics = {fact.topic for fact in first.facts if isinstance(fact, RecordRejected)}
        assert topics <= {topic, Pop(8).topic()}
        assert set(first.view.fleet.pops) == {STRANGER.id}
    finally:
        intruder.close()


async def test_one_that_starts_before_its_seed_finds_it(stand: RealStand) -> None:
    seed = stand.place(Pop(1))
    place = replace(stand.place(Pop(2)), seeds=(f"127.0.0.1:{seed.port}",))
    early = await stand.start(2, place=place)
    assert early.names.linked() == 0
    late = await stand.start(1, place=seed)
    await stand.until(lambda: early.sees(late.pop) and late.sees(early.pop))


async def test_who_is_there_and_does_not_answer_is_asked_again(stand: RealStand) -> None:
    first = await stand.start(1)
    intruder = Intruder(stand.place(STRANGER), lambda _: None)
    try:
        session = intruder.session
        token = session.liveliness().declare_token(f"littoral/alive/{STRANGER.id}/x")
        second = await stand.start(2)
        await stand.until(lambda: first.sees(second.pop))

        def answer(query: zenoh.Query) -> None:
            with query:
                query.reply(f"littoral/{STRANGER.topic()}", STRANGER.state(1))
                query.reply(f"littoral/{STRANGER.topic(RecordKind.CARD)}", STRANGER.card(1))

        session.declare_queryable(f"littoral/*/{STRANGER.id}/*", answer)
        await stand.until(lambda: first.sees(STRANGER))
        token.undeclare()  # type: ignore[no-untyped-call]
        await stand.until(lambda: not first.sees(STRANGER))
    finally:
        intruder.close()


async def test_a_link_ends_with_its_certificate_unless_it_is_renewed(stand: RealStand) -> None:
    first = await stand.start(1)
    brief, renewed = Pop(2), Pop(3)
    places = [stand.place(pop) for pop in (brief, renewed)]
    for pop in (brief, renewed):
        stand.owner.member(pop.name(), life_s=3)
    second, third = await stand.start(2, place=places[0]), await stand.start(3, place=places[1])
    await stand.until(lambda: first.sees(second.pop) and first.sees(third.pop))
    await stand.renew(third)
    await stand.until(lambda: not first.sees(second.pop))
    latest = third.say()
    await stand.until(lambda: first.seq_of(third.pop) == latest)
    assert first.sees(third.pop)
    late = await stand.start(4)
    await stand.until(lambda: third.sees(late.pop) and late.sees(third.pop))


async def test_a_place_that_is_taken_or_without_certificate_is_told(stand: RealStand) -> None:
    place = stand.place(Pop(1))
    await stand.start(1, place=place)
    with pytest.raises(PortInUseError):
        await stand.start(2, place=replace(stand.place(Pop(2)), port=place.port))
    with pytest.raises(IdentityError, match="no missing"):
        await stand.start(3, place=replace(stand.place(Pop(3)), chain=Path("missing.pem")))
