"""Whom a pull asks for what: what it brings in, what others bring in, and what is left over.

Rules
- A source is asked for at most FETCHES_EACH_MAX things of a kind at once.
- Whoever gave a wrong chunk is asked for nothing more; whoever was silent, for a while.
- What a PoP with nothing to do can give sooner is taken from one that would give it last.
- What somebody here waits for jumps the queue, whoever was dealt it.
- Where nothing comes at all, the origin or anybody is asked, whatever was dealt.
"""

from collections.abc import Iterable
from typing import Final

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.fetches import Under
from littoral.delivery.peers import Peer
from littoral.delivery.state import SILENT, State, union
from littoral.delivery.wanting import pick, rarities, spot
from littoral.delivery.words import ORIGIN, Blame, Drop, Effect, Fetch, Replaced, Role
from littoral.terms.ids import PopId
from littoral.terms.limits import FETCHES_EACH_MAX
from littoral.terms.values import SECOND, Instant

__all__ = ["Asking"]

_HUNGRY: Final = int(2.5 * SECOND)
"""Without anything new, until the rules of who reads what are left aside."""
_BITE_TIME: Final = SECOND // 2
_BITE_MAX: Final = 32 << 20
_LATE_S: Final = 0.5
_LATER: Final = 1.5
"""Others that have nothing to do take over from a source that will need so many times as long as
all that is lacking takes at the rate of late, and so many seconds."""
_STRIKES: Final = 3
"""Wrong chunks from the origin, until it is asked no more."""
_SOON_CHUNKS: Final = 4
_SOON_S: Final = 0.4
"""What has no more than so much before it that is lacking will be here in a moment anyway."""
_LAST: Final = 4
"""Chunks at the end that are asked of two."""


