"""What is to be pulled is looked for among others first, and what they say is believed as far as it
can be checked."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from littoral.node.delivery import searching
from littoral.node.delivery.finding import FoundDraft, FoundManifest, draft_of, wish_of
from littoral.node.delivery.others import Others
from littoral.node.delivery.searching import Finding
from littoral.terms.artifacts import OriginListing
from littoral.terms.errors import OriginError
from tests.adapters.artifacts.made import Made, model
from tests.node.delivery.made import (
    REFERENCE,
    FakeClient,
    FakeOrigin,
    around,
    claim,
    documents_of,
    identity,
    listing_of,
    offer,
    origins_of,
    other,
    others,
    pop,
)

MODEL, ANOTHER = model(), model(7)
ME, LOW, HIGH = pop(5), pop(1), pop(9)


def files_of(source: Made) -> dict[str, bytes]:
    rows = zip(source.manifest.files, source.files, strict=True)
    return {row.path: data for row, data in rows}


@dataclass
class Stand:
    """A PoP that looks."""

    client: FakeClient
    origin: FakeOrigin
    finding: Finding
    known: Others
    headers: int = 0

    async def of(self, listing: OriginListing) -> FoundManifest | FoundDraft:
        async with asyncio.timeout(10):
            return await self.finding.of(listing, self._reads)

    def _reads(self) -> None:
        self.headers += 1


@pytest.fixture
def stand() -> Iterator[Stand]:
    client, origin = FakeClient(), FakeOrigin(listing_of(MODEL), files_of(MODEL))
    with ThreadPoolExecutor(1) as threads:
        finding = Finding(around(ME, threads, client), origins_of(origin), lambda: made.known)
        made = Stand(client, origin, finding, others())
        yield made


async def test_alone_it_reads_headers_and_makes_a_draft(stand: Stand) -> None:
    found = await stand.of(listing_of(MODEL))
    assert isinstance(found, FoundDraft)
    assert found.paths == tuple(row.path for row in MODEL.manifest.files)
    assert stand.headers == 1
    assert stand.client.asked == []


async def test_a_manifest_is_preferred_to_a_draft_whoever_has_it(stand: Stand) -> None:
    draft = draft_of(stand.origin, listing_of(MODEL))
    stand.client.documents = {
        (LOW, draft.name): draft.documents(),
        (HIGH, MODEL.artifact): documents_of(MODEL),
    }
    stand.known = others(
        other(LOW, offer(draft.name, whole=False)), other(HIGH, offer(MODEL.artifact))
    )
    found = await stand.of(listing_of(MODEL))
    assert isinstance(found, FoundManifest)
    assert found.artifact == MODEL.artifact
    assert stand.headers == 0


async def test_a_draft_of_others_is_taken_if_it_is_of_what_the_origin_lists(stand: Stand) -> None:
    draft = draft_of(stand.origin, listing_of(MODEL))
    stand.client.documents = {(HIGH, draft.name): draft.documents()}
    stand.known = others(other(HIGH, offer(draft.name, whole=False)))
    found = await stand.of(listing_of(MODEL))
    assert found.name == draft.name
    assert stand.headers == 0
    of_more = replace(listing_of(MODEL), files=listing_of(MODEL).files[:-1])
    stand.origin.listing = of_more
    assert (await stand.of(of_more)).name != draft.name
    assert stand.headers == 1


@pytest.mark.parametrize("own", [True, False])
async def test_what_fits_the_digests_of_the_origin_is_believed_of_anybody(
    stand: Stand, own: bool
) -> None:
    stand.client.documents = {(HIGH, MODEL.artifact): documents_of(MODEL)}
    stand.known = others(other(HIGH, offer(MODEL.artifact), own=own))
    assert (await stand.of(listing_of(MODEL))).name == MODEL.artifact


async def test_another_artifact_under_the_reference_is_not_believed(stand: Stand) -> None:
    stand.client.documents = {(HIGH, ANOTHER.artifact): documents_of(ANOTHER)}
    stand.known = others(other(HIGH, offer(ANOTHER.artifact)))
    assert isinstance(await stand.of(listing_of(MODEL)), FoundDraft)


async def test_where_nothing_is_promised_a_pop_of_this_owner_must_have_claimed_it(
    stand: Stand, tmp_path: Path
) -> None:
    unpromised = listing_of(MODEL, promised=False)
    by = identity(tmp_path, "high")
    stand.client.documents = {(by.pop_id, MODEL.artifact): documents_of(MODEL, claim(by, MODEL))}
    stand.known = others(other(by.pop_id, offer(MODEL.artifact), own=False))
    assert isinstance(await stand.of(unpromised), FoundDraft)
    stand.known = others(other(by.pop_id, offer(MODEL.artifact)))
    assert (await stand.of(unpromised)).name == MODEL.artifact
    of_another = documents_of(MODEL, claim(by, MODEL, reference="hf:other/model@1"), b"no claim")
    stand.client.documents = {(by.pop_id, MODEL.artifact): of_another}
    assert isinstance(await stand.of(unpromised), FoundDraft)


async def test_who_has_a_higher_name_waits_for_the_draft_of_the_lower(stand: Stand) -> None:
    wish = wish_of(REFERENCE)
    stand.known = others(other(LOW, offer(wish, whole=False)))
    looking = asyncio.create_task(stand.of(listing_of(MODEL)))
    draft = draft_of(stand.origin, listing_of(MODEL))
    await asyncio.wait([looking], timeout=0.5)
    assert not looking.done()
    stand.client.documents = {(LOW, draft.name): draft.documents()}
    stand.known = others(other(LOW, offer(draft.name, whole=False)))
    assert (await looking).name == draft.name
    assert stand.headers == 0


async def test_who_has_the_lowest_name_waits_for_nobody(stand: Stand) -> None:
    stand.known = others(other(HIGH, offer(wish_of(REFERENCE), whole=False)))
    assert isinstance(await stand.of(listing_of(MODEL)), FoundDraft)
    assert stand.headers == 1


async def test_an_artifact_by_its_name_is_had_from_whoever_has_it_whole(
    stand: Stand, tmp_path: Path
) -> None:
    with pytest.raises(OriginError, match="no PoP"):
        await stand.finding.named(MODEL.artifact)
    by = identity(tmp_path, "high")
    stand.client.documents = {(by.pop_id, MODEL.artifact): documents_of(MODEL, claim(by, MODEL))}
    stand.known = others(other(by.pop_id, offer(MODEL.artifact, whole=False)))
    with pytest.raises(OriginError, match="no PoP"):
        await stand.finding.named(MODEL.artifact)
    stand.known = others(other(by.pop_id, offer(MODEL.artifact)))
    found, listing = await stand.finding.named(MODEL.artifact)
    assert (found.artifact, listing) == (MODEL.artifact, stand.origin.listing)
    stand.origin.away = True
    assert (await stand.finding.named(MODEL.artifact))[1] is None


async def test_what_a_reference_means_without_its_origin_only_pops_of_this_owner_say(
    stand: Stand,
) -> None:
    stand.known = others(
        other(LOW, offer(MODEL.artifact), own=False),
        other(HIGH, offer(MODEL.artifact, whole=False)),
    )
    assert stand.finding.claimed(REFERENCE) is None
    stand.known = others(other(HIGH, offer(MODEL.artifact)))
    assert stand.finding.claimed(REFERENCE) == MODEL.artifact
    assert stand.finding.claimed("hf:other/model@1") is None


async def test_whoever_has_the_lowest_name_of_all_waits_for_no_draft(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_GATHER_S", 60.0)
    stand.known = others(other(HIGH, offer(wish_of(REFERENCE), whole=False)))
    assert isinstance(await stand.of(listing_of(MODEL)), FoundDraft)
    assert stand.headers == 1


async def test_all_others_wait_for_a_draft_no_longer_than_until_it_is_there(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_GATHER_S", 60.0)
    draft = draft_of(stand.origin, listing_of(MODEL))
    stand.client.documents = {(LOW, draft.name): draft.documents()}
    stand.known = others(other(LOW))
    looking = asyncio.create_task(stand.of(listing_of(MODEL)))
    await asyncio.sleep(0)
    assert not looking.done()
    stand.known = others(other(LOW, offer(draft.name, whole=False)))
    assert (await looking).name == draft.name
    assert stand.headers == 0
