"""`littoral.toml`: the settings of one machine, in a file.

Rules
- The file is flat: each line is a setting's name and its value, of the setting's own type. A list
  of names may be a list. Anything else is a `ConfigError` that names file, line and setting.
- It may decide who can reach this machine, so nobody but its owner may be able to write it.
- It is read whole, within `CONFIG_BYTES_MAX`. A path in it counts from the file's own folder.

Not here: which file it is, and what else has a say (config.py).
"""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from littoral.node.setting import Setting, Value
from littoral.node.settings import SETTINGS, grouped
from littoral.terms.errors import ConfigError
from littoral.terms.limits import CONFIG_BYTES_MAX

__all__ = ["FILE_NAME", "ConfigFile", "example", "expanded", "read_config_file"]

FILE_NAME: Final = "littoral.toml"

_ROWS: Final = {row.name: row for row in SETTINGS}

_TEXT_SHOWN_MAX: Final = 160
"""Characters of what somebody else wrote that an error repeats."""

_BEGINS: Final = re.compile(r"""[ \t]*\[{0,2}[ \t]*["']?([\w-]+)["']?[ \t]*[=.\]]""", re.ASCII)
"""A line on which a setting or a table begins, and its name."""

_KINDS: Final[dict[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    list: "a list of something else",
    dict: "a table",
}


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What one file says."""

    path: Path
    values: Mapping[str, Value]
    """By the setting's name; a list of names is one text with commas."""
    lines: Mapping[str, int]
    """The line on which a name stands, from 1, as far as it is known."""

    def place(self, name: str) -> str:
        """The file, and the line if it is known, for a person."""
        return _place(self.path, self.lines.get(name))


def read_config_file(path: Path, *, named: bool) -> ConfigFile | None:
    """Read one file.

    Args:
        path: where it is.
        named: whether somebody asked for this file, so that it must be there; otherwise None says
            that it is not.

    Raises:
        ConfigError: it can't be read, others can write it, or it is not as it should be.
    """
    try:
        content = _content(path)
    except (FileNotFoundError, NotADirectoryError):
        if not named:
            return None
        raise ConfigError(
            f"there is no file {path}",
            advice="`littoral config example` prints one to begin with",
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{path} can't be read: {reason}", advice="give a file that this user can read"
        ) from None
    text = _decoded(path, content)
    document, lines = _document(path, text), _lines(text)
    values = {
        name: _value(_row(name, value, where), value, where, path.parent)
        for name, value in document.items()
        for where in (_place(path, lines.get(name)),)
    }
    return ConfigFile(path, values, lines)


def expanded(text: str, place: str) -> Path:
    """A path whose `~` has been looked up.

    Raises:
        ConfigError: there is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{_brief(text)!r} ({place}) is in the home of a user that does not exist",
            advice="give the path without ~",
        ) from None


def example() -> str:
    """A file with every setting and its default, all commented out."""
    parts = [
        f"# {FILE_NAME}: the settings of the PoP on this machine.",
        "# Take the # away from a line that begins with a name, and give it your value.",
        "# A variable of the environment wins over this file, and a flag over both.",
        "# Paths count from this file's folder.",
    ]
    for group, rows in grouped():
        parts += ["", f"# ---- {group} ----"]
        for row in rows:
            only = " Only in a file named by --config." if row.name == "home" else ""
            parts += ["", f"# {row.help}{only} ({row.unit})", f"# {row.toml}"]
    return "\n".join(parts) + "\n"


def _content(path: Path) -> bytes:
    """The bytes of a file that only its owner can write; a pipe or a device is none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{path} is not a file", advice=f"give the path of a {FILE_NAME}")
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigError(
                f"{path} can be written by others (mode {stat.S_IMODE(mode):04o})",
                advice=f"see that it says what you want, then: chmod go-w {path}",
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(CONFIG_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    if len(content) > CONFIG_BYTES_MAX:
        raise ConfigError(
            f"{path} has more than {CONFIG_BYTES_MAX} bytes", advice="leave out what is not needed"
        )
    return content


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{_place(path, line)}: this is not UTF-8", advice="save the file as UTF-8"
        ) from None


def _document(path: Path, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = _brief(str(error))
    except (ValueError, RecursionError):
        reason = "a number is too long, or lists are too deep in each other"
    raise ConfigError(
        f"{path} can't be read as TOML: {reason}",
        advice='each line is a setting and its value, as port = 7400 or host = "127.0.0.1"',
    )


def _lines(text: str) -> dict[str, int]:
    """The line of each name; of none where a text of several lines could look like one."""
    if '"""' in text or "'''" in text:
        return {}
    found: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        match = _BEGINS.match(line)
        if match is not None:
            found.setdefault(match[1], number)
    return found


def _row(name: str, value: object, where: str) -> Setting:
    row = _ROWS.get(name)
    if row is not None:
        return row
    shown = _brief(name)
    if isinstance(value, dict):
        raise ConfigError(
            f"{where}: {shown!r} is a table, and the file has none",
            advice="write each setting on a line of its own, without a heading in brackets",
        )
    near = get_close_matches(name[:_TEXT_SHOWN_MAX].lower().replace("-", "_"), _ROWS, n=1)
    raise ConfigError(
        f"{where}: {shown!r} is not a setting",
        advice=f"did you mean {near[0]}?" if near else "`littoral config example` shows them all",
    )


def _value(row: Setting, value: object, where: str, folder: Path) -> Value:
    """The value as the setting's own type.

    Raises:
        ConfigError: it is of another.
    """
    kind = type(row.default)
    if type(value) is int and value.bit_length() > 63:
        raise ConfigError(f"{where}: {row.name} has too many digits", advice=_advice(row))
    if row.several and isinstance(value, list) and all(_is_name(each) for each in value):
        value = ",".join(value)
    elif kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        wanted = "a list of names in quotes" if row.several else _KINDS[kind]
        found = _KINDS.get(type(value), "a date or a time")
        raise ConfigError(
            f"{where}: {row.name} should be {wanted}, and is {found}", advice=_advice(row)
        )
    if not isinstance(value, str):
        return value
    if any(ord(each) < 32 or ord(each) == 127 for each in value):
        raise ConfigError(f"{where}: {row.name} has a control character in it", advice=_advice(row))
    return str(folder / expanded(value, where)) if row.unit == "path" and value else value


def _is_name(value: object) -> bool:
    return isinstance(value, str) and "," not in value


def _advice(row: Setting) -> str:
    return f"{row.help} For example: {row.toml}"


def _place(path: Path, line: int | None) -> str:
    return str(path) if line is None else f"{path}, line {line}"


def _brief(text: str) -> str:
    """The beginning and the end of a text that may be long."""
    if len(text) <= _TEXT_SHOWN_MAX:
        return text
    return f"{text[: _TEXT_SHOWN_MAX - 60]} ... {text[-55:]}"
