"""Configuration: one frozen object, built once from defaults, the environment and flags.

Rules
- Later sources win: default, then environment, then flag. An unknown or malformed value is a
  `ConfigError` that names the source.
- This is the only module that reads the environment.

Not here: what settings there are, and what one may be (settings.py).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal

from littoral.node.settings import SETTINGS, Value
from littoral.terms import limits
from littoral.terms.errors import ConfigError

__all__ = ["Config", "Source", "Told", "load_config", "secret_from_environment"]

Source = Literal["default", "environment", "flag"]


@dataclass(frozen=True, slots=True)
class Told:
    """What a setting is, and who says so."""

    value: Value
    source: Source
    place: str
    """The variable or the option; of a default `default`."""


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
    models: tuple[str, ...]
    threads: int
    slots: int
    kv_tokens: int
    memory_bytes: int
    queue: int
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

    def as_flags(self) -> dict[str, Value]:
        """The same as flags: what `load_config` makes this object of, in another process."""
        flags: dict[str, Value] = {row.name: getattr(self, row.name) for row in SETTINGS}
        return {**flags, "home": str(self.home), "models": ",".join(self.models)}


def load_config(
    flags: Mapping[str, Value | None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Read every setting.

    Args:
        flags: values given on the command line; None means not given.
        environment: the process's own unless given (tests).

    Raises:
        ConfigError: a value is malformed, or a LITTORAL_ variable names no setting.
    """
    variables = os.environ if environment is None else environment
    defaults = {row.name: Told(row.default, "default", "default") for row in SETTINGS}
    return _checked({**defaults, **_of_environment(variables), **_of_flags(flags or {})})


_OTHER_VARIABLES: Final = {"LITTORAL_API_KEY", "LITTORAL_TEST_MODELS"}
"""Read elsewhere: the command line's own key, and the tests' model folder."""


def _of_environment(variables: Mapping[str, str]) -> dict[str, Told]:
    rows = {row.environment: row for row in SETTINGS}
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
        for row in SETTINGS
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
    made: dict[str, object] = {name: each.value for name, each in told.items()}
    made["home"] = _home(told["home"])
    models = str(told["models"].value)
    made["models"] = tuple(name.strip() for name in models.split(",") if name.strip())
    names = {field.name for field in fields(Config)}
    if names != set(made):
        raise AssertionError(f"SETTINGS and Config differ: {sorted(names ^ set(made))}")
    return Config(**made)  # type: ignore[arg-type]  # names and types checked against the rows


def _home(told: Told) -> Path:
    if not told.value:
        raise ConfigError(f"home is empty ({told.place})", advice="give the state directory's path")
    try:
        return Path(str(told.value)).expanduser().absolute()
    except RuntimeError:
        raise ConfigError(
            f"home is {told.value!r} ({told.place}), and there is no such user",
            advice="give the path without ~",
        ) from None


def secret_from_environment(variable: str) -> str | None:
    """The value of one variable that an operator named (an upstream's key), or None."""
    return os.environ.get(variable)
