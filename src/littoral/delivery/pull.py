"""One artifact on its way to one PoP, as a machine.

    new --Begin--> pulling --all landed--> sealing --Sealed--> done
                      ^--------SealFailed------|
    any --Cancel--> done;  pulling, sealing --> done  by `Fail`

All PoPs that want it and can reach each other run one each, and tell each other what they have.
Of a group (`grouping.py`), one deals (`dealing.py`) who brings in what; each then brings in what it
was dealt, from the origin, the head of its site, or whoever has it all; and asks every other PoP
for what that one brings in, before that one has it. So a chunk goes from the origin to its owner,
and from there to all others at once, with all uplinks busy. What does not come in that way is asked
of whoever has it (`wanting.py`).

Rules
- Chunks count as held when they have landed, and never before (invariant I1).
- What one does does not depend on the others being right: who is silent, slow, gone or lies costs
  time. Deals of a dealer that is wrong lead to reading twice, not to anything that is missing.
- It ends once: in `Finish`, in `Fail`, or in Cancel.
- News and plans are made every few tens of milliseconds, not for each chunk.

It never touches bytes. Whoever performs it checks hashes, writes, measures the uplink, and tells
it of each chunk.
"""

from collections.abc import Iterable, Sequence
from typing import Final, assert_never

from littoral.delivery.asking import Asking
from littoral.delivery.chunk_set import ChunkSet, Run
from littoral.delivery.doubts import Doubts
from littoral.delivery.news import News
from littoral.delivery.peers import Peer
from littoral.delivery.sharing import Sharing
from littoral.delivery.sizes import Sizes
from littoral.delivery.state import State
from littoral.delivery.telling import BEAT, Telling
from littoral.delivery.words import (
    ORIGIN,
    Begin,
    Cancel,
    Drop,
    Effect,
    Ended,
    Event,
    Fail,
    Finish,
    Landed,
    Met,
    Moving,
    Parted,
    Rates,
    Role,
    Seal,
    Sealed,
    SealFailed,
    Spoiled,
    Tell,
    Told,
    Wanted,
    Woke,
)
from littoral.terms.ids import PopId
from littoral.terms.values import SECOND, Instant

__all__ = ["PullMachine"]

_NONE: Final = ChunkSet()
_GRACE: Final = int(0.3 * SECOND)
"""How long those are waited for that are known to pull too."""
_SOON: Final = SECOND // 200
_TICK: Final = SECOND * 2 // 25
"""Between two plans, while much comes in."""
_GIVE_UP: Final = 60 * SECOND


