"""What the models of a PoP cost whoever asks for them, as its operator says.

A price is a decimal number of the network's units for a million tokens, one of the prompt and one
of the answer. What the unit is, its operators agree upon: a currency, as a rule. On the wire and
here it is counted in millionths, so that nothing is rounded on the way.

    qwen3-0.6b=0.05/0.2     one model
    *=0/0.1                 all that are not named
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from littoral.terms.errors import ConfigError
from littoral.terms.ids import ModelName

__all__ = ["NO_PRICES", "PRICE_MAX", "UNIT", "UNIT_WORTH_S", "Price", "Prices", "prices_of"]

UNIT: Final = 1_000_000
"""Millionths in a unit."""
PRICE_MAX: Final = 1_000_000 * UNIT
"""Of a million tokens."""
UNIT_WORTH_S: Final = 1_000.0
"""Seconds that one unit is worth where nobody says: a thousandth of it saves a second."""

_REST: Final = "*"
_ROW: Final = re.compile(
    r"(\*|[a-z0-9][a-z0-9._/:-]{0,95})=(\d{1,7}(?:\.\d{1,6})?)/(\d{1,7}(?:\.\d{1,6})?)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Price:
    """Millionths of a unit for a million tokens."""

    prompt: int = 0
    answer: int = 0


@dataclass(frozen=True, slots=True)
class Prices:
    """Of one PoP."""

    named: Mapping[str, Price] = field(default_factory=dict)
    rest: Price = Price()
    """Of all that are not named."""

    def of(self, model: ModelName) -> Price:
        """What this model costs."""
        return self.named.get(model, self.rest)


NO_PRICES: Final = Prices()


def prices_of(rows: Sequence[str]) -> Prices:
    """Read the rows of the setting.

    Raises:
        ConfigError: one is no price, or a model has two.
    """
    found: dict[str, Price] = {}
    for row in rows:
        read = _ROW.fullmatch(row)
        prompt, answer = (_millionths(each) for each in read.groups()[1:]) if read else (-1, -1)
        if read is None or max(prompt, answer) > PRICE_MAX:
            raise ConfigError(
                f"prices has {row[:120]!r}, which is no price",
                advice="write MODEL=PROMPT/ANSWER, as in qwen3-0.6b=0.05/0.2: units for a million "
                "tokens, with six decimals at most; * is all other models",
            )
        model = read[1]
        if model in found:
            raise ConfigError(f"prices has {model} twice", advice="keep one of the two")
        found[model] = Price(prompt, answer)
    return Prices(found, found.pop(_REST, Price()))


def _millionths(units: str) -> int:
    return int(Decimal(units) * UNIT)
