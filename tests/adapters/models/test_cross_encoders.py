"""Models that sort passages: from folders, files and repositories, and what is refused."""

import json
from pathlib import Path

import pytest

from littoral.adapters.models import Catalogue, Hub, add, parse_source
from littoral.adapters.models.cross_config import CrossConfig, read_config
from littoral.adapters.models.cross_names import CrossFiles, cross_files
from littoral.adapters.origins.asking import Patience
from littoral.terms.errors import (
    BadRequestError,
    DigestMismatchError,
    OriginBrokeError,
    OriginRefusedError,
    UnsupportedError,
)
from littoral.terms.limits import RERANK_TOKENS_MAX
from littoral.terms.values import EngineKind, Kind, ModelEntry
from tests.adapters.crossed import CONFIG, made_folder, model_bytes, tokenizer_json
from tests.adapters.models.conftest import ignore
from tests.adapters.models.hub_server import COMMIT, HubServers
from tests.adapters.models.made import gguf_bytes

REPOSITORY = "cross-encoder/Tiny-L2"
FILES = {
    "README.md": b"# Tiny\n",
    "config.json": json.dumps(CONFIG).encode(),
    "model.safetensors": b"not looked at",
    "onnx/model.onnx": model_bytes(),
    "onnx/model_qint8.onnx": model_bytes(numbers=2),
    "tokenizer.json": tokenizer_json().encode(),
}


def fetch(catalogue: Catalogue, servers: HubServers, reference: str = REPOSITORY) -> ModelEntry:
    hub = Hub(servers.endpoint, None, 0.0, Patience())
    return add(catalogue, parse_source(f"hf:{reference}", hub=hub), ignore)


def test_a_folder_is_used_where_it_is(catalogue: Catalogue, tmp_path: Path) -> None:
    folder = made_folder(tmp_path / "Tide-Sorter")
    entry = add(catalogue, parse_source(str(folder)), ignore)
    assert (entry.name, entry.engine, entry.kinds) == (
        *("tide-sorter", EngineKind.ONNX, (Kind.RERANK,)),
    )
    names = ("onnx/model.onnx", "tokenizer.json", "config.json")
    assert [file.path for file in entry.files] == [str(folder / name) for name in names]
    assert (entry.context_tokens, entry.size_bytes) == (24, len(model_bytes()))
    catalogue.check_files(entry)
    (folder / "config.json").write_text("{}")
    with pytest.raises(DigestMismatchError, match=r"config\.json has changed"):
        catalogue.check_files(entry)


@pytest.mark.parametrize("at", ["onnx/model_qint8.onnx", "model.onnx"])
def test_an_onnx_file_stands_for_its_folder_and_can_be_copied(
    catalogue: Catalogue, tmp_path: Path, at: str
) -> None:
    folder = made_folder(tmp_path / "sorter", at=at)
    entry = add(catalogue, parse_source(str(folder / at), copy=True), ignore)
    assert entry.name == "sorter"
    own = catalogue.models_dir / "sorter"
    assert {Path(file.path).parent for file in entry.files} == {own}
    assert (own / Path(at).name).read_bytes() == model_bytes()


def test_a_repository_gives_three_checked_files(catalogue: Catalogue, servers: HubServers) -> None:
    servers.files[REPOSITORY] = FILES
    entry = fetch(catalogue, servers)
    assert entry.name == "tiny-l2"
    assert entry.origin == f"hf:{REPOSITORY}:onnx/model.onnx@{COMMIT}"
    own = catalogue.models_dir / "tiny-l2"
    for name in ("onnx/model.onnx", "tokenizer.json", "config.json"):
        assert (own / Path(name).name).read_bytes() == FILES[name]
    assert len(list(own.iterdir())) == 4
    named = add(
        catalogue,
        parse_source(f"hf:{REPOSITORY}:qint8", hub=Hub(servers.endpoint, None, 0.0, Patience())),
        ignore,
        "small",
    )
    assert Path(named.files[0].path).name == "model_qint8.onnx"


def test_a_fetch_that_broke_off_goes_on_from_what_came(
    catalogue: Catalogue, servers: HubServers
) -> None:
    servers.files[REPOSITORY] = FILES
    servers.behaviour.cut_after = [100, *[0] * 5]
    with pytest.raises(OriginBrokeError, match="broke off"):
        fetch(catalogue, servers)
    (left,) = catalogue.unfinished()
    assert left.name == "tiny-l2"
    servers.seen.clear()
    assert fetch(catalogue, servers).kinds == (Kind.RERANK,)
    ranges = [each.headers.get("range") for each in servers.seen]
    assert "bytes=100-" in ranges


