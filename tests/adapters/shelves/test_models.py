"""How the models of a catalogue are named as repositories."""

import pytest

from littoral.adapters.shelves import models_shelved
from littoral.terms.ids import ModelName, digest_of_hex
from littoral.terms.values import EngineKind, Kind, ModelEntry, ModelFile

FILES = (
    ModelFile("/models/x/weights.gguf", 5, digest_of_hex("ab" * 32)),
    ModelFile("/models/x/tokenizer.json", 3, digest_of_hex("cd" * 32)),
)


def entry(name: str, files: tuple[ModelFile, ...] = FILES) -> ModelEntry:
    return ModelEntry(ModelName(name), EngineKind.LLAMA, (Kind.CHAT,), 2048, files=files)


@pytest.mark.parametrize(
    ("name", "repository", "revision"),
    [
        ("smollm2-135m", "littoral/smollm2-135m", "main"),
        ("acme/tiny", "acme/tiny", "main"),
        ("qwen:0.5b", "littoral/qwen", "0.5b"),
        ("acme/qwen:0.5b", "acme/qwen", "0.5b"),
    ],
)
def test_a_models_name_says_its_repository(name: str, repository: str, revision: str) -> None:
    (found,) = models_shelved([entry(name)])
    assert (found.repository, found.names, found.models) == (repository, (revision,), (name,))
    assert [file.path for file in found.files] == ["tokenizer.json", "weights.gguf"]


def test_what_has_no_files_or_no_such_name_is_none() -> None:
    assert not list(models_shelved([entry("echo", ()), entry("a/b/c"), entry("a:b:c")]))


def test_the_same_files_have_the_same_commit_under_every_name() -> None:
    first, second = models_shelved([entry("one"), entry("two")])
    assert first.commit == second.commit
