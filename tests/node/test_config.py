"""Configuration: rows, sources, and clear words for what is wrong."""

from dataclasses import fields
from pathlib import Path

import pytest

from littoral.node.config import Config, hub_endpoint, load_config
from littoral.node.settings import SETTINGS, grouped
from littoral.terms import limits
from littoral.terms.errors import ConfigError


@pytest.fixture(autouse=True)
def user_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who has no littoral.toml yet."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_every_row_is_a_field_and_every_field_a_row() -> None:
    assert [row.name for row in SETTINGS] == [field.name for field in fields(Config)]


def test_the_rows_of_a_group_stand_together() -> None:
    groups = [group for group, _ in grouped()]
    assert len(set(groups)) == len(groups)


def test_defaults_then_environment_then_flags() -> None:
    assert load_config({}, {}).port == 7400
    assert load_config({}, {"LITTORAL_PORT": "8000"}).port == 8000
    assert load_config({"port": 9000}, {"LITTORAL_PORT": "8000"}).port == 9000
    assert load_config({"port": None}, {"LITTORAL_PORT": "8000"}).port == 8000


def test_an_unknown_variable_is_an_error_and_not_ignored() -> None:
    with pytest.raises(ConfigError, match="LITTORAL_PROT"):
        load_config({}, {"LITTORAL_PROT": "1"})


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("LITTORAL_PORT", "many"),
        ("LITTORAL_PORT", "70000"),
        ("LITTORAL_SLOTS", "0"),
        ("LITTORAL_CACHE_BYTES_MAX", "1000"),
        ("LITTORAL_CACHE_BYTES_MAX", "-1"),
        ("LITTORAL_CACHE_TTL_S", "-1"),
        ("LITTORAL_EXPOSE_WITHOUT_TLS", "perhaps"),
        ("LITTORAL_LOAD_WAIT_S", "soon"),
        ("LITTORAL_LOAD_WAIT_S", "nan"),
        ("LITTORAL_DRAIN_S", "inf"),
        ("LITTORAL_HEAD_WAIT_S", "-1"),
        ("LITTORAL_THREADS", "-1"),
        ("LITTORAL_MEMORY_BYTES", str(2**63)),
        ("LITTORAL_REUSE_ERROR_MAX", "1.5"),
        ("LITTORAL_PRICES", "qwen3-0.6b"),
        ("LITTORAL_PRICES", "m=1/1,m=2/2"),
        ("LITTORAL_UNIT_WORTH_S", "-1"),
        ("LITTORAL_TLS_CERT", "only-one.pem"),
        ("LITTORAL_TLS_KEY", "only-one.pem"),
        ("LITTORAL_HOME", ""),
        ("LITTORAL_HOME", "~nobody-of-this-name/pop"),
    ],
)
def test_a_malformed_value_is_refused_with_advice(variable: str, text: str) -> None:
    with pytest.raises(ConfigError, match=variable) as caught:
        load_config({}, {variable: text})
    assert caught.value.advice
    assert caught.value.exit_code == 2


def test_values_have_their_types_and_the_home_its_tilde() -> None:
    config = load_config({"models": "a, b,"}, {"LITTORAL_EXPOSE_WITHOUT_TLS": "yes"})
    assert config.models == ("a", "b")
    assert config.expose_without_tls is True
    assert config.home == Path("~/.littoral").expanduser()


def test_a_configuration_as_flags_is_the_same_configuration_again() -> None:
    config = load_config({"port": 0, "models": "a, b", "drain_s": 1.5}, {"LITTORAL_WORKERS": "3"})
    assert Config.from_flags(config.as_flags()) == config


@pytest.mark.parametrize("workers", [0, -1, limits.WORKERS_MAX])
def test_there_are_as_many_workers_as_have_a_number(workers: int) -> None:
    with pytest.raises(ConfigError, match=r"workers is .*--workers"):
        load_config({"workers": workers}, {})


def test_the_hub_is_what_is_set_or_what_its_clients_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert hub_endpoint(load_config({}, {})) == "https://huggingface.co"
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    assert hub_endpoint(load_config({}, {})) == "https://mirror.example"
    assert hub_endpoint(load_config({"hub_endpoint": "http://own"}, {})) == "http://own"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:7400/hub")
    assert hub_endpoint(load_config({}, {})) == "https://huggingface.co", "it would ask itself"