def test_bytes_that_are_not_the_named_ones_add_nothing(
    catalogue: Catalogue, servers: HubServers
) -> None:
    servers.files[REPOSITORY] = FILES
    servers.behaviour.flip_bit = True
    with pytest.raises(DigestMismatchError):
        fetch(catalogue, servers)
    assert [entry.name for entry in catalogue.entries()] == ["echo"]


def test_of_a_repository_with_both_the_gguf_file_is_meant_unless_the_other_is_named(
    catalogue: Catalogue, servers: HubServers
) -> None:
    servers.files[REPOSITORY] = {**FILES, "tiny.Q8_0.gguf": gguf_bytes()}
    assert fetch(catalogue, servers).engine is EngineKind.LLAMA
    assert fetch(catalogue, servers, f"{REPOSITORY}:onnx/model.onnx").engine is EngineKind.ONNX


BESIDE = ("config.json", "tokenizer.json")


def test_the_usual_file_is_meant_or_the_one_that_is_named() -> None:
    both = ("onnx/model.onnx", "onnx/model_O2.onnx", "onnx/model_quantized.onnx", *BESIDE)
    assert cross_files(both, None, "x").weights == "onnx/model.onnx"
    assert cross_files(both, "O2", "x").weights == "onnx/model_O2.onnx"
    assert cross_files(("onnx/a.onnx", *BESIDE), None, "x") == CrossFiles(
        "onnx/a.onnx", "tokenizer.json", "config.json"
    )
    own = ("onnx/a.onnx", "onnx/tokenizer.json", *BESIDE)
    assert cross_files(own, None, "x").tokenizer == "onnx/tokenizer.json"


@pytest.mark.parametrize(
    ("paths", "wanted", "error", "why"),
    [
        (BESIDE, None, OriginRefusedError, "no ONNX file"),
        (("a.onnx", "b.onnx", *BESIDE), None, BadRequestError, "2 ONNX files that match"),
        (("a.onnx", *BESIDE), "b", BadRequestError, "no ONNX file 'b'"),
        (("model.onnx", "config.json"), None, UnsupportedError, "no tokenizer.json"),
        (("model.onnx", "tokenizer.json"), None, UnsupportedError, "no config.json"),
        (("model.onnx", "model.onnx_data", *BESIDE), None, UnsupportedError, "in other files"),
    ],
)
def test_what_is_missing_or_unclear_is_said(
    paths: tuple[str, ...], wanted: str | None, error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        cross_files(paths, wanted, "x")


def read(**config: object) -> CrossConfig:
    return read_config(json.dumps({**CONFIG, **config}).encode(), "config.json")


def test_a_configuration_says_how_long_a_pair_may_be_and_what_its_score_is() -> None:
    assert read() == CrossConfig(24, squashed=False)
    assert read(max_position_embeddings=514, model_type="xlm-roberta", pad_token_id=1) == (
        CrossConfig(512, squashed=False)
    )
    assert read(max_position_embeddings=8194).context_tokens == RERANK_TOKENS_MAX
    assert read(sentence_transformers=None).squashed
    sigmoid = "torch.nn.modules.activation.Sigmoid"
    assert read(sentence_transformers={"activation_fn": sigmoid}).squashed
    former = "torch.nn.modules.linear.Identity"
    older = read(sentence_transformers=None, sbert_ce_default_activation_function=former)
    assert not older.squashed


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"architectures": ["BertModel"]}, "of a model BertModel"),
        ({"architectures": None}, "that it does not name"),
        ({"id2label": {"0": "no", "1": "yes"}}, "tells 2 classes apart"),
        ({"id2label": "many"}, "not the description of a model"),
    ],
)
def test_a_model_of_another_kind_is_refused(config: dict[str, object], why: str) -> None:
    with pytest.raises(UnsupportedError, match=why):
        read(**config)


def test_a_folder_or_file_that_is_no_model_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(OriginRefusedError, match="no ONNX file"):
        add(catalogue, parse_source(str(tmp_path)), ignore)
    with pytest.raises(BadRequestError, match="there is no file"):
        add(catalogue, parse_source("./none.onnx"), ignore)
