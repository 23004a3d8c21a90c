"""The drivers that a PoP's settings name: what keeps its collections."""

from collections.abc import Callable
from pathlib import Path

from littoral.adapters.files import read_secret
from littoral.adapters.memory.opening import DRIVERS, EMBEDDED, open_driver
from littoral.node.config import Config, secret_from_environment
from littoral.terms.collections import Collections
from littoral.terms.errors import ConfigError

__all__ = ["drivers_of"]

_VARIABLE = "env:"


def drivers_of(
    config: Config, *, variable: Callable[[str], str | None] = secret_from_environment
) -> dict[str, Collections]:
    """The embedded driver, and one for each server that is set. No server is asked yet.

    Args:
        config: the settings.
        variable: reads one of the environment.

    Raises:
        ConfigError: a setting names no driver, or what it needs is missing.
        IdentityError: others can read a secret.
        MissingExtraError: what speaks to a server is not installed.
        HomeUnwritableError: the embedded driver has no place.
    """
    servers = _pairs("memory_servers", config.memory_servers)
    secrets = _pairs("memory_secrets", config.memory_secrets)
    if config.memory_driver not in {EMBEDDED, *servers}:
        raise ConfigError(
            f"memory_driver is {config.memory_driver[:40]!r}, which memory_servers does not name",
            advice=f"say where it is, as in memory_servers = {config.memory_driver[:40]}=ADDRESS",
        )
    opened = {EMBEDDED: open_driver(EMBEDDED, config.home)}
    try:
        for name, address in servers.items():
            secret = _secret(name, secrets.get(name, ""), variable)
            opened[name] = open_driver(name, config.home, address=address, secret=secret)
    except BaseException:
        for driver in opened.values():
            driver.close()
        raise
    return opened


def _pairs(setting: str, told: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for each in told:
        name, parted, value = each.partition("=")
        if not parted or not value or name not in DRIVERS[1:] or name in pairs:
            raise ConfigError(
                f"{setting} has an entry that names no driver, or one that is named already",
                advice=f"write DRIVER=…, with one of {', '.join(DRIVERS[1:])}",
            )
        pairs[name] = value
    return pairs


def _secret(name: str, where: str, variable: Callable[[str], str | None]) -> str:
    if not where:
        return ""
    if where.startswith(_VARIABLE):
        value = variable(where.removeprefix(_VARIABLE))
        if not value:
            raise ConfigError(
                f"the secret of {name} is to be in {where[:80]}, and that is not set",
                advice="set the variable where the PoP is started, or name a file",
            )
        return value
    path = Path(where).expanduser()
    try:
        text = read_secret(path, otherwise="change it at the server")
        return text.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the secret of {name} can't be read from {path}",
            advice="put the password or key, and nothing else, into that file",
        ) from error
