"""Models that are still on their way to the PoP that runs on a home, for `littoral models list`."""

import msgspec

from littoral.cli.operate import ask
from littoral.cli.show import sized
from littoral.node.config import Config
from littoral.node.home import Home

__all__ = ["ArrivingRow", "models_arriving"]

_PERCENT = 100


class ArrivingRow(msgspec.Struct, frozen=True):
    """One model, as the PoP's `/v1/models` has it."""

    id: str
    state: str = ""
    arriving: float = 0.0
    """Of 1, what is here."""
    kinds: tuple[str, ...] = ()
    context_length: int = 0
    size_bytes: int = 0
    licence: str = ""

    def row(self) -> tuple[str, ...]:
        """As the table has it."""
        return (
            self.id,
            f"arriving {int(self.arriving * _PERCENT)} %",
            ", ".join(self.kinds),
            f"{self.context_length:,}",
            sized(self.size_bytes),
            self.licence,
        )


class _Models(msgspec.Struct, frozen=True):
    data: tuple[ArrivingRow, ...]


def models_arriving(config: Config) -> list[ArrivingRow]:
    """Those that are on their way now; none where no PoP runs.

    Raises:
        UpstreamFailedError: the PoP broke off.
    """
    if Home(config.home).running() is None:
        return []
    return [row for row in ask(config, "/v1/models", _Models).data if row.state == "arriving"]
