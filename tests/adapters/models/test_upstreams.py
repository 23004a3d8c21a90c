"""Several upstreams of one model: what an entry says of them, and how that changes."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from littoral.adapters.models import (
    Catalogue,
    UpstreamSource,
    add,
    parse_source,
    parse_upstream,
    with_relay,
    with_upstream,
    with_weight,
    without_upstream,
)
from littoral.terms import limits
from littoral.terms.errors import (
    BadRequestError,
    ConflictError,
    HomeUnwritableError,
    ModelDamagedError,
    UnknownModelError,
)
from littoral.terms.values import Kind, ModelEntry, RelayPolicy, UpstreamTarget
from tests.adapters.models.conftest import ignore
from tests.adapters.models.made import gguf_bytes

ONE, TWO = "http://one:8000/v1", "http://two:8000/v1"


@pytest.fixture
def entry(catalogue: Catalogue) -> ModelEntry:
    return add(catalogue, UpstreamSource(parse_upstream(ONE, model="big")), ignore, "mine")


def unchanged(entry: ModelEntry) -> ModelEntry:
    return entry


def test_an_entry_of_the_first_version_keeps_its_upstream(
    catalogue: Catalogue, entry: ModelEntry
) -> None:
    path = catalogue.models_dir / "mine" / "entry.json"
    document = json.loads(path.read_bytes())
    for name in ("upstreams", "fallbacks", "relay"):
        del document["entry"][name]
    document["entry"]["upstream"] = {
        "base_url": ONE,
        "model": "big",
        "key_file": None,
        "key_env": "THE_KEY",
        "key_header": "api-key",
    }
    path.write_text(json.dumps(document))
    read = catalogue.get("mine")
    assert read.upstreams == (UpstreamTarget(ONE, "big", key_env="THE_KEY", key_header="api-key"),)
    assert read.relay == RelayPolicy()
    changed = catalogue.change("mine", lambda entry: with_weight(entry, ONE, 3))
    assert changed.upstreams[0].weight == 3
    assert "upstream" not in json.loads(path.read_bytes())["entry"]


def test_upstreams_come_and_go(catalogue: Catalogue, entry: ModelEntry) -> None:
    second = parse_upstream(TWO, model="big", weight=2, native_apis=["messages"])
    catalogue.change("mine", lambda entry: with_upstream(entry, second))
    read = catalogue.get("mine")
    assert [(one.base_url, one.weight) for one in read.upstreams] == [(ONE, 1), (TWO, 2)]
    assert read.upstreams[1].apis[-1] == "messages"
    assert read.description == "big at one and 1 more"
    catalogue.change("mine", lambda entry: without_upstream(entry, ONE + "/"))
    assert catalogue.get("mine").upstreams == (second,)
    assert catalogue.get("mine").description == "big at two"


def test_a_description_that_somebody_wrote_is_kept(entry: ModelEntry) -> None:
    own = replace(entry, description="The good one")
    assert with_upstream(own, parse_upstream(TWO, model="big")).description == "The good one"


def test_the_last_upstream_stays(entry: ModelEntry) -> None:
    with pytest.raises(ConflictError, match="only upstream"):
        without_upstream(entry, ONE)


def test_the_same_upstream_is_not_added_twice(entry: ModelEntry) -> None:
    with pytest.raises(ConflictError, match="already"):
        with_upstream(entry, parse_upstream(ONE + "/", model="big"))


def test_two_models_at_one_address_are_told_apart_by_name(entry: ModelEntry) -> None:
    both = with_upstream(entry, parse_upstream(ONE, model="bigger"))
    with pytest.raises(BadRequestError, match="2 upstreams of this address"):
        with_weight(both, ONE, 0)
    drained = with_weight(both, ONE, 0, "bigger")
    assert [one.weight for one in drained.upstreams] == [1, 0]
    with pytest.raises(BadRequestError, match="no such upstream"):
        with_weight(both, TWO, 0)


def test_draining_is_taken_back_and_a_weight_is_kept(entry: ModelEntry) -> None:
    drained = with_weight(entry, ONE, 0)
    assert drained.upstreams[0].weight == 0
    assert with_weight(drained, ONE, None).upstreams[0].weight == 1
    assert with_weight(with_weight(entry, ONE, 7), ONE, None).upstreams[0].weight == 7


def test_a_model_that_runs_here_has_no_upstreams(catalogue: Catalogue, tmp_path: Any) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf_bytes())
    local = add(catalogue, parse_source(str(path)), ignore, "tiny")
    with pytest.raises(BadRequestError, match="runs on this machine"):
        with_upstream(local, parse_upstream(ONE, model="m"))
    with pytest.raises(BadRequestError, match="runs on this machine"):
        with_relay(local, lambda relay: relay)
    with pytest.raises(BadRequestError, match="runs on this machine"):
        with_weight(local, ONE, 1)


@pytest.mark.parametrize(
    "values",
    [
        {"attempts": 0},
        {"attempts": limits.RELAY_ATTEMPTS_MAX + 1},
        {"connect_s": 0.0},
        {"first_byte_s": -1.0},
        {"between_bytes_s": float("nan")},
        {"total_s": float("inf")},
        {"hedge_after_s": 0.0},
    ],
)
def test_a_relay_that_makes_no_sense_is_refused(entry: ModelEntry, values: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError, match="--"):
        with_relay(entry, lambda relay: replace(relay, **values))


def test_fallbacks_are_names_of_other_models(entry: ModelEntry) -> None:
    changed = with_relay(entry, lambda relay: relay, ["other", "third", "other"])
    assert changed.fallbacks == ("other", "third")
    assert with_relay(changed, lambda relay: relay).fallbacks == ("other", "third")
    for wrong in (["mine"], ["No Name"], [f"m{number}" for number in range(9)]):
        with pytest.raises(BadRequestError):
            with_relay(entry, lambda relay: relay, wrong)


def test_an_embedding_model_speaks_no_api_for_chats(catalogue: Catalogue) -> None:
    source = UpstreamSource(
        parse_upstream(ONE, model="vectors", native_apis=["messages"]), (Kind.EMBED,)
    )
    with pytest.raises(BadRequestError, match="does not chat"):
        add(catalogue, source, ignore, "vectors")
    assert not catalogue.has("vectors")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: entry.update(upstreams=[]),
        lambda entry: entry["upstreams"][0].update(base_url="file:///etc/passwd"),
        lambda entry: entry["upstreams"][0].update(weight=-1),
        lambda entry: entry["upstreams"][0].update(apis=["telepathy"]),
        lambda entry: entry["upstreams"].append(entry["upstreams"][0]),
        lambda entry: entry["upstreams"].extend(
            {"base_url": ONE, "model": str(number)} for number in range(100)
        ),
        lambda entry: entry["relay"].update(attempts=1_000_000),
        lambda entry: entry.update(fallbacks=["../x"]),
        lambda entry: entry.update(engine="llama"),
    ],
)
def test_an_entry_whose_upstreams_make_no_sense_is_damaged(
    catalogue: Catalogue, entry: ModelEntry, spoil: Callable[[dict[str, Any]], object]
) -> None:
    path = catalogue.models_dir / "mine" / "entry.json"
    document = json.loads(path.read_bytes())
    spoil(document["entry"])
    path.write_text(json.dumps(document))
    with pytest.raises(ModelDamagedError):
        catalogue.get("mine")


def test_every_change_is_seen_by_whoever_looks_at_the_folder(
    catalogue: Catalogue, entry: ModelEntry
) -> None:
    seen = {catalogue.changed_at()}
    for _ in range(20):
        catalogue.change("mine", unchanged)
        seen.add(catalogue.changed_at())
    assert len(seen) == 21


def test_a_change_of_one_model_keeps_the_marks_of_its_files(
    catalogue: Catalogue, tmp_path: Any
) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf_bytes())
    add(catalogue, parse_source(str(path), copy=True), ignore, "tiny")
    written = (catalogue.models_dir / "tiny" / "entry.json").read_bytes()
    (catalogue.models_dir / "tiny" / "tiny.gguf").write_bytes(b"other bytes")
    catalogue.change("tiny", unchanged)
    assert (catalogue.models_dir / "tiny" / "entry.json").read_bytes() == written


def test_a_change_that_fails_leaves_the_entry_as_it_was(
    catalogue: Catalogue, entry: ModelEntry
) -> None:
    with pytest.raises(BadRequestError):
        catalogue.change("mine", lambda entry: with_weight(entry, TWO, 1))
    with pytest.raises(BadRequestError):
        catalogue.change("mine", lambda entry: replace(entry, upstreams=()))
    assert catalogue.get("mine") == entry
    assert [path.name for path in (catalogue.models_dir / "mine").iterdir()] == ["entry.json"]


def test_what_is_not_there_or_built_in_does_not_change(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownModelError):
        catalogue.change("none", unchanged)
    with pytest.raises(ConflictError):
        catalogue.change("echo", unchanged)


def test_a_folder_that_can_not_be_written_is_said_to_be_one(
    catalogue: Catalogue, entry: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(HomeUnwritableError):
        catalogue.change("mine", unchanged)
    assert catalogue.get("mine") == entry


def test_changes_of_several_processes_are_all_kept(catalogue: Catalogue, entry: ModelEntry) -> None:
    def more(process: int) -> None:
        for number in range(5):
            target = parse_upstream(f"http://h{process}-{number}/v1", model="big")
            catalogue.change("mine", partial(with_upstream, target=target))

    children = []
    for process in range(3):
        child = os.fork()
        if child == 0:
            try:
                more(process)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert len(catalogue.get("mine").upstreams) == 16
