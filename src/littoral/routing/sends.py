"""What this PoP has sent to others that their records cannot tell of yet, for one model.

A record is seconds old, and a gateway that believes it alone sends all of a burst to the PoP that
said it was idle. So what is sent counts at once, until it is over or a record tells of it.

Rules
- A record tells of a send if it was made after the send arrived: heard here a whole round trip or
  more after it was sent (half of it each way).
- Once an answer has begun, its prompt no longer waits to be read; once it is over, nothing counts.
- What counts is what is under way: each send must end in `ended`, so no send is kept for ever.
"""

import msgspec

from littoral.terms.ids import PopId
from littoral.terms.values import SECOND, Instant

__all__ = ["Own", "Send", "Sends"]


class Own(msgspec.Struct):
    """What counts of one PoP: requests, and prompt tokens that it has not begun to answer."""

    requests: int = 0
    tokens: int = 0


class Send(msgspec.Struct, eq=False):
    """One request that was sent and is not over. Each is one of its own, and equals no other."""

    pop: PopId
    at: Instant
    tokens: int
    """Of its prompt, as far as the PoP does not keep it."""
    counts: bool = True


class Sends:
    """See the module docstring. `own` is read on the hot path, and has no entry that is zero."""

    __slots__ = ("_under_way", "own")

    def __init__(self) -> None:
        self.own: dict[PopId, Own] = {}
        self._under_way: dict[PopId, dict[Send, None]] = {}
        """Those that count, in the order in which they were sent."""

    def sent(self, pop: PopId, tokens: int, now: Instant) -> Send:
        """A request goes to the PoP, which has so many of its prompt's tokens to read."""
        send = Send(pop, now, tokens)
        own = self.own.get(pop)
        if own is None:
            own = self.own[pop] = Own()
            self._under_way[pop] = {}
        own.requests += 1
        own.tokens += tokens
        self._under_way[pop][send] = None
        return send

    def began(self, send: Send) -> None:
        """The first byte of its answer came."""
        if send.counts:
            self.own[send.pop].tokens -= send.tokens
        send.tokens = 0

    def ended(self, send: Send) -> None:
        """It is over, however it ended. To say it twice changes nothing."""
        if send.counts:
            del self._under_way[send.pop][send]
            self._forget(send)

    def heard(self, pop: PopId, heard_at: Instant, rtt_s: float) -> None:
        """A record of the PoP came, made half a round trip before: it tells of earlier sends."""
        under_way = self._under_way.get(pop, {})
        until = heard_at - int(rtt_s * SECOND)
        for send in [send for send in under_way if send.at <= until]:
            del under_way[send]
            self._forget(send)

    def check(self) -> None:
        """Assert what always holds."""
        assert self.own.keys() == self._under_way.keys()
        for pop, own in self.own.items():
            counted = [send for send in self._under_way[pop] if send.counts]
            assert counted == list(self._under_way[pop])
            assert own == Own(len(counted), sum(send.tokens for send in counted))
            assert counted

    def _forget(self, send: Send) -> None:
        send.counts = False
        own = self.own[send.pop]
        own.requests -= 1
        own.tokens -= send.tokens
        if not own.requests:
            del self.own[send.pop], self._under_way[send.pop]
