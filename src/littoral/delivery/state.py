"""What one pull knows, shared by those who decide on parts of it (`pull.py` says which)."""

from collections.abc import Iterable
from typing import Final

from littoral.delivery.appetite import Appetite
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.dealing import Deals
from littoral.delivery.fetches import Fetches
from littoral.delivery.holding import Holding
from littoral.delivery.peers import Meter, Peer
from littoral.delivery.sizes import Sizes
from littoral.delivery.words import ORIGIN, Role
from littoral.terms.ids import PopId
from littoral.terms.limits import FETCHES_EACH_MAX
from littoral.terms.values import SECOND, Instant

__all__ = ["SILENT", "State", "union"]

SILENT: Final = int(1.8 * SECOND)
"""Nanoseconds after which whoever is due and silent is replaced: within two seconds."""


def union(sets: Iterable[ChunkSet]) -> ChunkSet:
    """All that is in any of them."""
    mask = 0
    for each in sets:
        mask |= each.mask
    return ChunkSet(mask)


class State:
    """Of one PoP and one artifact."""

    __slots__ = (
        "appetite", "came", "came_at", "deals", "fetches", "holding", "liars", "me", "meter",
        "origin", "peers", "promised", "reads_origin", "sizes", "uplink", "usual_s", "wanted",
        "wrong",
    )  # fmt: skip

    def __init__(self, me: PopId, sizes: Sizes, has: ChunkSet, *, reads_origin: bool) -> None:
        self.me = me
        self.sizes = sizes
        self.reads_origin = reads_origin
        self.holding = Holding(sizes.count, has)
        self.fetches = Fetches()
        self.peers: dict[PopId, Peer] = {}
        self.origin = Peer(ORIGIN, Role.SPRING, Instant(0))
        self.deals = Deals()
        self.appetite = Appetite(sizes)
        self.promised: dict[PopId, ChunkSet] = {}
        """What each owner was dealt and was not asked for yet."""
        self.liars: set[PopId] = set()
        """Asked for nothing any more, whenever they come back."""
        self.wrong = ChunkSet()
        """Found to be other than was vouched for, since others were told."""
        self.wanted = ChunkSet()
        """Somebody here waits for these, or did."""
        self.uplink = 0
        self.came = 0
        """Bytes that came and were lacking."""
        self.came_at = Instant(0)
        self.meter = Meter()
        self.usual_s = 0.0
        """Seconds between two chunks that one PoP of the group brings in; 0 is not known yet."""

    def source(self, pop: PopId) -> Peer | None:
        """A PoP that was met, or the origin."""
        return self.origin if pop == ORIGIN else self.peers.get(pop)

    def spring(self) -> Peer:
        """Where what is dealt comes from, if no neighbour has it all."""
        for peer in self.peers.values():
            if peer.role is Role.SPRING:
                return peer
        return self.origin

    def measure(self, now: Instant, age: int) -> None:
        """Note how quickly it goes, `age` nanoseconds after it began."""
        self.meter.note(self.came, now)
        rate = self.meter.rate(2 * SECOND)
        if rate:
            self.usual_s = (1 + len(self.pullers())) * self.sizes.mean / rate
        left = self.holding.lacking * self.sizes.mean
        self.appetite.plan(left, rate, self.usual_s, age)

    def stuck(self, now: Instant) -> bool:
        """Whether what this PoP is dealt can't be had."""
        spring = self.spring()
        if spring.usable(now) and (spring is not self.origin or self.reads_origin):
            return False
        return not self.seeds(now)

    def pullers(self) -> list[Peer]:
        """Those of the group that want what they lack."""
        return [peer for peer in self.peers.values() if peer.role is Role.EQUAL and peer.pulling]

    def seeds(self, now: Instant) -> list[Peer]:
        """Those that have something and want nothing, or belong to the site: asked first."""
        return [
            peer
            for peer in self.peers.values()
            if (peer.role is Role.BELOW or (peer.role is Role.EQUAL and not peer.pulling))
            and peer.has
            and peer.usable(now)
        ]

    def check(self) -> None:
        """Assert what must hold between any two events."""
        has = self.holding.set
        assert self.holding.lacking == len(self.holding.all - has)
        kinds: dict[tuple[PopId, bool], int] = {}
        for under in self.fetches:
            peer = self.source(under.source)
            assert under, "a fetch that has nothing to bring is over"
            assert not under.left & has, "what is held is not asked for"
            assert peer is not None, "who is gone is asked for nothing"
            assert not peer.blamed, "who lies is asked for nothing"
            kind = (under.source, under.want)
            kinds[kind] = kinds.get(kind, 0) + 1
        assert all(count <= FETCHES_EACH_MAX for count in kinds.values()), "a source is spared"
        owned = list(self.deals.owned.values())
        assert sum(map(len, owned)) == len(union(owned)), "a chunk is one PoP's to bring in"
