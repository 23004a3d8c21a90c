"""Configuration: one frozen object, built once from defaults, a file, the environment and flags.

Rules
- Later sources win: default, then file, then environment, then flag. An unknown or malformed value
  is a `ConfigError` that names the source.
- The file is the one that `--config` or LITTORAL_CONFIG names, else HOME/littoral.toml if there is
  one. A process that is handed its settings by another reads neither file nor environment.
- This is the only module that reads the environment.

Not here: what settings there are, and what one may be (settings.py); how a file is read
(config_file.py).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from littoral.node.config_file import FILE_NAME, ConfigFile, expanded, read_config_file
from littoral.node.setting import Value
from littoral.node.settings import CONFIG_FILE, SETTINGS
from littoral.routing.prices import prices_of
from littoral.terms import limits
from littoral.terms.errors import BadRequestError, ConfigError
from littoral.terms.ids import SiteName, ZoneName, place_name

__all__ = [
    "Config",
    "Loaded",
    "Source",
    "Told",
    "bare_environment",
    "hub_endpoint",
    "load_config",
    "load_settings",
    "secret_from_environment",
]

_HUB: Final = next(row.default for row in SETTINGS if row.name == "hub_endpoint")

Source = Literal["default", "file", "environment", "flag"]


@dataclass(frozen=True, slots=True)
class Told:
    """What a setting is, and who says so."""

    value: Value
    source: Source
    place: str
    """The file with its line, the variable or the option; of a default `default`."""


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, read once. Field for field the rows of `SETTINGS`."""

    home: Path
    host: str
    port: int
    tls_cert: str
    tls_key: str
    expose_without_tls: bool
    workers: int
    site: SiteName
    zone: ZoneName
    fabric_host: str
    fabric_port: int
    state_port: int
    fabric_address: str
    fabric_dials_out: bool
    prices: tuple[str, ...]
    unit_worth_s: float
    mover_port: int
    mover_address: str
    store_bytes_max: int
    hub_endpoint: str
    models: tuple[str, ...]
    threads: int
    slots: int
    kv_tokens: int
    memory_bytes: int
    queue: int
    pull_on_request: bool
    load_wait_s: float
    keep_alive_s: float
    cache_bytes_max: int
    cache_memory_bytes: int
    cache_ttl_s: int
    cache_epoch: int
    reuse_model: str
    reuse_error_max: float
    body_bytes_max: int
    connections_max: int
    head_wait_s: float
    body_wait_s: float
    drain_s: float
    embedding_model: str
    files_bytes_max: int
    memory_driver: str
    memory_servers: tuple[str, ...]
    memory_secrets: tuple[str, ...]

    def as_flags(self) -> dict[str, Value]:
        """The same as flags: what `from_flags` makes this object of, in another process."""
        flags: dict[str, Value] = {}
        for row in SETTINGS:
            value = getattr(self, row.name)
            flags[row.name] = ",".join(value) if row.several else value
        return {**flags, "home": str(self.home)}

    @classmethod
    def from_flags(cls, flags: Mapping[str, Value]) -> "Config":
        """What `as_flags` told; no file and no environment is read.

        Raises:
            ConfigError: it was something else.
        """
        return _checked({**_defaults(), **_of_flags(flags)})


@dataclass(frozen=True, slots=True)
class Loaded:
    """Every setting, and who says so."""

    config: Config
    told: Mapping[str, Told]
    """By name; values as they were given."""
    file: Path | None
    """The file that was read."""


