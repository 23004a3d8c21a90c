"""littoral.toml: which file is read, what it may say, and clear words for what is wrong with it."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from littoral.node.config import Config, Loaded, load_config, load_settings
from littoral.node.config_file import FILE_NAME, example, read_config_file
from littoral.node.settings import SETTINGS
from littoral.terms.errors import ConfigError
from littoral.terms.limits import CONFIG_BYTES_MAX

NAMES = st.sampled_from([*(row.name for row in SETTINGS), "prot", "cache.ttl_s", '"a\\nb"'])
VALUES = (
    st.sampled_from(
        [
            '"x"',
            '["a", "b"]',
            "[1]",
            "true",
            "nan",
            "-inf",
            "1979-05-27",
            "{}",
            '"\\u0000"',
            "0x" + "f" * 9999,
        ]
    )
    | st.integers().map(str)
    | st.floats().map(str)
    | st.text().map(lambda text: f"'''{text}'''")
)
LINES = st.lists(
    st.tuples(NAMES, VALUES).map(" = ".join) | st.sampled_from(["[a]", "#"]), max_size=6
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o644)
    return path


def loaded(home: Path, text: str, **variables: str) -> Loaded:
    written(home / FILE_NAME, text)
    return load_settings({}, {"LITTORAL_HOME": str(home), **variables})


def refused(home: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError, match=FILE_NAME) as caught:
        loaded(home, text)
    return caught.value


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(home: Path) -> None:
    written(home / FILE_NAME, "\nport = 1\nslots = 1\nqueue = 1\n")
    variables = {"LITTORAL_PORT": "2", "LITTORAL_SLOTS": "2"}
    found = load_settings({"home": str(home), "port": 3}, variables)
    told = {name: (each.value, each.source, each.place) for name, each in found.told.items()}
    assert told["port"] == (3, "flag", "--port")
    assert told["slots"] == (2, "environment", "LITTORAL_SLOTS")
    assert told["queue"] == (1, "file", f"{home / FILE_NAME}, line 4")
    assert told["host"] == ("127.0.0.1", "default", "default")
    assert found.file == home / FILE_NAME
    assert (found.config.port, found.config.slots, found.config.queue) == (3, 2, 1)


def test_a_home_without_a_file_or_that_is_none_has_the_defaults(home: Path) -> None:
    for each in (home, home / "not-there", written(home / "no-folder", "")):
        assert load_settings({"home": str(each)}, {}).file is None


def test_a_file_may_be_named_by_flag_or_variable_and_then_the_homes_is_not_read(
    home: Path, tmp_path: Path
) -> None:
    written(home / FILE_NAME, "port = 1\nslots = 1")
    one, two = written(tmp_path / "one.toml", "port = 2"), written(tmp_path / "two", "port = 3")
    variables = {"LITTORAL_HOME": str(home), "LITTORAL_CONFIG": str(one)}
    assert load_config({}, variables).port == 2
    assert load_config({"config": str(two)}, variables) == load_config(
        {"home": str(home), "port": 3, "config": str(one)}, {}
    )
    assert load_config({"config": ""}, variables).port == 1, "nothing is no name"
    with pytest.raises(ConfigError, match=f"no file {tmp_path}/three"):
        load_config({"config": str(tmp_path / "three")}, variables)


def test_the_home_can_be_set_only_in_a_file_that_was_named(home: Path, tmp_path: Path) -> None:
    apart = written(tmp_path / "apart.toml", 'home = "state"')
    assert load_config({"config": str(apart)}, {}).home == tmp_path / "state"
    assert "--config" in refused(home, f'home = "{home}"').advice
    flags = {"home": str(home), "config": str(home / FILE_NAME)}
    with pytest.raises(ConfigError, match="line 1: home can't be set"):
        load_config(flags, {})


def test_values_have_the_types_of_their_settings(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/users/me")
    text = """
        models = ["a", "b"]
        expose_without_tls = true
        drain_s = 4
        reuse_error_max = 0.5
        tls_cert = "certs/chain.pem"
        tls_key = "~/key.pem"
        host = "::1"
    """
    config = loaded(home, "\ufeff" + text).config
    assert config.models == ("a", "b")
    assert config.expose_without_tls is True
    assert (config.drain_s, type(config.drain_s), config.reuse_error_max) == (4, float, 0.5)
    assert config.tls_cert == str(home / "certs/chain.pem"), "counted from the file's folder"
    assert config.tls_key == "/users/me/key.pem"
    assert config.host == "::1"
    assert loaded(home, 'models = "a, b"').config.models == ("a", "b")
    assert loaded(home, "models = []").config.models == ()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("port = '7400'", "line 3: port should be a whole number, and is text in quotes"),
        ("port = true", "line 3: port should be a whole number, and is true or false"),
        ("port = 7400.0", "line 3: port should be a whole number, and is a number"),
        ("drain_s = '4'", "line 3: drain_s should be a number, and is text in quotes"),
        ("expose_without_tls = 1", "line 3: expose_without_tls should be true or false, and is"),
        ("host = 1", "line 3: host should be text in quotes, and is a whole number"),
        ("host = 1979-05-27", "line 3: host should be text in quotes, and is a date or a time"),
        ("models = [1]", "line 3: models should be a list of names in quotes, and is a list"),
        ("models = ['a,b']", "line 3: models should be a list of names in quotes, and is a list"),
        ("[models]\na = 1", "line 3: models should be a list of names in quotes, and is a table"),
        ("port = 70000", r"port is 70000 \(.*, line 3\): give one from 0 to 65535"),
        ("drain_s = nan", r"drain_s is nan \(.*, line 3\): give at least 0"),
        (f"port = {10**30}", "line 3: port has too many digits"),
        (f"port = 0x{'f' * 9_000}", "line 3: port has too many digits"),
        ("host = 'a\tb'", "line 3: host has a control character in it"),
        ("tls_key = '~nobody-of-this-name/k'", "line 3.* is in the home of a user that does not"),
        ("tls_key = 'k.pem'", r"tls_key is alone \(.*, line 3\): give both"),
        ("prot = 1", "line 3: 'prot' is not a setting: did you mean port"),
        ("TLS-Cert = 'x'", "line 3: 'TLS-Cert' is not a setting: did you mean tls_cert"),
        ("zzz = 1", "line 3: 'zzz' is not a setting: `littoral config example`"),
        ("[cache]\nttl = 1", "line 3: 'cache' is a table, .*without a heading"),
        ("cache.ttl = 1", "line 3: 'cache' is a table"),
        ("port 7400", r"can't be read as TOML: .*line 3.*port = 7400"),
        ("queue = 2", "can't be read as TOML: .*line 3"),
        ("models = " + "[" * 9_000, "too deep"),
        (f"port = {'9' * 9_000}", "too long"),
        ("host = '''\nport = 1'''\nport = 'x'", f"{FILE_NAME}: port should be"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place_and_a_remedy(
    home: Path, line: str, says: str
) -> None:
    error = refused(home, f"queue = 1\n# a word\n{line}\n")
    assert error.exit_code == 2
    assert error.advice
    with pytest.raises(ConfigError, match=says):
        raise error


@pytest.mark.parametrize("name", ["a" * 9_000, f"port{'t' * 9_000}", f"'{'é' * 4_000}'"])
def test_an_error_stays_short_whatever_is_in_the_file(home: Path, name: str) -> None:
    assert len(str(refused(home, f"{name} = 1"))) < 600
    assert len(str(refused(home, f"{name} = 1\n{name} = 1"))) < 600


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o622])
def test_a_file_that_others_can_write_is_refused(home: Path, mode: int) -> None:
    file = written(home / FILE_NAME, "port = 1")
    file.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}") as caught:
        load_config({"home": str(home)}, {})
    assert f"chmod go-w {file}" in caught.value.advice


def test_only_a_plain_file_of_some_size_in_utf_8_is_read(home: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path, says in (
        (tmp_path, "not a file"),
        (tmp_path / "pipe", "not a file"),
        (Path("/dev/null"), "not a file"),
        (tmp_path / ("x" * 300), "File name too long"),
        (tmp_path / "a\0b", "can't be read"),
        (written(tmp_path / "latin", b"queue = 1\nhost = '\xe9'"), "line 2: this is not UTF-8"),
        (written(tmp_path / "large", "#" * (CONFIG_BYTES_MAX + 1)), "more than 65536 bytes"),
    ):
        with pytest.raises(ConfigError, match=says):
            read_config_file(path, named=False)
    assert loaded(home, "#" * CONFIG_BYTES_MAX).config.port == 7400


def test_the_example_says_the_defaults_and_is_itself_a_file_that_changes_nothing(
    home: Path, tmp_path: Path
) -> None:
    assert loaded(home, example()).told["port"].source == "default"
    names = [f"# {row.toml}" for row in SETTINGS]
    lines = [line[2:] for line in example().splitlines() if line in names]
    assert len(lines) == len(SETTINGS)
    file = written(tmp_path / "all.toml", "\n".join(lines))
    found = load_settings({"config": str(file)}, {"HOME": str(tmp_path)})
    assert {each.source for each in found.told.values()} == {"file"}
    assert found.config == load_config({"home": "~/.littoral", "config": ""}, {})


def test_a_process_that_is_handed_its_settings_reads_no_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = loaded(home, "port = 1\nqueue = 5").config
    written(home / FILE_NAME, "nonsense")
    monkeypatch.setenv("LITTORAL_PORT", "2")
    assert Config.from_flags(config.as_flags()) == config


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES.map("\n".join).map(str.encode) | st.binary() | st.text().map(str.encode))
def test_whatever_is_in_a_file_it_is_a_configuration_or_a_config_error(
    home: Path, content: bytes
) -> None:
    file = written(home / FILE_NAME, content)
    for flags in ({"home": str(home)}, {"config": str(file)}):
        with suppress(ConfigError):
            config = load_config(flags, {})
            assert Config.from_flags(config.as_flags()) == config
