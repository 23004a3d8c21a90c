"""What there is while a PoP is a member of the fabric."""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from littoral.node.fabric.calls import Calls
from littoral.node.fabric.holding import Holding
from littoral.node.fabric.links import Links
from littoral.node.fabric.missing import Missing
from littoral.node.fabric.parting import Parting
from littoral.node.fabric.peers import Peers
from littoral.node.fabric.ranking import Ranking
from littoral.node.fabric.relaying import Relaying
from littoral.node.fabric.saying import Place
from littoral.node.fabric.speaking import Speaking
from littoral.node.fabric.view import FleetView
from littoral.node.fabric.words import Words
from littoral.terms.ports import Names
from littoral.trust.members import Member
from littoral.web.listener import Server

__all__ = ["Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one PoP."""

    member: Member
    peers: Peers
    words: Words
    view: FleetView
    names: Names
    calls: Calls
    links: Links
    ranking: Ranking
    place: Place
    """Where it is, as it says."""
    speaking: Speaking
    parting: Parting
    server: Server
    """Answers the others."""
    relaying: Relaying
    """To PoPs that can't be dialled."""
    missing: Missing
    holding: Holding
    """At work where this one can't be dialled."""

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """What goes on as long as it is a member."""
        works = [
            self.speaking.go_on(),
            self.links.measure(),
            self.relaying.keep(),
            self.missing.look(),
        ]
        return works if self.place.url else [*works, self.holding.go_on()]