class Asking:
    """Of one pull."""

    __slots__ = ("_aside_at", "_left", "_moved_at", "_state", "_strikes", "_under", "effects")

    def __init__(self, state: State) -> None:
        self._state = state
        self._under = ChunkSet()
        self._left: dict[PopId, ChunkSet] = {}
        self._strikes = 0
        self._moved_at = self._aside_at = Instant(0)
        self.effects: list[Effect] = []
        """What was decided; whoever performs it takes it away."""

    def ask(self, now: Instant) -> None:
        """Decide what to ask for now."""
        state = self._state
        self._left = state.fetches.left()
        self._under = union(self._left.values())
        if state.holding.doubted:
            self._read_again(now)
        has = state.holding.set
        lacking = state.holding.all - has - state.holding.doubted
        state.wanted &= lacking
        if state.wanted:
            self._hurry(lacking, now)
        mine = (state.deals.of(state.me) & lacking) - self._under
        if mine:
            self._bring_in(mine, now)
        promised = self._take_promised(lacking, now)
        self._want(lacking - promised - mine, now)
        if now - max(state.came_at, self._aside_at) >= _HUNGRY and lacking:
            self._ask_anybody(lacking, now)

    def drop(self, peer: Peer) -> None:
        """Ask a source for nothing more of what it was asked."""
        for under in self._state.fetches.of(peer.pop):
            self._end(under)

    def forget(self, peer: Peer) -> None:
        """It is no peer any more: nothing is asked of it, and nothing awaited."""
        del self._state.peers[peer.pop]
        self._state.promised.pop(peer.pop, None)
        self.drop(peer)

    def trim(self, under: Under, chunks: ChunkSet) -> None:
        """Do not wait for these of a fetch any more; they may come all the same."""
        under.trim(chunks)
        if not under:
            self._end(under)

    def drop_all(self) -> None:
        """Ask nobody for anything more."""
        for under in self._state.fetches:
            self._end(under)

    def _end(self, under: Under) -> None:
        self._state.fetches.end(under.id)
        self.effects.append(Drop(under.id))

    def blame(self, pop: PopId, chunk: int) -> None:
        """Ask it for nothing any more: it gave, or vouched for, a wrong chunk."""
        state = self._state
        self.effects.append(Blame(pop, chunk))
        state.liars.add(pop)
        state.promised.pop(pop, None)
        peer = state.peers.get(pop)
        if peer is not None:
            peer.blamed = True
            self.drop(peer)

    def spoiled(self, peer: Peer, chunk: int, now: Instant) -> None:
        """A source gave a wrong chunk. The origin may be damaged on its way, and is asked again."""
        if peer is not self._state.origin:
            self.blame(peer.pop, chunk)
            return
        self.effects.append(Blame(ORIGIN, chunk))
        self.drop(peer)
        peer.failed(now)
        self._strikes += 1
        peer.blamed = self._strikes >= _STRIKES

    def look(self, now: Instant) -> None:
        """Leave sources that send nothing of what they have, or do not even say what they have."""
        state = self._state
        for pop, left in state.fetches.left().items():
            peer = state.source(pop)
            if peer is None:
                continue
            due = peer.role is Role.SPRING or left & peer.has
            if not due and now - peer.heard_at < SILENT:
                peer.rest(now)
            elif not due or now - peer.came_at >= SILENT:
                self.drop(peer)
                peer.failed(now)
                self.effects.append(Replaced(pop))

    def done(self, source: Peer, asked_at: Instant, now: Instant) -> None:
        """A want came whole: ask for more at once where that was quick."""
        took = now - asked_at
        bite = self._bite(source)
        if took < _BITE_TIME:
            source.bite = min(2 * bite, max(_BITE_MAX, self._state.sizes.mean))
        elif took > 3 * _BITE_TIME:
            source.bite = max(bite // 2, self._state.sizes.mean)

    # --- what is dealt -------------------------------------------------------------------------

    def _bring_in(self, mine: ChunkSet, now: Instant) -> None:
        """Ask for what this PoP was dealt, where it is to be had best."""
        state = self._state
        seeds = sorted(state.seeds(now), key=lambda peer: spot(state.me, peer.pop))
        for peer in seeds:
            while self._room(peer, want=True) and mine & peer.has:
                chunks = pick(mine & peer.has, (), 0.0, self._bite(peer), state.sizes)
                self._fetch(peer, chunks, now, want=True)
                mine -= chunks
        mine -= union(peer.has for peer in seeds)
        spring = state.spring()
        if not spring.usable(now) or (spring.pop == ORIGIN and not state.reads_origin):
            return
        if spring.pop != ORIGIN:
            if mine and self._room(spring, want=False):
                self._fetch(spring, mine, now, want=False)
            return
        self._read(mine, now)

    def _read(self, chunks: ChunkSet, now: Instant) -> None:
        """Ask the origin for the next run when the last chunk of one is awaited."""
        for run in chunks.runs():
            asked = self._state.fetches.of(ORIGIN)
            if len(asked) >= FETCHES_EACH_MAX or sum(map(len, asked)) > 1:
                break
            self._fetch(self._state.origin, ChunkSet.of_runs([run]), now, want=False)

    def _read_again(self, now: Instant) -> None:
        if self._state.origin.usable(now):
            self._read(self._state.holding.doubted - self._under, now)

    def _take_promised(self, lacking: ChunkSet, now: Instant) -> ChunkSet:
        """Ask owners for what they bring in; what is left to be asked of them later."""
        state = self._state
        later = []
        for pop, promised in list(state.promised.items()):
            chunks = (promised & lacking) - self._under
            peer = state.peers.get(pop)
            if not chunks:
                del state.promised[pop]
            elif peer is not None and peer.usable(now):
                if self._room(peer, want=False):
                    self._fetch(peer, chunks, now, want=False)
                    del state.promised[pop]
                else:
                    later.append(chunks)
        return union(later)

    # --- what is wanted ------------------------------------------------------------------------

    def _want(self, loose: ChunkSet, now: Instant) -> None:
        """Ask those that have it for what is asked of nobody."""
        state = self._state
        loose -= self._under
        sources = [
            peer
            for peer in state.peers.values()
            if peer.has and peer.role is not Role.SPRING and peer.usable(now)
        ]
        loose &= union(
            peer.has
            if peer.pulling or peer.role is Role.BELOW
            else peer.has & state.deals.of(peer.pop)
            for peer in sources
        )
        common = rarities(peer.has for peer in sources) if loose else ()
        for peer in sorted(sources, key=lambda peer: (-peer.bite, peer.pop)):
            while loose and self._room(peer, want=True):
                place = spot(state.me, peer.pop)
                chunks = pick(loose & peer.has, common, place, self._bite(peer), state.sizes)
                if not chunks:
                    break
                self._fetch(peer, chunks, now, want=True)
                loose -= chunks
        if not loose and now - self._moved_at >= SECOND // 4:
            self._move(sources, now)

    def _move(self, sources: Iterable[Peer], now: Instant) -> None:
        """Take from the source that will be last what one with nothing to do can give."""
        state = self._state
        latest, slow = max(
            ((self._seconds(pop, left, now), pop) for pop, left in self._left.items()),
            default=(0.0, ORIGIN),
        )
        rate = state.meter.rate(2 * SECOND)
        all_s = state.holding.lacking * state.sizes.mean / max(1.0, rate)
        if latest < _LATE_S + 2 * state.usual_s + _LATER * all_s:
            return
        busy = {under.source for under in state.fetches if under.want}
        for peer in sources:
            if peer.pop == slow or peer.pop in busy:
                continue
            for under in state.fetches.of(slow):
                takes = under.left & peer.has
                if takes:
                    self._moved_at = now
                    self._split(under, takes, peer, now)
                    return

    def _split(self, slow: Under, takes: ChunkSet, peer: Peer, now: Instant) -> None:
        """Ask another for the second half of what a slow source was asked; the last, of both."""
        state = self._state
        if state.holding.lacking > _LAST:
            takes = pick(takes.later_half(), (), 0.0, self._bite(peer), state.sizes)
            self._under -= takes
            self.trim(slow, takes)
        self._fetch(peer, takes, now, want=True)

    def _seconds(self, pop: PopId, left: ChunkSet, now: Instant) -> float:
        """How long a source will need for what it is asked and has."""
        peer = self._state.source(pop)
        if peer is None:
            return 0.0
        if peer.role is not Role.SPRING:
            left &= peer.has
        return peer.seconds(len(left) * self._state.sizes.mean, now, self._state.usual_s)

    def _hurry(self, lacking: ChunkSet, now: Instant) -> None:
        """Ask for what is waited for and would come late, as nearly all comes in file order."""
        state = self._state
        soon = max(_SOON_CHUNKS * state.sizes.mean, int(state.meter.rate(2 * SECOND) * _SOON_S))
        asked = union(under.left for under in state.fetches if under.want)
        for first in state.wanted - asked:
            before = lacking & ChunkSet.of_runs([(0, first)])
            if len(before) * state.sizes.mean <= soon or first in asked:
                continue
            end = state.sizes.reach((first, state.sizes.count), soon)
            run = next(((lacking - asked) & ChunkSet.of_runs([(first, end)])).runs())
            source = self._quick(first, now)
            if source is None:
                return
            chunks = ChunkSet.of_runs([run])
            if source is not state.origin:
                chunks &= source.has
            self._fetch(source, chunks, now, want=True)
            asked |= chunks

    def _quick(self, chunk: int, now: Instant) -> Peer | None:
        """Who can give a chunk now; the origin if nobody else has it."""
        state = self._state
        for peer in sorted(state.peers.values(), key=lambda peer: (-peer.bite, peer.pop)):
            if chunk in peer.has and peer.usable(now) and self._room(peer, want=True):
                return peer
        origin = state.origin
        usable = state.reads_origin and origin.usable(now) and self._room(origin, want=True)
        return origin if usable else None

    def _ask_anybody(self, lacking: ChunkSet, now: Instant) -> None:
        """Nothing comes: ask whoever may have something, and the origin."""
        state = self._state
        self._aside_at = now
        for peer in state.peers.values():
            if not peer.blamed and lacking & peer.has and not state.fetches.of(peer.pop):
                chunks = pick(lacking & peer.has, (), 0.0, self._bite(peer), state.sizes)
                self._fetch(peer, chunks, now, want=True)
        may = state.reads_origin and not state.origin.blamed
        if may and not state.fetches.of(ORIGIN):
            place = spot(state.me, ORIGIN)
            chunks = pick(lacking, (), place, 4 * state.sizes.mean, state.sizes)
            first, end = next(chunks.runs())
            self._fetch(state.origin, ChunkSet.of_runs([(first, end)]), now, want=True)

    # --- how it is asked -----------------------------------------------------------------------

    def _bite(self, peer: Peer) -> int:
        return peer.bite or 2 * self._state.sizes.mean

    def _room(self, peer: Peer, *, want: bool) -> bool:
        """Whether it may be asked for one thing more."""
        asked = sum(under.want is want for under in self._state.fetches.of(peer.pop))
        return asked < FETCHES_EACH_MAX

    def _fetch(self, peer: Peer, chunks: ChunkSet, now: Instant, *, want: bool) -> None:
        fetches = self._state.fetches
        if not fetches.of(peer.pop):
            peer.rest(now)
        doubled = chunks & self._under
        under = fetches.begin(peer.pop, chunks, doubled, want=want, now=now)
        self._under |= chunks
        at_once = want and peer is self._state.origin
        self.effects.append(Fetch(under.id, peer.pop, chunks, at_once))
