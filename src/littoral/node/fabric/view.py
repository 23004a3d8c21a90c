"""What this PoP knows of all others: checks what the fabric brings and keeps the Fleet of it.

Rules
- A PoP is in the fleet while three things hold: it signed the state that is kept, it signed a card
  whose certificates are good *now*, and the member that they name is admitted. What lacks one of
  them waits, bounded, and is in the fleet as soon as that has come.
- Records may come in any order, twice, late, or from somebody who only passes them on: of each PoP
  the latest state and the latest card count, and so the fleet is the same (invariant I7).
- Liveliness is a hint that nobody signs. A state that is newer than what was known is a better one:
  it brings a PoP back that was said to be gone. One that says nothing for limits.FLEET_SILENT_S is
  gone, whatever liveliness says.
- Everything that waits is bounded: who fills it with names that are nobody's pushes out others that
  are nobody's yet, and they are said again.

It has no task, clock or socket: time is an argument, and `tick` wants to be called each second or
so. It does not choose among PoPs, and does not say what this PoP itself is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from littoral.routing import fleet
from littoral.routing.fleet import Fleet, Known, PopState
from littoral.terms.errors import LittoralError, RecordRejectedError
from littoral.terms.facts import PopBack, PopChanged, PopGone, PopSeen, RecordRejected
from littoral.terms.heard import Gone, Heard, Here, Said
from littoral.terms.ids import ModelName, PopId, SiteName
from littoral.terms.limits import (
    FLEET_CHECK_S,
    FLEET_POPS_MAX,
    FLEET_SILENT_S,
    FLEET_STRANGERS_MAX,
    REJECTIONS_KNOWN_MAX,
)
from littoral.terms.ports import Observe, Verify
from littoral.terms.values import SECOND, Instant
from littoral.trust import records
from littoral.trust.members import Member
from littoral.trust.records import Card, Record, RecordKind

__all__ = ["Check", "FleetView"]

Check = Callable[[Sequence[bytes], int], Member]
"""(certificates in DER, its own first; Unix seconds) -> the member that they name.