def load_config(
    flags: Mapping[str, Value | None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Read every setting; `load_settings` says more of it."""
    return load_settings(flags, environment).config


def load_settings(
    flags: Mapping[str, Value | None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """Read every setting, and remember where each came from.

    Args:
        flags: values given on the command line, also `config`; None means not given.
        environment: the process's own unless given (tests).

    Raises:
        ConfigError: a value is malformed, a LITTORAL_ variable or a line of the file names no
            setting, or the file can't be used.
    """
    variables = os.environ if environment is None else environment
    defaults = _defaults()
    above = {**_of_environment(variables), **_of_flags(flags or {})}
    named = above.pop(CONFIG_FILE.name, None)
    file = _file(named, _home(above.get("home", defaults["home"])))
    of_file = {} if file is None else _of_file(file)
    told = {**defaults, **of_file, **above}
    return Loaded(_checked(told), told, None if file is None else file.path)


def _defaults() -> dict[str, Told]:
    return {row.name: Told(row.default, "default", "default") for row in SETTINGS}


def _file(named: Told | None, home: Path) -> ConfigFile | None:
    """The file that was named, or else the one that lies in the home, if there is one."""
    usual = home / FILE_NAME
    path = usual
    if named is not None and named.value:
        path = expanded(str(named.value), named.place).absolute()
    file = read_config_file(path, named=path is not usual)
    if file is not None and path == usual and "home" in file.values:
        raise ConfigError(
            f"{file.place('home')}: home can't be set in the file that is found by it",
            advice="give it as --home or LITTORAL_HOME, or keep the file elsewhere and name it "
            "with --config or LITTORAL_CONFIG",
        )
    return file


def _of_file(file: ConfigFile) -> dict[str, Told]:
    return {name: Told(value, "file", file.place(name)) for name, value in file.values.items()}


_OTHER_VARIABLES: Final = {"LITTORAL_API_KEY", "LITTORAL_TEST_MODELS"}
"""Read elsewhere: the command line's own key, and the tests' model folder."""


def _of_environment(variables: Mapping[str, str]) -> dict[str, Told]:
    rows = {row.environment: row for row in (*SETTINGS, CONFIG_FILE)}
    told = {}
    for variable, text in variables.items():
        row = rows.get(variable)
        if row is not None:
            told[row.name] = Told(row.parse(text, variable), "environment", variable)
        elif variable.startswith("LITTORAL_") and variable not in _OTHER_VARIABLES:
            raise ConfigError(
                f"{variable} names no setting", advice="docs/settings.md lists them all"
            )
    return told


def _of_flags(flags: Mapping[str, Value | None]) -> dict[str, Told]:
    given = {name: value for name, value in flags.items() if value is not None}
    told = {
        row.name: Told(given.pop(row.name), "flag", row.flag)
        for row in (*SETTINGS, CONFIG_FILE)
        if row.name in given
    }
    if given:
        raise ConfigError(f"no such setting: {', '.join(sorted(given))}")
    return told


def _checked(told: Mapping[str, Told]) -> Config:
    """The object, after the checks of each value and of those that go together."""
    for row in SETTINGS:
        row.check(told[row.name].value, told[row.name].place)
    cache = told["cache_bytes_max"]
    if isinstance(cache.value, int) and 0 < cache.value < limits.CACHE_BYTES_MIN:
        raise ConfigError(
            f"cache_bytes_max is {cache.value} ({cache.place})",
            advice=f"give at least {limits.CACHE_BYTES_MIN}, or 0 for no answer cache",
        )
    certificate, key = told["tls_cert"], told["tls_key"]
    if bool(certificate.value) != bool(key.value):
        alone, place = ("tls_cert", certificate) if certificate.value else ("tls_key", key)
        raise ConfigError(
            f"tls_cert and tls_key go together, and {alone} is alone ({place.place})",
            advice="give both or neither",
        )
    for name in ("site", "zone"):
        try:
            place_name(str(told[name].value), name)
        except BadRequestError as error:
            raise ConfigError(
                f"{error.message} ({told[name].place})", advice=error.advice
            ) from None
    prices = told["prices"]
    try:
        prices_of(_names(prices.value))
    except ConfigError as error:
        raise ConfigError(f"{error.message} ({prices.place})", advice=error.advice) from None
    made: dict[str, object] = {
        row.name: _names(told[row.name].value) if row.several else told[row.name].value
        for row in SETTINGS
    }
    made["home"] = _home(told["home"])
    names = {field.name for field in fields(Config)}
    if names != set(made):
        raise AssertionError(f"SETTINGS and Config differ: {sorted(names ^ set(made))}")
    return Config(**made)  # type: ignore[arg-type]  # names and types checked against the rows


def _home(told: Told) -> Path:
    if not told.value:
        raise ConfigError(f"home is empty ({told.place})", advice="give the state directory's path")
    return expanded(str(told.value), told.place).absolute()


def _names(value: Value) -> tuple[str, ...]:
    return tuple(name.strip() for name in str(value).split(",") if name.strip())


def bare_environment() -> dict[str, str]:
    """What a PoP is started with that is to have its own settings and no others."""
    rows = {row.environment for row in (*SETTINGS, CONFIG_FILE)}
    return {name: value for name, value in os.environ.items() if name not in rows}


def hub_endpoint(config: Config) -> str:
    """The Hub that `hf:` means: as is set, or as the variable of its own client says.

    A variable that leads to a PoP's own front (`http://…:PORT/hub`) is for its clients, and would
    have it ask itself.
    """
    told = secret_from_environment("HF_ENDPOINT")
    unset = config.hub_endpoint == _HUB
    if not told or not unset or urlsplit(told).path.rstrip("/") == "/hub":
        return config.hub_endpoint
    return told.rstrip("/")


def secret_from_environment(variable: str) -> str | None:
    """The value of one variable that an operator named (an upstream's key), or None."""
    return os.environ.get(variable)
