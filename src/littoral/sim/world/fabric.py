"""How records travel in a world: what the port `Names` promises, with all that it does not promise.

A record is said on a topic and replaces what was said there before. It comes to all who are linked,
late, twice, out of order; who is linked later hears the latest of each topic. Two PoPs are linked
while messages pass both ways. That a link is down is told after a lease, or at once where only the
process died; that it is up, soon.
"""

from collections.abc import Callable, Sequence
from typing import Final

from littoral.sim.world.chance import Chance
from littoral.sim.world.links import Links
from littoral.terms.heard import Gone, Heard, Here, Said
from littoral.terms.ids import PopId
from littoral.terms.limits import FABRIC_LEASE_S

__all__ = ["Fabric"]

_SOON: Final = (0.01, 0.3)
_ARCHIVE: Final = 60

_Hear = Callable[[Sequence[Heard]], None]


class Fabric:
    """All that PoPs say to all, among hosts by their names."""

    def __init__(self, links: Links, chance: Chance) -> None:
        self._links = links
        self._chance = chance
        self._pops: dict[str, PopId] = {}
        self._hear: dict[str, _Hear] = {}
        self._said: dict[str, dict[str, bytes]] = {}
        self._linked: dict[tuple[str, str], bool] = {}
        self.archive: list[tuple[str, bytes]] = []
        """What was said first of all: for whoever says it again."""
        links.watch(self.look)

    def place(self, host: str, pop: PopId) -> None:
        """A PoP of this name may be on this host."""
        for other in self._pops:
            self._linked[host, other] = self._linked[other, host] = False
        self._pops[host] = pop

    def open(self, host: str, hear: _Hear) -> None:
        """It is there, has said nothing yet, and hears from now on."""
        self._hear[host] = hear
        self._said[host] = {}
        self.look()

    def close(self, host: str) -> None:
        """It is gone."""
        del self._hear[host]
        self.look()

    def say(self, host: str, topic: str, record: bytes) -> None:
        """Say this to all, and to whoever is linked later."""
        self._said[host][topic] = record
        if len(self.archive) < _ARCHIVE:
            self.archive.append((topic, record))
        for other in self._hear:
            if other != host:
                self._send(host, other, topic, record)

    def whisper(self, host: str, other: str, topic: str, record: bytes) -> None:
        """Say something to one only: what nobody honest does."""
        self._send(host, other, topic, record)

    def look(self) -> None:
        """See who is linked now, and tell both sides of what has changed."""
        for (host, other), before in self._linked.items():
            now = self._passes(host, other)
            if now != before:
                self._linked[host, other] = now
                self._later(host, other, now)

    def _passes(self, host: str, other: str) -> bool:
        return (
            host in self._hear
            and other in self._hear
            and self._links.passes(host, other)
            and self._links.passes(other, host)
        )

    def _later(self, host: str, other: str, linked: bool) -> None:
        """Tell `host` of `other` in a while, if it is still so."""
        after = self._chance.between(*_SOON)
        if not linked and (other in self._hear or other in self._links.down):
            after += FABRIC_LEASE_S
        self._links.clock.after(after, lambda: self._tell(host, other, linked))

    def _tell(self, host: str, other: str, linked: bool) -> None:
        if self._linked[host, other] != linked or host not in self._hear:
            return
        if not linked:
            self._hear[host]([Gone(self._pops[other])])
            return
        told = [Said(topic, record) for topic, record in self._said[other].items()]
        self._hear[host]([Here(self._pops[other]), *told])

    def _send(self, host: str, other: str, topic: str, record: bytes) -> None:
        self._links.letter(host, other, lambda: self._arrive(other, topic, record))

    def _arrive(self, host: str, topic: str, record: bytes) -> None:
        hear = self._hear.get(host)
        if hear is not None:
            hear([Said(topic, record)])
