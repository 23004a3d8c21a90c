"""Configuration: one frozen object, built once from defaults, the environment and flags.

Rules
- Each setting is one row of `SETTINGS`: name, default, unit, help. The command line's options,
  the environment variable `LITTORAL_<NAME>` and docs/settings.md all come from the row.
- Later sources win: default, then environment, then flag. An unknown or malformed value is a
  `ConfigError` that names the source.
- This is the only module that reads the environment.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from littoral.terms import limits
from littoral.terms.errors import ConfigError

__all__ = ["SETTINGS", "Config", "Setting", "load_config", "secret_from_environment"]

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: everything that is said about a setting anywhere."""

    name: str
    default: Value
    unit: str
    help: str

    @property
    def environment(self) -> str:
        """The variable that sets it."""
        return f"LITTORAL_{self.name.upper()}"

    @property
    def flag(self) -> str:
        """The command-line option that sets it."""
        return f"--{self.name.replace('_', '-')}"

    def parse(self, text: str, source: str) -> Value:
        """The value that this text means, of the default's type.

        Raises:
            ConfigError: it means none.
        """
        kind = type(self.default)
        if kind is bool:
            lowered = text.strip().lower()
            if lowered in {"1", "true", "yes", "on"}:
                return True
            if lowered in {"0", "false", "no", "off", ""}:
                return False
        elif kind is str:
            return text
        else:
            try:
                return kind(text)
            except ValueError:
                pass
        raise ConfigError(
            f"{source} is {text!r}, which is not a {kind.__name__}",
            advice=f"{self.name}: {self.help} (for example {self.default})",
        )