Raises LittoralError: they are not good, or not at this time.
"""

_NEVER: Final = Instant(0)
_SILENT: Final = int(FLEET_SILENT_S * SECOND)
_CHECKED: Final = int(FLEET_CHECK_S * SECOND)
_TOPIC_CHARS: Final = 120


@dataclass(slots=True)
class _Heard:
    """What was heard of one PoP."""

    state: PopState | None = None
    state_record: bytes = b""
    state_at: Instant = _NEVER
    alive: bool = True
    card: Card | None = None
    card_record: bytes = b""
    member: Member | None = None
    """By its card, which is good and admitted; None without one."""
    reason: str = ""
    """Why not, if there is a card."""


class FleetView:
    """The fleet as it is seen from here."""

    def __init__(
        self,
        *,
        verify: Verify,
        check: Check,
        admissible: Callable[[Member], bool],
        observe: Observe,
        keeps: Callable[[Record], bool],
        passed_on: Callable[[Record], None],
    ) -> None:
        """See nobody yet.

        Args:
            verify: checks signatures.
            check: checks certificates.
            admissible: whether a member may be in the fleet; call `recheck` when that changes.
            observe: takes facts.
            keeps: whether what a record of an admission or owner says is kept already: then nobody
                looks at its signature, and it changes nothing.
            passed_on: takes a record of an admission or owner, whose outer signature is good. What
                is in it has signatures of its own, which nobody has looked at.
        """
        self._verify = verify
        self._check = check
        self._admissible = admissible
        self._observe = observe
        self._keeps = keeps
        self._passed_on = passed_on
        self._heard: dict[PopId, _Heard] = {}
        self._fleet = Fleet({})
        self._watchers: list[Callable[[Fleet], None]] = []
        self._rejected: dict[tuple[str, str], int] = {}
        self._checked_at: Instant | None = None

    @property
    def fleet(self) -> Fleet:
        """As of now."""
        return self._fleet

    def watch(self, watcher: Callable[[Fleet], None]) -> None:
        """Tell this watcher of every change, once for all that was heard together."""
        self._watchers.append(watcher)

    def hear(self, heard: Sequence[Heard], now: Instant, unix_s: int) -> None:
        """Take what the fabric brought, and what this PoP says itself."""
        before = self._fleet
        for each in heard:
            match each:
                case Said(topic, record):
                    self._said(topic, record, now, unix_s)
                case Here(pop) | Gone(pop):
                    known = self._heard.get(pop)
                    if known is not None:
                        known.alive = isinstance(each, Here)
                        self._settle(pop, known, "left")
                case _:
                    assert_never(each)
        self._tell(before)

    def tick(self, now: Instant, unix_s: int) -> None:
        """Notice who has fallen silent and, every FLEET_CHECK_S, whose certificates ran out."""
        before = self._fleet
        for pop, known in list(self._heard.items()):
            if known.alive and known.state is not None and now - known.state_at > _SILENT:
                known.alive = False
                self._settle(pop, known, "silent")
        self._tell(before)
        if self._checked_at is None or now - self._checked_at >= _CHECKED:
            self._checked_at = now
            self._told_again()
            self.recheck(unix_s)

    def recheck(self, unix_s: int) -> None:
        """Look anew at every card: somebody was revoked or admitted, or time has passed."""
        before = self._fleet
        for pop, known in list(self._heard.items()):
            if known.card is not None:
                self._judge(pop, known, unix_s)
                self._settle(pop, known, known.reason)
        self._tell(before)

    def check(self) -> None:
        """Assert what always holds."""
        strangers = [each for each in self._heard.values() if each.member is None]
        assert len(strangers) <= FLEET_STRANGERS_MAX
        assert len(self._heard) <= FLEET_POPS_MAX + FLEET_STRANGERS_MAX
        assert len(self._rejected) <= REJECTIONS_KNOWN_MAX
        for pop, known in self._heard.items():
            seen = self._fleet.pops.get(pop)
            assert (seen is not None) == (known.member is not None and known.state is not None)
            assert seen is None or (seen.member, seen.state) == (known.member, known.state)
        assert self._fleet.pops.keys() <= self._heard.keys()

    def _said(self, topic: str, data: bytes, now: Instant, unix_s: int) -> None:
        """One record: drop it if it is known or bad, keep it if it is later than what is kept."""
        try:
            record = records.decoded(data)
        except RecordRejectedError:
            self._reject(topic, "malformed")
            return
        kind, pop = record.kind, record.pop
        own = records.topic(kind, pop)
        about_itself = kind in {RecordKind.STATE, RecordKind.CARD}
        if topic != own if about_itself else not topic.startswith(own.rpartition("/")[0] + "/"):
            self._reject(topic, "misplaced")
            return
        known = self._heard.get(pop)
        if known is not None and data in (known.state_record, known.card_record):
            return
        if not about_itself and self._keeps(record):
            return
        try:
            payload = records.opened(record, self._verify)
        except RecordRejectedError:
            self._reject(topic, "signature")
            return
        try:
            match kind:
                case RecordKind.STATE:
                    self._state(fleet.decoded(payload), data, pop, now)
                case RecordKind.CARD:
                    self._card(records.card_of(payload), data, pop, unix_s)
                case _:
                    self._passed_on(record)
        except RecordRejectedError:
            self._reject(topic, "malformed")

    def _state(self, state: PopState, data: bytes, pop: PopId, now: Instant) -> None:
        if state.pop != pop:
            raise RecordRejectedError(f"{pop} says to be {state.pop}")
        known = self._known(pop)
        if known.state is not None and fleet.later(known.state, state) == known.state:
            return
        known.state, known.state_record, known.state_at = state, data, now
        known.alive = True
        self._settle(pop, known, "")

    def _card(self, card: Card, data: bytes, pop: PopId, unix_s: int) -> None:
        known = self._known(pop)
        if known.card is not None and _order(known.card) >= _order(card):
            return
        known.card, known.card_record = card, data
        self._judge(pop, known, unix_s)
        if known.member is None:
            self._reject(records.topic(RecordKind.CARD, pop), known.reason)
        self._settle(pop, known, known.reason)

    def _known(self, pop: PopId) -> _Heard:
        """What is kept of this PoP, from now on if nothing was."""
        known = self._heard.get(pop)
        if known is None:
            known = self._heard[pop] = _Heard()
            self._forget()
        return known

    def _forget(self) -> None:
        """Of strangers beyond the bound, those that were heard of first."""
        strangers = [pop for pop, each in self._heard.items() if each.member is None]
        for pop in strangers[: max(0, len(strangers) - FLEET_STRANGERS_MAX)]:
            del self._heard[pop]

    def _judge(self, pop: PopId, known: _Heard, unix_s: int) -> None:
        """Whether this PoP's card makes it a member now."""
        assert known.card is not None
        was, known.member, known.reason = known.member, None, "certificate"
        try:
            member = self._check(known.card.chain, unix_s)
        except LittoralError as error:
            known.reason = str(error.details.get("reason", known.reason))
            return
        if member.pop != pop:
            return
        members = sum(each.member is not None for each in self._heard.values())
        if not self._admissible(member) or (was is None and members >= FLEET_POPS_MAX):
            known.reason = "not_admitted"
            return
        known.member, known.reason = member, ""

    def _settle(self, pop: PopId, known: _Heard, reason: str) -> None:
        """Have the fleet be as what was heard says, and tell what that changed."""
        before = self._fleet.pops.get(pop)
        if known.member is None or known.state is None:
            self._fleet = self._fleet.without(pop)
            if before is not None:
                self._observe(PopGone(pop, reason))
                self._forget()
            return
        member = known.member
        seen = Known(member, known.state, known.state_at, known.alive)
        self._fleet = self._fleet.heard(seen)
        if before is None:
            self._observe(PopSeen(pop, member.owner, member.zone, member.site))
        elif before.alive != seen.alive:
            self._observe(PopBack(pop) if seen.alive else PopGone(pop, reason))
        if before is not None and _shown(before) != _shown(seen):
            self._observe(PopChanged(pop, *_shown(seen)))

    def _tell(self, before: Fleet) -> None:
        if self._fleet is not before:
            for watcher in self._watchers:
                watcher(self._fleet)

    def _reject(self, topic: str, reason: str) -> None:
        """Tell of a rejected record: of the first at once, of those that follow now and then."""
        key = (topic[:_TOPIC_CHARS], reason)
        if key in self._rejected:
            self._rejected[key] += 1
            return
        if len(self._rejected) >= REJECTIONS_KNOWN_MAX:
            self._told_again()
        self._rejected[key] = 0
        self._observe(RecordRejected(*key, records=1))

    def _told_again(self) -> None:
        for (topic, reason), count in self._rejected.items():
            if count:
                self._observe(RecordRejected(topic, reason, count))
        self._rejected.clear()


def _order(card: Card) -> tuple[int, int, tuple[bytes, ...]]:
    return card.boot, card.seq, card.chain


def _shown(known: Known) -> tuple[SiteName, tuple[ModelName, ...]]:
    return known.member.site, tuple(model.name for model in known.state.models)
