"""What a person writes after `models add`, local files and upstreams."""

import os
from pathlib import Path
from typing import Any

import pytest

from littoral.adapters.models import (
    Catalogue,
    UpstreamSource,
    add,
    parse_source,
    parse_upstream,
)
from littoral.adapters.models.sources import BuiltinSource, FileSource, HubSource
from littoral.adapters.origins.references import HubReference, parse_hub
from littoral.terms.errors import (
    BadRequestError,
    ConflictError,
    UnknownModelError,
    UnsupportedError,
)
from littoral.terms.ids import ModelName
from littoral.terms.values import EngineKind, Kind, ToolSupport
from tests.adapters.models.conftest import ignore
from tests.adapters.models.made import TINY, gguf_bytes


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "My Model (v1).Q4_1.gguf"
    path.write_bytes(gguf_bytes({**TINY, "tokenizer.chat_template": "{{ tools }}"}))
    return path


def test_each_way_of_writing_means_one_thing(tmp_path: Path) -> None:
    plain = tmp_path / "weights"
    plain.write_bytes(b"GGUF")
    assert parse_source("smollm2-135m") == BuiltinSource(ModelName("smollm2-135m"))
    assert parse_source("./x.gguf") == FileSource(Path("x.gguf"))
    assert parse_source(str(plain)) == FileSource(plain)
    source = parse_source("hf:a/b:c/d.gguf@v1")
    assert isinstance(source, HubSource)
    assert source.reference == HubReference("a/b", "c/d.gguf", "v1")
    with pytest.raises(UnknownModelError, match="neither"):
        parse_source("gpt-9")


def test_a_reference_has_a_main_revision_and_any_file() -> None:
    assert parse_hub("a/b") == HubReference("a/b", None, "main")


def test_a_file_is_used_in_place_under_a_name_made_of_its_own(
    catalogue: Catalogue, weights: Path
) -> None:
    entry = add(catalogue, parse_source(str(weights)), ignore)
    assert entry.name == "my-model-v1-.q4_1"
    assert entry.files[0].path == str(weights)
    assert entry.kinds == (Kind.CHAT, Kind.COMPLETE)
    assert entry.tools is ToolSupport.NATIVE
    assert [path.name for path in (catalogue.models_dir / entry.name).iterdir()] == ["entry.json"]


def test_a_copy_is_independent_of_the_file(catalogue: Catalogue, weights: Path) -> None:
    entry = add(catalogue, parse_source(str(weights), copy=True), ignore, "mine")
    weights.unlink()
    catalogue.check_files(entry)


@pytest.mark.parametrize(
    ("values", "kinds", "tools"),
    [
        ({"general.architecture": "bert", "bert.context_length": 512}, (Kind.EMBED,), "none"),
        ({"tokenizer.chat_template": ""}, (Kind.COMPLETE,), "none"),
        ({}, (Kind.CHAT, Kind.COMPLETE), "prompted"),
    ],
)
def test_what_a_model_is_for_is_read_from_it(
    catalogue: Catalogue,
    weights: Path,
    values: dict[str, object],
    kinds: tuple[Kind, ...],
    tools: str,
) -> None:
    weights.write_bytes(gguf_bytes({**TINY, **values}))
    entry = add(catalogue, parse_source(str(weights)), ignore)
    assert (entry.kinds, entry.tools.value) == (kinds, tools)


@pytest.mark.parametrize(
    "values", [{"llama.pooling_type": 4}, {"llama.context_length": 0}], ids=["reranker", "adapter"]
)
def test_what_no_engine_serves_is_refused(
    catalogue: Catalogue, weights: Path, values: dict[str, object]
) -> None:
    weights.write_bytes(gguf_bytes({**TINY, **values}))
    with pytest.raises(UnsupportedError):
        add(catalogue, parse_source(str(weights)), ignore)


def test_a_file_that_changes_while_it_is_hashed_is_refused(
    catalogue: Catalogue, weights: Path
) -> None:
    def touch(_stage: str, _done: int, _total: int | None) -> None:
        os.utime(weights, ns=(1, 1))

    with pytest.raises(ConflictError, match="changed while"):
        add(catalogue, parse_source(str(weights)), touch)
    assert list(catalogue.models_dir.iterdir()) == []


def test_a_built_in_model_keeps_its_name(catalogue: Catalogue) -> None:
    with pytest.raises(BadRequestError, match="keeps its name"):
        add(catalogue, parse_source("smollm2-135m"), ignore, "other")


def test_an_upstream_is_an_entry_without_files(catalogue: Catalogue, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-secret\n")
    target = parse_upstream(
        "http://127.0.0.1:8000/v1/", model="big", key_file=str(key), key_header="Api-Key"
    )
    entry = add(catalogue, UpstreamSource(target, (Kind.CHAT,), 4096), ignore, "mine")
    assert entry.engine is EngineKind.UPSTREAM
    assert (entry.kinds, entry.context_tokens) == ((Kind.CHAT,), 4096)
    (read,) = catalogue.get("mine").upstreams
    assert read is not None
    assert (read.base_url, read.model) == ("http://127.0.0.1:8000/v1", "big")
    assert (read.key_file, read.key_header) == (str(key), "api-key")
    assert "sk-secret" not in (catalogue.models_dir / "mine" / "entry.json").read_text()
    catalogue.check_files(entry)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("ftp://h/v1", {}),
        ("h:8000", {}),
        ("http://user:secret@h/v1", {}),
        ("http://h/v1?key=secret", {}),
        ("http://h/v1", {"key_file": "/none/such"}),
        ("http://h/v1", {"key_env": "sk-secret"}),
        ("http://h/v1", {"key_env": "A", "key_file": "/none/such"}),
        ("http://h/v1", {"key_header": "a b"}),
        ("http://h/v1", {"native_apis": ["chat"]}),
        ("http://h/v1", {"weight": -1}),
        ("http://h/v1", {"weight": 1_001}),
        ("http://[h/v1", {}),
        ("http://h:99999/v1", {}),
    ],
)
def test_an_upstream_that_makes_no_sense_is_refused_without_its_secret(
    url: str, options: dict[str, Any]
) -> None:
    with pytest.raises(BadRequestError) as caught:
        parse_upstream(url, model="m", **options)
    assert "secret" not in str(caught.value)