SETTINGS: Final = (
    Setting("home", "~/.littoral", "path", "State directory: identity, keys, models, receipts."),
    Setting("host", "127.0.0.1", "address", "Address to listen on."),
    Setting("port", 7400, "port", "Port to listen on; 0 takes a free one."),
    Setting("tls_cert", "", "path", "Certificate chain (PEM); with tls_key, serve HTTPS."),
    Setting("tls_key", "", "path", "Private key (PEM) of tls_cert."),
    Setting(
        "expose_without_tls",
        False,
        "flag",
        "Listen beyond this machine in clear text: keys and prompts can be read on the way.",
    ),
    Setting(
        "models",
        "smollm2-135m,all-minilm-l6-v2",
        "names",
        "Models to bring in on the first start, load at every start, and keep loaded.",
    ),
    Setting("threads", 0, "threads", "Threads per engine; 0 is cores granted - 1, at least 1."),
    Setting("slots", limits.SLOTS, "requests", "Requests one local model works on at a time."),
    Setting(
        "kv_tokens",
        limits.KV_TOKENS_MAX,
        "tokens",
        "Key-value cache that the slots of one local model share.",
    ),
    Setting("memory_bytes", 0, "bytes", "Most memory for models; 0 is what the machine has free."),
    Setting("queue", limits.QUEUE_MAX, "requests", "Requests that may wait for one model."),
    Setting("load_wait_s", limits.LOAD_WAIT_S, "seconds", "Longest wait for a model to load."),
    Setting("keep_alive_s", limits.KEEP_ALIVE_S, "seconds", "Unload a model idle for this long."),
    Setting("drain_s", limits.DRAIN_S, "seconds", "How long answers may go on after a stop."),
    Setting(
        "cache_bytes_max",
        limits.CACHE_BYTES_MAX,
        "bytes",
        "Disk for answers that are given again; 0 is no answer cache.",
    ),
    Setting(
        "cache_memory_bytes",
        limits.CACHE_MEMORY_BYTES,
        "bytes",
        "Memory for answers in front of that disk, of each process.",
    ),
    Setting(
        "cache_ttl_s", limits.CACHE_TTL_S, "seconds", "How long an answer is given again at most."
    ),
    Setting(
        "cache_epoch",
        1,
        "number",
        "Another number, and nothing that was kept before is given again.",
    ),
    Setting(
        "reuse_model",
        "all-minilm-l6-v2",
        "name",
        "Embedding model that compares questions for reuse by meaning.",
    ),
    Setting(
        "reuse_error_max",
        0.0,
        "share",
        "Most wrong answers that requests may ask for whose key has no bound; 0 is none.",
    ),
    Setting("body_bytes_max", limits.BODY_BYTES_MAX, "bytes", "Largest request body."),
    Setting(
        "workers",
        1,
        "processes",
        "Processes that answer at the address; keys, limits, breakers and cache are shared.",
    ),
    Setting("connections_max", limits.CONNECTIONS_MAX, "connections", "Most open connections."),
    Setting("head_wait_s", limits.HEAD_WAIT_S, "seconds", "Time a client has to send a head."),
    Setting("body_wait_s", limits.BODY_WAIT_S, "seconds", "Time a client has to send a body."),
)


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, read once. Field for field the rows of `SETTINGS`."""

    home: Path
    host: str
    port: int
    tls_cert: str
    tls_key: str
    expose_without_tls: bool
    models: tuple[str, ...]
    threads: int
    slots: int
    kv_tokens: int
    memory_bytes: int
    queue: int
    load_wait_s: float
    keep_alive_s: float
    drain_s: float
    cache_bytes_max: int
    cache_memory_bytes: int
    cache_ttl_s: int
    cache_epoch: int
    reuse_model: str
    reuse_error_max: float
    body_bytes_max: int
    workers: int
    connections_max: int
    head_wait_s: float
    body_wait_s: float

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
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    by_variable = {row.environment: row for row in SETTINGS}
    for variable in variables:
        if variable.startswith("LITTORAL_") and variable not in by_variable | _OTHER_VARIABLES:
            raise ConfigError(
                f"{variable} names no setting", advice="docs/settings.md lists them all"
            )
    values: dict[str, Value] = {}
    for row in SETTINGS:
        value = row.default
        if row.environment in variables:
            value = row.parse(variables[row.environment], row.environment)
        if row.name in given:
            value = given.pop(row.name)
        values[row.name] = value
    if given:
        raise ConfigError(f"no such setting: {', '.join(sorted(given))}")
    return _checked(values)


_OTHER_VARIABLES: Final = {"LITTORAL_API_KEY": None, "LITTORAL_TEST_MODELS": None}
"""Read elsewhere: the command line's own key, and the tests' model folder."""


def _checked(values: dict[str, Value]) -> Config:
    """The object, after the checks that need more than one value."""
    port = values["port"]
    if not isinstance(port, int) or not 0 <= port <= 65_535:
        raise ConfigError(f"port is {port}", advice="give one from 0 to 65535")
    for name in ("slots", "kv_tokens", "queue", "workers", "connections_max", "body_bytes_max"):
        number = values[name]
        if isinstance(number, int) and number < 1:
            raise ConfigError(f"{name} is {number}", advice="give at least 1")
    workers = values["workers"]
    if isinstance(workers, int) and workers >= limits.WORKERS_MAX:
        raise ConfigError(
            f"workers is {workers}",
            advice=f"give less than {limits.WORKERS_MAX}, one for each core",
        )
    cache_bytes = values["cache_bytes_max"]
    if isinstance(cache_bytes, int) and cache_bytes and cache_bytes < limits.CACHE_BYTES_MIN:
        raise ConfigError(
            f"cache_bytes_max is {cache_bytes}",
            advice=f"give at least {limits.CACHE_BYTES_MIN}, or 0 for no answer cache",
        )
    for name in ("cache_memory_bytes", "cache_ttl_s"):
        number = values[name]
        if isinstance(number, int) and number < 0:
            raise ConfigError(f"{name} is {number}", advice="give at least 0")
    if bool(values["tls_cert"]) != bool(values["tls_key"]):
        raise ConfigError("tls_cert and tls_key go together", advice="give both or neither")
    home = Path(str(values["home"])).expanduser().absolute()
    models = tuple(name.strip() for name in str(values["models"]).split(",") if name.strip())
    made: dict[str, object] = {**values, "home": home, "models": models}
    names = {field.name for field in fields(Config)}
    if names != set(made):
        raise AssertionError(f"SETTINGS and Config differ: {sorted(names ^ set(made))}")
    return Config(**made)  # type: ignore[arg-type]  # names and types checked against the rows


def secret_from_environment(variable: str) -> str | None:
    """The value of one variable that an operator named (an upstream's key), or None."""
    return os.environ.get(variable)
