"""Who deals in a group, and what follows from deals for this PoP.

The dealer is whoever deals already, as long as it is heard and still pulls; else the lowest PopId
of those that pull. A PoP that comes later does not take over, whatever its name.
"""

from typing import Final

from littoral.delivery.asking import Asking
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.dealing import Asker, Dealer
from littoral.delivery.news import Deal, Table
from littoral.delivery.peers import Peer
from littoral.delivery.state import SILENT, State, union
from littoral.delivery.words import ORIGIN, Replaced, Role
from littoral.terms.ids import PopId
from littoral.terms.values import SECOND, Instant

__all__ = ["Sharing"]

_STUCK: Final = int(2.5 * SECOND)
"""Nanoseconds without anything that a PoP was dealt coming in, until others are dealt it."""
_NONE: Final = ChunkSet()


class Sharing:
    """Of one pull."""

    __slots__ = ("_asking", "_dealer", "_state", "_unread")

    def __init__(self, state: State, asking: Asking) -> None:
        self._state = state
        self._asking = asking
        self._dealer: Dealer | None = None
        self._unread: dict[PopId, tuple[ChunkSet, Instant]] = {}
        """What each was dealt and did not have, and since when that is so."""

    def hear(self, dealer: PopId, table: Table) -> None:
        """Another PoP deals."""
        state = self._state
        deals = state.deals.hear(dealer, table)
        if deals is None:
            return
        self._dealer = None
        for deal in deals:
            self._take(deal)

    def deal(self, hunger: int, now: Instant) -> Table | None:
        """Deal, if that is this PoP's to do; what to tell the others."""
        state = self._state
        pullers = state.pullers()
        took_over = self._take_over(pullers, now)
        if self._dealer is None:
            return None
        me = state.deals.of(state.me) - state.holding.set
        askers = [
            Asker(
                state.me, hunger, state.appetite.idle, (state.deals.epoch, state.deals.number), me,
                awake=self._progresses(state.me, me, now) and not state.stuck(now),
            )
        ]  # fmt: skip
        for peer in pullers:
            unread = state.deals.of(peer.pop) - peer.has
            awake = self._progresses(peer.pop, unread, now) and now - peer.heard_at < SILENT
            awake = awake and not peer.blamed and not peer.stuck
            askers.append(Asker(peer.pop, peer.hunger, peer.idle, peer.heard, unread, awake=awake))
        dealt = self._dealer.deal(self._open(pullers, now), askers, state.sizes, state.usual_s, now)
        for deal in dealt:
            self._take(deal)
        if took_over:
            return self.table()
        return Table(state.deals.epoch, state.deals.number, tuple(dealt)) if dealt else None

    def table(self) -> Table | None:
        """All that was dealt and matters, if this PoP deals."""
        state = self._state
        if self._dealer is None:
            return None
        pullers = state.pullers()
        everywhere = state.holding.set
        for peer in pullers:
            everywhere &= peer.has
        return state.deals.whole(everywhere)

    def _take_over(self, pullers: list[Peer], now: Instant) -> bool:
        """Begin to deal, if nobody else is to."""
        state = self._state
        deals = state.deals
        if deals.dealer == state.me and self._dealer is not None:
            return False
        awake = [peer.pop for peer in pullers if now - peer.heard_at < SILENT and not peer.blamed]
        if deals.dealer in awake or min([state.me, *awake]) != state.me:
            return False
        if any(peer.pop == deals.dealer for peer in pullers):
            self._asking.effects.append(Replaced(deals.dealer))
        self._dealer = Dealer(deals, state.me, now)
        return True

    def _open(self, pullers: list[Peer], now: Instant) -> ChunkSet:
        """What nobody of the group has or brings in, and what can be brought in."""
        state = self._state
        taken = union(peer.has for peer in pullers if not peer.doubtful)
        # Who was dealt something and is of another group since then does not bring it in.
        equals = (peer for peer in state.peers.values() if peer.role is Role.EQUAL)
        taken |= union(state.deals.of(peer.pop) for peer in equals if not peer.doubtful)
        taken |= state.holding.set | state.deals.of(state.me) | state.holding.doubted
        open_ = state.holding.all - taken
        spring = state.spring()
        if spring.pop != ORIGIN:
            return open_ & (spring.has | union(peer.has for peer in state.seeds(now)))
        return open_

    def _progresses(self, pop: PopId, unread: ChunkSet, now: Instant) -> bool:
        """Whether what it was dealt comes in, or there is nothing of that."""
        before, since = self._unread.get(pop, (_NONE, now))
        if not unread or unread != before:
            self._unread[pop] = (unread, now)
            return True
        return now - since < max(_STUCK, 4 * self._state.usual_s * SECOND)

    def _take(self, deal: Deal) -> None:
        """One deal counts from now on: ask its owner for what it brings in, and nobody else."""
        state = self._state
        run = ChunkSet.of_runs([(deal.first, deal.end)])
        mine = deal.owner == state.me
        for under in state.fetches if run & state.fetches.ever else ():
            if under.want or under.source == deal.owner or not under.left & run:
                continue
            peer = state.source(under.source)
            reads = peer is None or peer.role is Role.SPRING
            if reads and mine:
                continue
            self._asking.trim(under, run)
        for pop, promised in state.promised.items():
            if promised & run:
                state.promised[pop] = promised - run
        own = state.appetite.own
        if mine:
            state.appetite.own = own | run
        else:
            state.appetite.own = own - (run - state.holding.set)
            state.promised[deal.owner] = state.promised.get(deal.owner, _NONE) | run