class PullMachine:
    """See the module docstring. The direct methods are the events; `step` takes them as values."""

    __slots__ = (
        "_asking", "_doubts", "_expected", "_opens_at", "_phase", "_plan_at", "_planned_at",
        "_sharing", "_state", "_telling", "_trouble",
    )  # fmt: skip

    def __init__(
        self,
        me: PopId,
        sizes: Iterable[int],
        has: ChunkSet = _NONE,
        expected: Iterable[PopId] = (),
        *,
        reads_origin: bool = True,
    ) -> None:
        """Ask for nothing yet.

        Args:
            me: the PoP that wants the artifact.
            sizes: bytes of each of its chunks, in the order of their numbers.
            has: chunks that are here already.
            expected: PoPs that are known to want it too; before anything is asked for, they are
                waited for a moment, so that all begin together.
            reads_origin: False where this PoP can't read it at its origin.
        """
        self._state = State(me, Sizes(sizes), has, reads_origin=reads_origin)
        self._asking = Asking(self._state)
        self._sharing = Sharing(self._state, self._asking)
        self._doubts = Doubts(self._state, self._asking)
        self._telling = Telling(self._state)
        self._expected = set(expected) - {me}
        self._phase = "new"
        self._opens_at = self._plan_at = self._planned_at = Instant(0)
        self._trouble = "nobody who can be reached has all of it"

    # --- events --------------------------------------------------------------------------------

    def begin(self, now: Instant) -> Sequence[Effect]:
        """See `words.Begin`."""
        self._phase = "pulling"
        self._state.came_at = self._planned_at = now
        self._opens_at, self._plan_at = Instant(now + _GRACE if self._expected else now), now
        self._telling.hunger = self._hunger(now)
        return ()

    def met(self, pop: PopId, role: Role, news: News, now: Instant) -> Sequence[Effect]:
        """See `words.Met`."""
        state = self._state
        peer = state.peers.get(pop)
        if peer is not None and peer.role is not role:
            self._asking.forget(peer)
            peer = None
        if peer is None:
            peer = state.peers[pop] = Peer(pop, role, now)
            peer.known = state.appetite.own & state.holding.set
            peer.blamed = pop in state.liars
        self._expected.discard(pop)
        if not self._expected:
            self._opens_at = min(self._opens_at, now)
        self._soon(now)
        return self.told(pop, news, now)

    def parted(self, pop: PopId, now: Instant) -> Sequence[Effect]:
        """See `words.Parted`."""
        peer = self._state.peers.get(pop)
        if peer is not None:
            self._asking.forget(peer)
            self._soon(now)
        return self._decided()

    def told(self, pop: PopId, news: News, now: Instant) -> Sequence[Effect]:
        """See `words.Told`."""
        peer = self._state.peers.get(pop)
        if peer is None:
            return ()
        peer.told(news, now)
        if news.table is not None and peer.role is Role.EQUAL:
            self._sharing.hear(pop, news.table)
            self._soon(now)
        if news.wrong:
            sealing = self._phase == "sealing"
            self._doubts.hear(ChunkSet.of_runs(news.wrong), sealing=sealing)
        self._by(Instant(self._planned_at + self._tick))
        return self._decided()

    def landed(
        self,
        fetch: int,
        chunk: int,
        now: Instant,
        voucher: PopId = ORIGIN,
        *,
        changed: bool = False,
    ) -> Sequence[Effect]:
        """See `words.Landed`."""
        state, holding = self._state, self._state.holding
        under = state.fetches.get(fetch)
        peer = None if under is None else state.source(under.source)
        if holding.doubted and chunk in holding.doubted:
            if peer is not state.origin:
                return ()
            self._doubts.read_again(chunk, changed=changed)
        size = state.sizes.of(chunk)
        if holding.add(chunk, voucher):
            state.came += size
            state.came_at = now
        over = state.fetches.landed(fetch, chunk)
        if peer is not None and under is not None:
            peer.moved(size, now)
            if not under and under.want:
                self._asking.done(peer, under.asked_at, now)
        self._by(Instant(self._planned_at + self._tick))
        if not holding.lacking or (under is not None and len(under) < 2):
            self._soon(now)
        self._asking.effects += map(Drop, over)
        return self._decided()

    def moving(self, fetch: int, now: Instant) -> Sequence[Effect]:
        """See `words.Moving`."""
        under = self._state.fetches.get(fetch)
        peer = None if under is None else self._state.source(under.source)
        if peer is not None:
            peer.came_at = now
        return ()

    def spoiled(self, fetch: int, chunk: int, now: Instant) -> Sequence[Effect]:
        """See `words.Spoiled`."""
        under = self._state.fetches.get(fetch)
        peer = None if under is None else self._state.source(under.source)
        if peer is None:
            return ()
        self._asking.spoiled(peer, chunk, now)
        if peer is self._state.origin:
            self._trouble = "the origin gives other bytes than were promised"
        self._soon(now)
        return self._decided()

    def ended(self, fetch: int, error: str | None, now: Instant) -> Sequence[Effect]:
        """See `words.Ended`."""
        under = self._state.fetches.get(fetch)
        if under is None:
            return ()
        self._state.fetches.end(fetch)
        peer = self._state.source(under.source)
        if peer is not None:
            peer.failed(now)
        if error is not None and under.source == ORIGIN:
            self._trouble = f"the origin: {error}"
        self._soon(now)
        return ()

    def woke(self, now: Instant) -> Sequence[Effect]:
        """Do what is due."""
        if self._phase in ("new", "done") or now < self._plan_at:
            return ()
        self._plan(now)
        return self._decided()

    def sealed(self, now: Instant) -> Sequence[Effect]:
        """See `words.Sealed`."""
        del now
        assert self._phase == "sealing", "it is sealed when all is here"
        return self._finish(Finish())

    def seal_failed(self, run: Run, now: Instant) -> Sequence[Effect]:
        """See `words.SealFailed`."""
        if self._phase == "done":
            return ()
        if not self._state.reads_origin or not self._doubts.begin(run, now):
            return self._finish(Fail("the origin's bytes do not have the digest that it promises"))
        self._phase = "pulling"
        self._state.came_at = now
        self._soon(now)
        return ()

    def cancel(self, now: Instant) -> Sequence[Effect]:
        """See `words.Cancel`."""
        del now
        return () if self._phase == "done" else self._finish(None)

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Take one event and say what to do, in order."""
        match event:
            case Landed() | Moving() | Spoiled() | Ended():
                return self._step_of_fetch(event, now)
            case Met() | Parted() | Told():
                return self._step_of_peer(event, now)
            case Begin():
                return self.begin(now)
            case Woke():
                return self.woke(now)
            case Rates(uplink):
                self._state.uplink = uplink
            case Wanted(chunks):
                self._state.wanted |= chunks
                self._soon(now)
            case Sealed():
                return self.sealed(now)
            case SealFailed(first, end):
                return self.seal_failed((first, end), now)
            case Cancel():
                return self.cancel(now)
            case _:
                assert_never(event)
        return ()

    def _step_of_fetch(
        self, event: Landed | Moving | Spoiled | Ended, now: Instant
    ) -> Sequence[Effect]:
        match event:
            case Landed(fetch, chunk, voucher, changed):
                return self.landed(fetch, chunk, now, voucher, changed=changed)
            case Moving(fetch):
                return self.moving(fetch, now)
            case Spoiled(fetch, chunk):
                return self.spoiled(fetch, chunk, now)
            case Ended(fetch, error):
                return self.ended(fetch, error, now)
            case _:
                assert_never(event)

    def _step_of_peer(self, event: Met | Parted | Told, now: Instant) -> Sequence[Effect]:
        match event:
            case Met(pop, role, news):
                return self.met(pop, role, news, now)
            case Parted(pop):
                return self.parted(pop, now)
            case Told(pop, news):
                return self.told(pop, news, now)
            case _:
                assert_never(event)

    # --- what is known -------------------------------------------------------------------------

    def greeting(self) -> News:
        """What to say first to a PoP that is met: whole news. What is told later follows it."""
        pulling = self._phase in ("new", "pulling")
        return self._telling.whole(self._sharing.table(), pulling=pulling)

    def deadline(self) -> Instant | None:
        """When to say Woke, if nothing else happens."""
        return None if self._phase in ("new", "done") else self._plan_at

    @property
    def done(self) -> bool:
        """Nothing is asked for, and nothing will be."""
        return self._phase == "done"

    @property
    def has(self) -> ChunkSet:
        """Chunks that have landed and are not doubted."""
        return self._state.holding.set

    def check(self) -> None:
        """Assert what must hold between any two events."""
        self._state.check()
        assert self._phase != "done" or not len(self._state.fetches)
        assert self._phase != "sealing" or not self._state.holding.lacking

    # --- what is done --------------------------------------------------------------------------

    @property
    def _tick(self) -> int:
        return max(_TICK, len(self._state.peers) * _TICK // 50, self._state.appetite.ahead // 32)

    def _by(self, moment: Instant) -> None:
        self._plan_at = min(self._plan_at, moment)

    def _soon(self, now: Instant) -> None:
        """Plan in a moment, with what else comes until then."""
        self._by(Instant(max(now + _SOON, self._planned_at + self._tick // 2)))

    def _decided(self) -> Sequence[Effect]:
        effects = self._asking.effects
        if effects:
            self._asking.effects = []
        return effects

    def _plan(self, now: Instant) -> None:
        """Deal, ask and tell."""
        state, table = self._state, None
        self._planned_at, self._plan_at = now, Instant(now + BEAT // 2)
        if now < self._opens_at:
            self._by(self._opens_at)
        whole = not state.holding.lacking and now >= self._doubts.seal_at
        if self._phase == "pulling" and whole:
            self._asking.drop_all()
            self._phase = "sealing"
            self._asking.effects.append(Seal())
        pulling = self._phase == "pulling"
        self._telling.hunger = self._hunger(now) if pulling else 0
        if pulling and now >= self._opens_at:
            if now - state.came_at >= _GIVE_UP:
                self._end(Fail(self._trouble))
                return
            state.measure(now, now - self._opens_at)
            table = self._sharing.deal(self._telling.hunger, now)
            self._asking.look(now)
            self._asking.ask(now)
        news = self._telling.changes(table, now, self._tick, pulling=pulling)
        if news is not None:
            self._asking.effects.append(Tell(news))

    def _hunger(self, now: Instant) -> int:
        """Bytes that this PoP can take on to bring in."""
        state = self._state
        self._telling.stuck = state.stuck(now)
        if self._telling.stuck:
            return 0
        return state.appetite.hunger(state.holding.set, state.pullers(), state.uplink, now)

    def _finish(self, last: Finish | Fail | None) -> Sequence[Effect]:
        self._end(last)
        return self._decided()

    def _end(self, last: Finish | Fail | None) -> None:
        """Say the last."""
        self._asking.drop_all()
        self._phase = "done"
        self._asking.effects.append(Tell(self._telling.whole(None, pulling=False)))
        if last is not None:
            self._asking.effects.append(last)
