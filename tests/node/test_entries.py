"""The models of a PoP as each of its processes knows them."""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from littoral.adapters.models import Catalogue
from littoral.node.entries import Entries, effective, watch
from littoral.terms.errors import StoreError, UnknownModelError
from littoral.terms.ids import ModelName
from littoral.terms.values import (
    EngineKind,
    Kind,
    ModelEntry,
    RelayPolicy,
    ToolSupport,
    UpstreamTarget,
)


def upstream(name: str) -> ModelEntry:
    return ModelEntry(
        name=ModelName(name),
        engine=EngineKind.UPSTREAM,
        kinds=(Kind.CHAT,),
        context_tokens=0,
        tools=ToolSupport.NATIVE,
        upstreams=(UpstreamTarget("http://127.0.0.1:1/v1", "theirs"),),
    )


def guest(name: str, peer: str = "one") -> ModelEntry:
    return replace(upstream(name), upstreams=(UpstreamTarget("https://a/v1", name, peer=peer),))


def offered(*guests: ModelEntry) -> dict[ModelName, ModelEntry]:
    return {entry.name: entry for entry in guests}


def add(catalogue: Catalogue, entry: ModelEntry) -> None:
    with catalogue.adding(entry.name, resumable=False, progress=lambda *_: None) as staging:
        staging.commit(entry)


def test_a_model_added_by_another_process_is_found(tmp_path: Path) -> None:
    entries = Entries(Catalogue(tmp_path), 1)
    with pytest.raises(UnknownModelError):
        entries.entry(ModelName("new"))
    add(Catalogue(tmp_path), upstream("new"))
    assert entries.entry(ModelName("new")).engine is EngineKind.UPSTREAM


def test_a_change_is_seen_and_what_is_unchanged_stays_the_same_object(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    add(catalogue, upstream("one"))
    add(catalogue, upstream("two"))
    entries = Entries(Catalogue(tmp_path), 1)
    one, two = entries.entry(ModelName("one")), entries.entry(ModelName("two"))
    policy = RelayPolicy(attempts=7)
    catalogue.change("two", lambda entry: replace(entry, relay=policy))
    entries.rescan()
    assert entries.entry(ModelName("one")) is one
    assert entries.entry(ModelName("two")) is not two
    assert entries.entry(ModelName("two")).relay == policy


def test_a_removed_model_is_unknown(tmp_path: Path) -> None:
    add(Catalogue(tmp_path), upstream("one"))
    entries = Entries(Catalogue(tmp_path), 1)
    Catalogue(tmp_path).remove("one")
    entries.rescan()
    with pytest.raises(UnknownModelError):
        entries.entry(ModelName("one"))


def test_a_local_model_has_no_more_context_than_its_cache() -> None:
    local = replace(upstream("one"), engine=EngineKind.LLAMA, context_tokens=4096)
    assert effective(local, 1024).context_tokens == 1024
    assert effective(local, 8192).context_tokens == 4096


def test_what_is_new_or_changed_or_gone_is_told_and_nothing_else(tmp_path: Path) -> None:
    heard: list[tuple[set[str], list[str]]] = []

    def told(gone: Collection[ModelName], changed: Collection[ModelEntry]) -> None:
        heard.append((set(gone), [entry.name for entry in changed]))

    catalogue = Catalogue(tmp_path)
    add(catalogue, upstream("one"))
    add(catalogue, upstream("two"))
    entries = Entries(Catalogue(tmp_path), 1, told)
    policy = RelayPolicy(attempts=7)
    catalogue.change("two", lambda entry: replace(entry, relay=policy))
    entries.rescan()
    catalogue.remove("one")
    entries.rescan()
    entries.rescan()
    assert heard == [(set(), ["echo", "one", "two"]), (set(), ["two"]), ({"one"}, [])]


def test_guests_are_known_until_they_are_offered_no_more(tmp_path: Path) -> None:
    entries = Entries(Catalogue(tmp_path), 1)
    entries.offer(offered(guest("far"), guest("other")))
    far = entries.entry(ModelName("far"))
    assert far.guest
    entries.offer(offered(guest("far")))
    assert entries.entry(ModelName("far")) is far, "what is as it was stays the same"
    assert entries.by_name.keys() == {"echo", "far"}
    entries.offer({})
    with pytest.raises(UnknownModelError):
        entries.entry(ModelName("far"))


def test_a_model_of_this_machine_hides_a_guest_and_uncovers_it_again(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    entries = Entries(Catalogue(tmp_path), 1)
    entries.offer(offered(guest("one")))
    add(catalogue, upstream("one"))
    entries.rescan()
    assert not entries.entry(ModelName("one")).guest
    entries.offer(offered(guest("one", "two")))
    assert not entries.entry(ModelName("one")).guest
    catalogue.remove("one")
    entries.rescan()
    assert entries.entry(ModelName("one")).upstreams[0].peer == "two"


def test_a_change_of_guests_is_told_and_who_takes_a_place_is_new(tmp_path: Path) -> None:
    heard: list[tuple[set[str], list[str]]] = []

    def told(gone: Collection[ModelName], changed: Collection[ModelEntry]) -> None:
        heard.append((set(gone), [entry.name for entry in changed]))

    catalogue = Catalogue(tmp_path)
    entries = Entries(Catalogue(tmp_path), 1, told)
    heard.clear()
    entries.offer(offered(guest("one"), guest("two")))
    entries.offer(offered(guest("one"), guest("two")))
    entries.offer(offered(guest("one"), guest("two", "another")))
    add(catalogue, upstream("one"))
    entries.rescan()
    entries.offer({})
    assert heard == [
        (set(), ["one", "two"]),
        (set(), ["two"]),
        ({"one"}, ["one"]),
        ({"two"}, []),
    ]


async def test_watching_goes_on_when_the_catalogue_can_not_be_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("littoral.node.entries.CATALOGUE_WATCH_S", 0)
    failures: list[Exception] = [OSError("no descriptors"), StoreError("damaged", advice="none")]
    read = asyncio.Event()

    def rescan() -> None:
        if failures:
            raise failures.pop(0)
        read.set()

    watching = asyncio.ensure_future(watch(rescan))
    async with asyncio.timeout(10):
        await read.wait()
    watching.cancel()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "no descriptors" in caplog.text
    assert "damaged" in caplog.text
