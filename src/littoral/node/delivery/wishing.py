"""Wishes of this PoP's owner, and what is fetched because of them, or ahead of demand.

    HOME/wishes.json   every wish that is known here

Rules
- A wish is heeded if a PoP of this owner says it. It is kept by everybody who hears it, and said by
  the PoP that it was said to, whenever that is a member.
- A PoP that finds itself chosen for longer than WISH_LOOK_S, and does not have the artifact, pulls
  it. One that fails is tried again after a while.
- What a site's clients ask for is fetched ahead by one of its PoPs, if that is worth it
  (`delivery/demand.py`); no more than PREFETCH_BYTES_PER_HOUR_MAX in an hour.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from littoral.adapters.files import write_whole
from littoral.delivery import wishes
from littoral.delivery.demand import Demand, Offered, wanted
from littoral.delivery.wishes import Candidate, Wish, chosen, later
from littoral.node.delivery.finding import mark_of
from littoral.routing.fleet import Fleet, Known
from littoral.terms.delivery import (
    PlanShown,
    PullShown,
    PullWanted,
    WishesShown,
    WishRow,
    WishWanted,
)
from littoral.terms.errors import (
    ConflictError,
    HomeUnwritableError,
    LittoralError,
    RecordRejectedError,
)
from littoral.terms.ids import ArtifactId, ModelName, PopId
from littoral.terms.limits import (
    DEMAND_SAID_MAX,
    PREFETCH_BYTES_PER_HOUR_MAX,
    WISH_FILE_BYTES_MAX,
    WISH_LOOK_S,
    WISHES_MAX,
)
from littoral.terms.ports import Clock, Signer
from littoral.terms.values import SECOND, Instant
from littoral.trust.members import Member
from littoral.trust.records import Record, RecordKind, signed, topic

__all__ = ["Pulls", "Wishing"]

log = logging.getLogger("littoral")

_FILE: Final = "wishes.json"
_PINS: Final = ("@", "#state=")
"""What an origin puts after a reference to say which bytes it means."""
_AGAIN: Final = 60 * SECOND
"""After a pull for a wish has failed."""
_HOUR: Final = 3600 * SECOND


@dataclass(frozen=True, slots=True)
class Pulls:
    """What wishes are fulfilled with."""

    pull: Callable[[PullWanted], Awaitable[PullShown]]
    plan: Callable[[PullWanted], Awaitable[PlanShown]]
    room_bytes: Callable[[], int]
    asked: Callable[[], Mapping[ModelName, float]]
    """How often each model was asked for here since the PoP started."""


class _Kept(msgspec.Struct, frozen=True):
    """The file."""

    own: tuple[Wish, ...] = ()
    """Said to this PoP."""
    heard: tuple[Wish, ...] = ()


class Wishing:
    """Of one PoP; see web.delivery.WishDesk."""

    def __init__(self, home: Path, pulls: Pulls, signer: Signer, clock: Clock) -> None:
        """Begin with what the home has.

        Args:
            home: state directory.
            pulls: how something is fetched.
            signer: of this PoP.
            clock: for when.
        """
        self._file = home / _FILE
        self._pulls = pulls
        self._signer = signer
        self._clock = clock
        self._demand = Demand()
        self._counted: Mapping[ModelName, float] = {}
        self._tried: dict[str, Instant] = {}
        self._chosen_at: dict[str, Instant] = {}
        self._fetched_ahead: list[tuple[Instant, int]] = []
        self._own: dict[str, Wish] = {}
        self._heard: dict[str, Wish] = {}
        self._unsure: dict[tuple[PopId, str], Wish] = {}
        """By who says them: it is not known yet whether that is a PoP of this owner."""
        self._member: Member | None = None
        self._fleet = Fleet({})
        self._say: Callable[[str, bytes], None] | None = None
        self._recall()

    # --- being a member -------------------------------------------------------------------------

    def join(self, member: Member, say: Callable[[str, bytes], None]) -> Callable[[Fleet], None]:
        """This PoP is a member from now on; the answer takes every change of the fleet."""
        self._member, self._say = member, say
        for wish in self._own.values():
            self._publish(wish)
        return self._seen

    def hear(self, record: Record) -> None:
        """A wish was said by another PoP; its signature is good."""
        try:
            wish = wishes.decoded(record.payload)
        except RecordRejectedError as error:
            log.warning("%s: %s", record.pop, error)
            return
        if len(self._unsure) >= WISHES_MAX:
            self._unsure.pop(next(iter(self._unsure)))
        self._unsure[record.pop, wish.name] = wish
        self._judge()

    def wished(self) -> tuple[bytes, ...]:
        """What copies are wished of, as PoPs say references."""
        return tuple(mark_of(wish.reference) for wish in self._all())

    def demand(self) -> tuple[tuple[ModelName, float], ...]:
        """What is asked for most here, and how often in an hour."""
        rates = self._demand.per_hour(self._clock.now())
        said = [(model, float(round(rate))) for model, rate in rates.items() if rate >= 1]
        return tuple(said[:DEMAND_SAID_MAX])

    def _seen(self, fleet: Fleet) -> None:
        self._fleet = fleet
        if self._unsure:
            self._judge()

    def _judge(self) -> None:
        """Take those wishes that PoPs of this owner say."""
        changed = False
        for (pop, name), wish in list(self._unsure.items()):
            known = self._fleet.pops.get(pop)
            if known is None:
                continue
            del self._unsure[pop, name]
            if self._member is not None and known.member.owner == self._member.owner:
                before = self._heard.get(name)
                self._heard[name] = wish if before is None else later(before, wish)
                changed = changed or self._heard[name] != before
        if changed:
            self._remember()

    # --- what operators say ---------------------------------------------------------------------

    async def wish(self, wanted: WishWanted) -> WishRow:
        """Take a wish, or withdraw one."""
        unix_ms = self._clock.unix_ns() // 1_000_000
        if wanted.withdrawn:
            wish = self._known(wanted.reference)
            wish = msgspec.structs.replace(wish, withdrawn=True, made_unix_ms=unix_ms)
        else:
            plan = await self._pulls.plan(PullWanted(wanted.reference))
            wish = wishes.made(
                plan.reference,
                wanted.sites,
                wanted.pops,
                wanted.replicas,
                size_bytes=plan.size_bytes,
                unix_ms=unix_ms,
            )
        if wish.name not in self._own and len(self._own) >= WISHES_MAX:
            raise ConflictError(
                f"this PoP keeps {WISHES_MAX} wishes already", advice="withdraw one first"
            )
        self._own[wish.name] = wish
        self._remember()
        self._publish(wish)
        return self._row(wish)

    async def wishes(self) -> WishesShown:
        """All that are known here."""
        return WishesShown(tuple(self._row(each) for each in self._all()))

    def _known(self, reference: str) -> Wish:
        for wish in self._all():
            if reference in {wish.reference, *(wish.reference.partition(pin)[0] for pin in _PINS)}:
                return wish
        raise ConflictError(
            f"nothing is wished of {reference[:200]}", advice="`littoral place` lists what is"
        )

    def _row(self, wish: Wish) -> WishRow:
        candidates = self._candidates(wish)
        mark = mark_of(wish.reference)
        having = [
            pop
            for pop, known in self._fleet.pops.items()
            if known.alive and _has(known, mark, whole=True)
        ]
        return WishRow(
            reference=wish.reference,
            sites=wish.sites,
            pops=wish.pops,
            replicas=wish.replicas,
            size_bytes=wish.size_bytes,
            chosen=tuple(sorted(chosen(wish, candidates))),
            having=tuple(sorted(having)),
        )

    # --- what follows ---------------------------------------------------------------------------

    async def go_on(self) -> None:
        """Fulfil wishes and fetch ahead, until cancelled."""
        while True:
            await asyncio.sleep(WISH_LOOK_S)
            self._count()
            for wish in self._all():
                await self._fulfil(wish)
            await self._fetch_ahead()

    def _count(self) -> None:
        """Take in what was asked for since the last time."""
        counted, now = self._pulls.asked(), self._clock.now()
        for model, count in counted.items():
            more = count - self._counted.get(model, 0.0)
            if more > 0:
                self._demand.asked(model, now, more)
        self._counted = counted

    async def _fulfil(self, wish: Wish) -> None:
        member, now = self._member, self._clock.now()
        assert member is not None, "it goes on while this PoP is a member"
        own = self._fleet.pops.get(member.pop)
        mine = member.pop in chosen(wish, self._candidates(wish))
        if not mine or own is None or _has(own, mark_of(wish.reference), whole=False):
            self._chosen_at.pop(wish.name, None)
            return
        since = self._chosen_at.setdefault(wish.name, now)
        tried = self._tried.get(wish.name)
        if now - since < WISH_LOOK_S * SECOND or (tried is not None and now - tried < _AGAIN):
            return
        self._tried[wish.name] = now
        log.info("fetching %s, as is wished", wish.reference)
        await self._pull(PullWanted(wish.reference))

    async def _fetch_ahead(self) -> None:
        member, now = self._member, self._clock.now()
        assert member is not None, "it goes on while this PoP is a member"
        site = {
            pop: known
            for pop, known in self._fleet.pops.items()
            if known.alive and known.member.site == member.site
            if known.member.owner == member.owner
        }
        per_hour: dict[ModelName, float] = {}
        for known in site.values():
            for model, rate in known.state.demand:
                per_hour[model] = per_hour.get(model, 0.0) + rate
        if not per_hour:
            return
        able = [pop for pop, known in site.items() if known.state.disk_free]
        budget = min(self._budget(now), self._pulls.room_bytes())
        for each in wanted(member.pop, able, per_hour, self._offered(site), budget):
            self._fetched_ahead.append((now, each.size_bytes))
            log.info("fetching %s ahead: it is asked for here", each.model)
            await self._pull(PullWanted(each.artifact, each.model))

    async def _pull(self, what: PullWanted) -> None:
        try:
            await self._pulls.pull(what)
        except LittoralError as error:
            log.warning("%s can't be fetched: %s", what.reference, error)

    def _offered(self, site: Mapping[PopId, Known]) -> Sequence[Offered]:
        here = {
            delivery.group for known in site.values() for delivery in known.state.deliveries
        } | {model.digest for known in site.values() for model in known.state.models}
        models = {model.name for known in site.values() for model in known.state.models}
        found: dict[ArtifactId, Offered] = {}
        for known in self._fleet.pops.values():
            for each in known.state.deliveries:
                if known.alive and each.whole and each.model:
                    artifact = ArtifactId(f"blake3:{each.group.hex()}")
                    in_site = each.group in here or each.model in models
                    model = ModelName(each.model)
                    found[artifact] = Offered(model, artifact, each.size_bytes, in_site)
        return tuple(found.values())

    def _budget(self, now: Instant) -> int:
        self._fetched_ahead = [each for each in self._fetched_ahead if now - each[0] < _HOUR]
        spent = sum(size for _, size in self._fetched_ahead)
        return int(PREFETCH_BYTES_PER_HOUR_MAX) - spent

    def _candidates(self, wish: Wish) -> list[Candidate]:
        mark = mark_of(wish.reference)
        return [
            Candidate(
                pop=pop,
                site=known.member.site,
                has_it=_has(known, mark, whole=False),
                has_room=known.state.disk_free >= wish.size_bytes,
            )
            for pop, known in self._fleet.pops.items()
            if known.alive and self._member is not None
            if known.member.owner == self._member.owner and not known.state.draining
        ]

    # --- keeping them ---------------------------------------------------------------------------

    def _all(self) -> list[Wish]:
        """Those that count, by name."""
        found = dict(self._heard)
        for name, wish in self._own.items():
            found[name] = later(found[name], wish) if name in found else wish
        return [wish for _, wish in sorted(found.items()) if not wish.withdrawn]

    def _publish(self, wish: Wish) -> None:
        if self._say is not None and self._member is not None:
            record = signed(RecordKind.WISH, wishes.encoded(wish), self._signer)
            self._say(topic(RecordKind.WISH, self._member.pop, wish.name), record)

    def _recall(self) -> None:
        with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeError):
            kept = msgspec.json.decode(self._file.read_bytes()[:WISH_FILE_BYTES_MAX], type=_Kept)
            self._own = {wish.name: wish for wish in kept.own[:WISHES_MAX]}
            self._heard = {wish.name: wish for wish in kept.heard[:WISHES_MAX]}

    def _remember(self) -> None:
        heard = sorted(self._heard.values(), key=lambda wish: -wish.made_unix_ms)[:WISHES_MAX]
        self._heard = {wish.name: wish for wish in heard}
        kept = _Kept(tuple(self._own.values()), tuple(self._heard.values()))
        try:
            write_whole(self._file, msgspec.json.encode(kept), mode=0o600)
        except OSError as error:
            raise HomeUnwritableError(f"{self._file} can't be written ({error.strerror})") from None


def _has(known: Known, mark: bytes, *, whole: bool) -> bool:
    """Whether a PoP has what a pinned reference means; or, unless all is asked for, pulls it."""
    return any(
        each.reference == mark and (each.whole or not whole) for each in known.state.deliveries
    )
