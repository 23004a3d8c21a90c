"""What there is while a PoP is a member of the fabric."""

from dataclasses import dataclass

from littoral.node.fabric.calls import Calls
from littoral.node.fabric.links import Links
from littoral.node.fabric.parting import Parting
from littoral.node.fabric.peers import Peers
from littoral.node.fabric.ranking import Ranking
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
