"""One setting: what it is called, what it is otherwise, and what may be given.

It judges one value alone, whichever source it comes from. What takes two values together is in
config.py; the settings that there are stand in settings.py.
"""

import json
from dataclasses import dataclass
from typing import Final

from littoral.terms.errors import ConfigError

__all__ = ["Setting", "Value"]

Value = str | int | float | bool

_NUMBER_MAX: Final = 2**63 - 1
"""What databases, messages and the kernel take for a number."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: everything that is said about a setting anywhere."""

    name: str
    default: Value
    unit: str
    help: str
    group: str
    """The heading that it stands under in documents."""
    least: float = 0
    most: float = _NUMBER_MAX
    """Of a number, both inclusive."""

    @property
    def environment(self) -> str:
        """The variable that sets it."""
        return f"LITTORAL_{self.name.upper()}"

    @property
    def flag(self) -> str:
        """The command-line option that sets it."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def several(self) -> bool:
        """Whether it is a list of names; as one text they have commas between them."""
        return self.unit == "names"

    @property
    def toml(self) -> str:
        """The line of a littoral.toml that gives the default."""
        value: object = self.default
        if self.several and isinstance(value, str):
            value = value.split(",") if value else []
        # What JSON writes of texts, numbers, truth and lists of texts is TOML too.
        return f"{self.name} = {json.dumps(value, ensure_ascii=False)}"

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

    def check(self, value: Value, source: str) -> None:
        """See that a value, if it is a number, is one that the setting can be.

        Raises:
            ConfigError: it is less or more, or not a number at all (`nan`).
        """
        if isinstance(value, str) or self.least <= value <= self.most:
            return
        wanted = f"at least {self.least:g}"
        if self.most != _NUMBER_MAX:
            wanted = f"one from {self.least:g} to {self.most:g}"
        raise ConfigError(f"{self.name} is {value} ({source})", advice=f"give {wanted}")
