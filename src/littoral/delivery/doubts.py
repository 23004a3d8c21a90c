"""What to read again at the origin when a whole file of a draft is wrong.

Whoever read a chunk at the origin vouches for its hash, and nobody else can tell: only that some
chunk of the file is wrong. So what one voucher vouched for is read again, then the next's, until a
chunk turns out to be another than was said. Others have the same trouble at the same time, so each
begins with another voucher, and tells which chunks it found; who hears that looks there first.

A hint costs what is read again because of it, no more, and only while a seal is lacking.
"""

from typing import Final

from littoral.delivery.asking import Asking
from littoral.delivery.chunk_set import ChunkSet, Run
from littoral.delivery.state import State
from littoral.terms.ids import PopId
from littoral.terms.values import SECOND, Instant

__all__ = ["Doubts"]

_PATIENCE: Final = 3 * SECOND
"""How long more hints are waited for, before more is read again than they say."""


class Doubts:
    """Of one pull."""

    __slots__ = ("_asking", "_hinted", "_hints", "_more", "_run", "_state", "seal_at")

    def __init__(self, state: State, asking: Asking) -> None:
        self._state = state
        self._asking = asking
        self._hints = ChunkSet()
        self._hinted: set[PopId] = set()
        """Who vouched for something that others found to be wrong."""
        self._run: Run = (0, 0)
        """The file that is wrong."""
        self._more = False
        """Others found something since the last try, and may find more."""
        self.seal_at = Instant(0)
        """Not to be tried again before."""

    def begin(self, run: Run, now: Instant) -> bool:
        """The file of these chunks is wrong; False where there is nothing left to read again."""
        holding = self._state.holding
        self._run = run
        suspects = holding.suspects(run)
        if not suspects:
            return bool(holding.doubted)
        if self._follow(suspects):
            return True
        if self._more:
            self._more = False
            self.seal_at = Instant(now + _PATIENCE)
            return True
        first = min(suspects, key=self._trusted)
        holding.doubt(suspects[first])
        return True

    def hear(self, wrong: ChunkSet, *, sealing: bool) -> None:
        """Another PoP found these to be wrong. While files are looked at as a whole, that waits."""
        self._hints |= wrong
        if sealing:
            return
        doubted = self._state.holding.doubted
        if self._run[1] and self._follow(self._state.holding.suspects(self._run)):
            self._more = True
            self._asking.drop(self._state.origin)
            self._state.holding.trust(doubted)

    def read_again(self, chunk: int, *, changed: bool) -> None:
        """A chunk that was doubted came from the origin."""
        voucher = self._state.holding.read_again(chunk)
        if changed:
            self._state.wrong |= ChunkSet.of([chunk])
            self._asking.blame(voucher, chunk)

    def _follow(self, suspects: dict[PopId, ChunkSet]) -> bool:
        """Doubt what was said to be wrong; whether there was any of that."""
        chunks = ChunkSet()
        for voucher, vouched in suspects.items():
            if vouched & self._hints:
                self._hinted.add(voucher)
                chunks |= vouched & self._hints
        self._hints -= chunks
        if chunks:
            self._state.holding.doubt(chunks)
        return bool(chunks)

    def _trusted(self, voucher: PopId) -> tuple[bool, bool, PopId]:
        """Whom to doubt last: whom nobody has caught; among those, each PoP the one before it.

        So, of as many PoPs as vouch, each begins with another, and every voucher is looked at.
        """
        caught = voucher in self._state.liars or voucher in self._hinted
        return not caught, voucher < self._state.me, voucher
