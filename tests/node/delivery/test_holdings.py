"""What is here is known by what was claimed of it, and given to whom that allows."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from littoral.adapters.artifacts import ArtifactStore
from littoral.adapters.models import Catalogue
from littoral.delivery import news as wire
from littoral.node.delivery.coding import Coding
from littoral.node.delivery.finding import mark_of
from littoral.node.delivery.holdings import Holdings
from littoral.node.delivery.library import Library
from littoral.node.delivery.others import group_of
from tests.adapters.artifacts.made import model, put, store_in
from tests.node.delivery.made import (
    REFERENCE,
    claim,
    identity,
    member,
    other,
    others,
    pop,
)

MODEL = model()
FRIEND, STRANGER = pop(1), pop(2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ArtifactStore]:
    opened = store_in(tmp_path)
    put(opened, MODEL)
    yield opened
    opened.close()


@pytest.fixture
def holdings(store: ArtifactStore, tmp_path: Path) -> Holdings:
    return Holdings(store, Catalogue(tmp_path / "models"))


@pytest.fixture
def library(holdings: Holdings) -> Iterator[Library]:
    known = others(other(FRIEND), other(STRANGER, own=False))
    made = Library(holdings, lambda: known, Coding(lambda: None))
    yield made
    made.let_go()


def test_a_reference_means_what_was_claimed_and_is_there_after_a_restart(
    holdings: Holdings, store: ArtifactStore, tmp_path: Path
) -> None:
    assert holdings.whole(REFERENCE) is None
    assert holdings.reference(MODEL.artifact) == ""
    by = identity(tmp_path, "me")
    holdings.claimed(MODEL.artifact, claim(by, MODEL))
    for each in (holdings, Holdings(store, Catalogue(tmp_path / "models"))):
        assert each.whole(REFERENCE) == MODEL.artifact
        assert each.reference(MODEL.artifact) == REFERENCE
        (row,) = each.deliveries()
        assert row.group == group_of(MODEL.artifact)
        assert (row.reference, row.whole) == (mark_of(REFERENCE), True)
        assert row.size_bytes == MODEL.manifest.size_bytes


def test_the_last_claim_says_whether_it_is_private_and_without_one_it_is(
    holdings: Holdings, tmp_path: Path
) -> None:
    by = identity(tmp_path, "me")
    assert holdings.private(MODEL.artifact)
    holdings.claimed(MODEL.artifact, claim(by, MODEL, at=1))
    assert not holdings.private(MODEL.artifact)
    holdings.claimed(MODEL.artifact, claim(by, MODEL, private=True, at=3))
    assert holdings.private(MODEL.artifact)
    holdings.claimed(MODEL.artifact, claim(by, MODEL, at=2))
    assert holdings.private(MODEL.artifact)


def test_a_claim_that_is_no_good_or_of_another_counts_for_nothing(
    holdings: Holdings, tmp_path: Path
) -> None:
    by = identity(tmp_path, "me")
    holdings.claimed(MODEL.artifact, b'{"payload": "forged"}')
    holdings.claimed(MODEL.artifact, claim(by, model(7)))
    assert holdings.reference(MODEL.artifact) == ""
    assert holdings.claims(MODEL.artifact) == ()


async def test_what_is_public_is_given_to_all_who_may_fetch(
    holdings: Holdings, library: Library, tmp_path: Path
) -> None:
    envelope = claim(identity(tmp_path, "me"), MODEL)
    holdings.claimed(MODEL.artifact, envelope)
    for peer in (member(FRIEND), member(STRANGER, own=False)):
        expected = {"manifest": MODEL.manifest.encoded(), "claims": envelope}
        expected |= {f"tables/{number}": table for number, table in enumerate(MODEL.tables)}
        expected |= {f"files/{number}": data for number, data in enumerate(MODEL.files)}
        for name, data in expected.items():
            found = library.document(MODEL.artifact, name, peer)
            assert found is not None
            assert bytes(found) == data
        for name in ("tables/3", "files/3", "else"):
            assert library.document(MODEL.artifact, name, peer) is None
        shelf = library.shelf(MODEL.artifact, peer)
        assert shelf is not None
        for number, piece in enumerate(MODEL.pieces):
            held = shelf.held(number)
            assert held is not None
            assert held.data == piece


async def test_what_is_private_is_to_strangers_as_if_it_were_not_here(
    holdings: Holdings, library: Library, tmp_path: Path
) -> None:
    holdings.claimed(MODEL.artifact, claim(identity(tmp_path, "me"), MODEL, private=True))
    stranger, friend = member(STRANGER, own=False), member(FRIEND)
    poser, unknown = member(STRANGER), member(pop(3))
    said: list[bytes] = []
    for peer in (stranger, poser, unknown):
        assert library.shelf(MODEL.artifact, peer) is None
        assert library.document(MODEL.artifact, "manifest", peer) is None
        assert library.document(MODEL.artifact, "files/0", peer) is None
        assert library.news(MODEL.artifact, peer, said.append) is None
    assert library.shelf(MODEL.artifact, friend) is not None
    assert library.news(MODEL.artifact, friend, said.append) is not None
    await asyncio.sleep(0)  # the greeting is said once the call is answered
    (greeting,) = said
    assert not wire.decoded(greeting, len(MODEL.pieces)).pulling


async def test_what_is_not_here_is_given_to_nobody(library: Library) -> None:
    absent = model(7).artifact
    for name in (absent, "draft:" + "0" * 64, "wish:" + "0" * 64):
        assert library.shelf(name, member(FRIEND)) is None
        assert library.document(name, "manifest", member(FRIEND)) is None
