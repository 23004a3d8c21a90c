"""What a PoP of the fabric remembers from one run to the next: where it was, and where others were.

    HOME/fabric/known.json

Nothing in it is trusted: an address is a place to ask at, and who answers there shows who it is.
A file that can't be read is as none.
"""

from pathlib import Path

import msgspec

from littoral.adapters.files import SMALL_FILE_BYTES_MAX, write_whole
from littoral.routing.fleet import Fleet
from littoral.terms.errors import HomeUnwritableError
from littoral.terms.ids import PopId
from littoral.terms.limits import KNOWN_POPS_MAX

__all__ = ["KnownPop", "Memory", "known_of", "recall", "remember"]


class KnownPop(msgspec.Struct, frozen=True):
    """Another PoP, where it was last."""

    name: str
    """Its SPIFFE id."""
    url: str
    state_address: str
    issuer: bool = False


class Memory(msgspec.Struct, frozen=True):
    """All that is remembered."""

    host: str = ""
    """The address that it listens on, where its settings do not say."""
    boot: int = 0
    """Of the last run, as in its state."""
    seeds: tuple[str, ...] = ()
    """Endpoints of the fabric's state that whoever let it in has named."""
    pops: tuple[KnownPop, ...] = ()


def recall(home: Path) -> Memory:
    """What is remembered in this home."""
    try:
        data = _path(home).read_bytes()[:SMALL_FILE_BYTES_MAX]
        return msgspec.json.decode(data, type=Memory)
    except (OSError, msgspec.DecodeError, UnicodeError):
        return Memory()


def remember(home: Path, memory: Memory) -> None:
    """Remember this instead.

    Raises:
        HomeUnwritableError: it can't be written.
    """
    try:
        write_whole(_path(home), msgspec.json.encode(memory), mode=0o600)
    except OSError as error:
        raise HomeUnwritableError(f"{_path(home)} can't be written ({error.strerror})") from None


def known_of(fleet: Fleet, here: PopId, issuers: frozenset[PopId]) -> tuple[KnownPop, ...]:
    """The other PoPs of a fleet, issuers first."""
    found = [
        KnownPop(each.member.name, each.state.url, each.state.state_address, pop in issuers)
        for pop, each in sorted(fleet.pops.items())
        if pop != here and each.state.url
    ]
    return tuple(sorted(found, key=lambda each: not each.issuer)[:KNOWN_POPS_MAX])


def _path(home: Path) -> Path:
    return home / "fabric" / "known.json"
