"""Says to all what this PoP is, as soon as it matters (saying.py), and what its certificates are.

Records are numbered in this boot; each is signed, given to the fabric, and heard by this PoP's own
view, so that it sees itself as the others do.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from littoral.node.fabric.saying import Matter, due, matter
from littoral.node.fabric.view import FleetView
from littoral.routing.fleet import PopState, encoded
from littoral.terms.facts import RecordSaid
from littoral.terms.heard import Said
from littoral.terms.limits import STATE_LOOK_S, STATE_SAY_S
from littoral.terms.ports import Clock, Names, Observe, Signer
from littoral.terms.values import SECOND, Instant
from littoral.trust.names import pop_id
from littoral.trust.records import Card, RecordKind, signed, topic

__all__ = ["Speaking"]

_CERTIFICATES: Final = 2
"""Of a chain: the PoP's own and its issuer's. Roots are known, or not believed."""


class Speaking:
    """Of one PoP."""

    def __init__(
        self,
        signer: Signer,
        clock: Clock,
        names: Names,
        view: FleetView,
        state: Callable[[int], PopState],
        boot: int,
        observe: Observe,
    ) -> None:
        """Say nothing yet.

        Args:
            signer: of this PoP.
            clock: for when.
            names: takes what is said.
            view: this PoP's own.
            state: what it is now, with this number.
            boot: as in its state.
            observe: takes facts.
        """
        self._signer = signer
        self._pop = pop_id(signer.public_key)
        self._clock = clock
        self._names = names
        self._view = view
        self._state = state
        self._boot = boot
        self._observe = observe
        self._number = 0
        self._said: PopState | None = None
        self._said_at = Instant(0)
        self.changed = asyncio.Event()
        """Set it when there may be something to say."""

    def say(self) -> None:
        """Say what this PoP is, now."""
        self._say(self._state(self._number + 1))

    def say_card(self, chain: Sequence[bytes]) -> None:
        """Say which certificates it has (DER, its own first)."""
        self._number += 1
        card = Card(self._boot, self._number, tuple(chain[:_CERTIFICATES]))
        self._publish(RecordKind.CARD, card.encoded())

    def pass_on(self, words: Mapping[str, bytes]) -> None:
        """Say these records of what owners have signed, by topic."""
        for about, record in words.items():
            self._tell(about, record)

    async def go_on(self) -> None:
        """Say what changes, until cancelled; and now and then that this PoP is still there."""
        while True:
            self.changed.clear()
            state = self._state(self._number + 1)
            how_much = matter(self._said, state)
            if due(how_much, self._said_at, self._clock.now()):
                self._say(state)
                how_much = Matter.NOTHING
            if how_much is Matter.NOTHING:
                try:
                    async with asyncio.timeout(self._pause_s()):
                        await self.changed.wait()
                except TimeoutError:
                    continue
            await asyncio.sleep(STATE_LOOK_S)

    def _pause_s(self) -> float:
        """Until it is said again, or, if that is sooner, until a look for what nobody tells of."""
        left_s = STATE_SAY_S - (self._clock.now() - self._said_at) / SECOND
        return min(max(left_s, STATE_LOOK_S), STATE_SAY_S / 2)

    def _say(self, state: PopState) -> None:
        self._number = state.seq
        self._said, self._said_at = state, self._clock.now()
        self._publish(RecordKind.STATE, encoded(state))

    def _publish(self, kind: RecordKind, payload: bytes) -> None:
        record, about = signed(kind, payload, self._signer), topic(kind, self._pop)
        self._tell(about, record)
        unix_s = self._clock.unix_ns() // SECOND
        self._view.hear([Said(about, record)], self._clock.now(), unix_s)

    def _tell(self, about: str, record: bytes) -> None:
        self._names.say(about, record)
        self._observe(RecordSaid(about.partition("/")[0], len(record)))
