"""What an engine is given by its machine."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["EnginePlace"]


@dataclass(frozen=True, slots=True)
class EnginePlace:
    """Where an engine runs and how much it may take."""

    run_dir: Path
    """For sockets; private to this user."""
    log_dir: Path
    slots: int
    """Requests that one local model works on at a time."""
    kv_tokens: int
    """Key-value cache that these share."""
    threads: int
    """0 chooses by what the machine grants."""
