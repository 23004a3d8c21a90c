"""`littoral cache`, as it is typed, beside a process that serves from the same cache."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from littoral.adapters.answers import AnswerStore
from littoral.adapters.store import open_store
from littoral.cli import cache, keys
from littoral.terms.ids import KeyId, ModelName
from tests.adapters.answers.made import MODEL, SETTLE_S, answer, kept, key, opened

app = typer.Typer()
for command in (cache, keys):
    command.register(app)


def run(home: Path, *arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "240"}).invoke(app, [*arguments, "--home", str(home)])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnswerStore]:
    """A cache in use, with four answers."""
    run(tmp_path, "keys", "create", "laptop")
    with open_store(tmp_path) as books:
        laptop = books.keys.list()[0].key_id
    with opened(tmp_path) as opened_store:
        kept(
            opened_store,
            answer(1, key_id=laptop, scope=f"key:{laptop}", tags=("draft",)),
            answer(2, model=ModelName("big"), tags=("draft", "v2")),
            answer(3, scope="tenant:acme", key_id=KeyId("kaaaaaaaaaaaa")),
            answer(4, scope="tenant:acme", model=ModelName("big")),
        )
        yield opened_store


def there(store: AnswerStore) -> list[int]:
    return [number for number in (1, 2, 3, 4) if store.get(key(number), MODEL) is not None]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--key", "laptop"], [2, 3, 4]),
        (["--key", "kaaaaaaaaaaaa"], [1, 2, 4]),
        (["--model", "big"], [1, 3]),
        (["--tenant", "acme"], [1, 2]),
        (["--tag", "draft"], [3, 4]),
        (["--answer", key(4).hex()], [1, 2, 3]),
        (["--tenant", "acme", "--model", "big"], [1, 2, 3]),
        (["--tag", "dra"], [1, 2, 3, 4]),
        (["--all"], []),
    ],
)
def test_a_purge_is_heeded_at_once_by_a_process_that_serves(
    tmp_path: Path, store: AnswerStore, options: list[str], left: list[int]
) -> None:
    assert there(store) == [1, 2, 3, 4]
    result = run(tmp_path, "cache", "purge", *options, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["entries"] == 4 - len(left)
    assert there(store) == left


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--all", "--model", "big"],
        ["--answer", "abc"],
        ["--model", "Not A Name"],
        ["--key", "nobody"],
        ["--tenant", ""],
    ],
)
def test_what_is_not_clear_drops_nothing(
    tmp_path: Path, store: AnswerStore, options: list[str]
) -> None:
    result = run(tmp_path, "cache", "purge", *options)
    assert result.exit_code == 5
    assert "error: " in result.output
    assert there(store) == [1, 2, 3, 4]


def test_what_is_kept_is_shown_by_model(tmp_path: Path, store: AnswerStore) -> None:
    there(store)
    store.get(key(9), MODEL)
    store.stats()
    assert store.settled(SETTLE_S)
    shown = run(tmp_path, "cache", "stats").stdout
    assert "4 entries" in shown
    assert "of 67.1 MB on disk" in shown
    assert "4 hits of 5 look-ups (80%)" in shown
    document = json.loads(run(tmp_path, "cache", "stats", "--json").stdout)
    assert document["entries"] == 4
    assert [(line["model"], line["entries"]) for line in document["models"]] == [
        ("big", 2),
        (MODEL, 2),
    ]


def test_a_cache_nobody_uses_at_present_is_shown_and_purged_too(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        kept(store, answer(1))
    assert "1 entries" in run(tmp_path, "cache", "stats").stdout
    assert "dropped 1 entries" in run(tmp_path, "cache", "purge", "--all").stdout
    with opened(tmp_path) as store:
        assert store.get(key(1), MODEL) is None


@pytest.mark.parametrize("arguments", [["stats"], ["purge", "--all"]])
def test_a_home_without_a_cache_gets_none(tmp_path: Path, arguments: list[str]) -> None:
    result = run(tmp_path, "cache", *arguments)
    assert result.exit_code == 5
    assert "there is no answer cache" in result.output
    assert list(tmp_path.iterdir()) == []
