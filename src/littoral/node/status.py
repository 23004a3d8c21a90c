"""What monitoring asks of a PoP: whether it takes requests, and its metrics."""

from collections.abc import Mapping, Sequence
from typing import Final

from littoral.node.host import ModelHost
from littoral.node.telemetry import Telemetry
from littoral.terms.ids import ModelName
from littoral.terms.values import Down, Ready

__all__ = ["PopStatus"]

_WHY_HALTED: Final = {
    "full": "the disk is full",
    "held": "another process holds the database",
    "damaged": "the database is damaged",
    "home_unwritable": "the database can't be written",
}
"""In words that say nothing of this machine, as whoever asks needs no key."""


class PopStatus:
    """What monitoring asks for."""

    def __init__(self, host: ModelHost, telemetry: Telemetry, kept: tuple[str, ...]) -> None:
        self._host = host
        self._telemetry = telemetry
        self._kept = kept
        self.draining = False

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        """Ready once every model that is kept loaded is, and while receipts can be kept."""
        states: dict[str, str] = {
            status.entry.name: _word(status.state)
            for status in self._host.statuses()
            if status.entry.name in self._kept
        }
        missing = [name for name in self._kept if states.get(name) != "ready"]
        halted = self._telemetry.receipts_halted()
        reasons: dict[str, object] = {
            "draining": self.draining,
            "models": states,
            "not_ready": missing,
            "receipts": _kept_or_why_not(halted),
        }
        return not self.draining and not missing and not halted, reasons

    def metrics(self) -> bytes:
        """Prometheus text exposition."""
        loads: dict[ModelName, tuple[int, int]] = {
            status.entry.name: (status.in_flight, status.waiting)
            for status in self._host.statuses()
        }
        return self._telemetry.exposition(loads)


def _word(state: object) -> str:
    match state:
        case Ready():
            return "ready"
        case Down():
            return "down"
        case None:
            return "not loaded"
        case _:
            return "loading"


def _kept_or_why_not(halted: Sequence[str]) -> str:
    if not halted:
        return "kept"
    whys = [_WHY_HALTED.get(reason, "the database can't be used") for reason in halted]
    return f"not kept: {', '.join(whys)}"
