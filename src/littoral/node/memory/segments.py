"""Segments of collections that are here: which artifact is what, who may have it, and for how long.

    HOME/segments.json   what is known of them

A collection from its beginning up to some change is written as **segments**: the parts in which its
home would send it, signed by the home, each a file of one artifact. Whoever follows fetches that
from the home and from others who follow, and asks for changes from there on.

    made by the home, or fetched from others --> given to who may follow --a while--> dropped

Rules
- Segments go to the PoPs that the home's offer is for, by what their certificates say, whoever has
  them: those that changes go to. Once nothing is offered any more, or another collection of the
  name, they go to nobody.
- What was deleted must not stay. So segments are dropped SEGMENTS_KEPT_S after they were last of
  use (to be fetched by somebody is use), and at once with the copy, or with the offer, that they
  belong to. Nor does it stay because this PoP was killed: segments in the store of which nothing is
  known here are dropped.
- What is known of them may be lost: it costs a fetch.

Not here: how they are made (`segmenting.py`), and how they are fetched (`fetching.py`).
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from littoral.adapters.artifacts import Shelf
from littoral.adapters.files import write_whole
from littoral.delivery.manifest import Kind
from littoral.memory.replicas import follows
from littoral.node.memory.copies import CopyKey
from littoral.routing.fleet import Fleet
from littoral.terms.delivery import PlanShown, PullShown, PullWanted
from littoral.terms.errors import LittoralError
from littoral.terms.ids import ArtifactId, PopId
from littoral.terms.limits import OFFERS_MAX, SEGMENTS_KEPT_S
from littoral.terms.ports import Clock
from littoral.terms.replicas import Offer
from littoral.terms.values import SECOND
from littoral.trust.members import Member

__all__ = ["Mover", "Segments", "SegmentsRow"]

log = logging.getLogger("littoral")

_FILE: Final = "segments.json"
_SWEEP_S: Final = 60.0
_AGAIN_S: Final = 5.0
"""Until what somebody held is dropped again."""


class Mover(Protocol):
    """What keeps artifacts and fetches them. All raise LittoralError where that can't be done."""

    async def keep(self, folder: Path, reference: str) -> ArtifactId:
        """Have the files of a folder kept as an artifact; they are taken away from there."""

    async def drop(self, artifact: ArtifactId) -> bool:
        """Have segments dropped; False where somebody still holds them."""

    def readers(self, readers: Mapping[ArtifactId, Collection[PopId]]) -> None:
        """To whom segments may go from now on: to nobody but these."""

    async def plan(self, wanted: PullWanted) -> PlanShown:
        """What a pull would fetch, and from whom."""

    async def pull(self, wanted: PullWanted) -> PullShown:
        """Begin a pull, or join the one that is under way."""

    async def pulled(self, name: str) -> PullShown:
        """One pull, as it is now."""


class SegmentsRow(msgspec.Struct, frozen=True, kw_only=True):
    """Segments of one collection."""

    name: str
    home: PopId
    incarnation: str
    era: str = ""
    through: int = 0
    """The home's change that they go up to. These two are known to the home alone."""
    artifact: ArtifactId
    made_unix_s: int
    used_unix_s: int


class _Coming(NamedTuple):
    incarnation: str
    artifact: ArtifactId


class _Known(msgspec.Struct, frozen=True):
    rows: tuple[SegmentsRow, ...] = ()
    leaving: tuple[ArtifactId, ...] = ()
    """To be dropped, and not dropped yet."""


class Segments:
    """Of one PoP."""

    def __init__(self, home: Path, mover: Mover, clock: Clock) -> None:
        """Begin with what the home has.

        Args:
            home: of the PoP.
            mover: of the PoP.
            clock: for how long they are kept.
        """
        self.mover: Final = mover
        self.shelf: Final = Shelf(home / "artifacts")
        self.offered: Callable[[CopyKey], Offer | None] = _nothing
        """What stands offered of a collection, as it is known here."""
        self._file = home / _FILE
        self._clock = clock
        known = _read(self._file)
        self._rows = {(row.name, row.home): row for row in known.rows}
        self._leaving = set(known.leaving)
        self._former: list[tuple[CopyKey, SegmentsRow]] = []
        """Those that others have taken the place of: who fetches them comes to the end."""
        self._coming: dict[CopyKey, _Coming] = {}
        self._keeping = 0
        """So many are being kept by the mover, and are not known here yet."""
        self._fleet = Fleet({})
        self._members: Mapping[PopId, Member] = {}
        self._member: Member | None = None
        self._due = asyncio.Event()

    # --- what is here -----------------------------------------------------------------------------

    def of(self, name: str, home: PopId) -> SegmentsRow | None:
        """Those of a collection, if they are here whole."""
        row = self._rows.get((name, home))
        return row if row is not None and self.shelf.complete(row.artifact) else None

    @contextmanager
    def coming(self, key: CopyKey, incarnation: str, artifact: ArtifactId) -> Iterator[None]:
        """They are being fetched, and given to others from the first piece on."""
        coming = self._coming[key] = _Coming(incarnation, artifact)
        self._leaving.discard(artifact)
        self.meet_again()
        try:
            yield
        finally:
            if self._coming.get(key) is coming:
                del self._coming[key]
            self.meet_again()

    async def keep(self, folder: Path, reference: str) -> ArtifactId:
        """Have the mover keep what was made, of which `had` is told before anything else happens.

        Raises:
            LittoralError: it can't be kept.
        """
        self._keeping += 1
        try:
            return await self.mover.keep(folder, reference)
        finally:
            self._keeping -= 1

    def had(self, row: SegmentsRow) -> bool:
        """These are here now, in the place of what was of the same collection.

        Returns: whether that is still offered; else they go again.
        """
        key = row.name, row.home
        if self._offer(key, row.incarnation) is None:
            self._leave(row.artifact)
            self._changed()
            return False
        old = self._rows.pop(key, None)
        if old is not None and old.artifact != row.artifact:
            self._former.append((key, old))
            self._due.set()
        if len(self._rows) >= 2 * OFFERS_MAX:
            self.forget(min(self._rows, key=lambda each: self._rows[each].used_unix_s))
        self._rows[key] = row
        self._former = [each for each in self._former if each[1].artifact != row.artifact]
        self._leaving.discard(row.artifact)
        self._changed()
        return True

    def used(self, row: SegmentsRow) -> None:
        """Somebody has use of them, if they are still here."""
        key = row.name, row.home
        known, now = self._rows.get(key), self.now_s()
        if known is None or known.artifact != row.artifact:
            return
        # To the minute is enough: a file is written.
        if abs(now - known.used_unix_s) >= _SWEEP_S:
            self._rows[key] = msgspec.structs.replace(known, used_unix_s=now)
            self._write()

    def forget(self, key: CopyKey) -> None:
        """Those of a collection are not to be here any more, nor to come."""
        gone = [each for known, each in self._all() if known == key]
        self._rows.pop(key, None)
        self._coming.pop(key, None)
        self._former = [each for each in self._former if each[0] != key]
        for each in gone:
            self._leave(each.artifact)
        if gone:
            self._changed()

    def _all(self) -> "list[tuple[CopyKey, SegmentsRow | _Coming]]":
        """What is here, was and is still fetched by somebody, or is coming."""
        return [*self._rows.items(), *self._former, *self._coming.items()]

    def now_s(self) -> int:
        """Seconds since 1970."""
        return self._clock.unix_ns() // SECOND

    def is_young(self, unix_s: int) -> bool:
        """Whether that was a moment ago; not where the clock was set back since."""
        return -_SWEEP_S <= self.now_s() - unix_s <= SEGMENTS_KEPT_S

    # --- who may have them ------------------------------------------------------------------------

    def join(self, member: Member) -> None:
        """This PoP is a member from now on."""
        self._member = member
        self.meet_again()

    def part(self) -> None:
        """It is a member no longer: nobody gets anything."""
        self._member = None
        self.mover.readers({})

    def meet(self, fleet: Fleet) -> None:
        """All PoPs are these now."""
        members = {pop: known.member for pop, known in fleet.pops.items()}
        self._fleet = fleet
        if members != self._members:  # most of what PoPs say is of something else
            self._members = members
            self.meet_again()

    def meet_again(self) -> None:
        """What is offered to whom may be something else."""
        readers = {each.artifact: self._readers(key, each.incarnation) for key, each in self._all()}
        self.mover.readers({artifact: pops for artifact, pops in readers.items() if pops})

    def _offer(self, key: CopyKey, incarnation: str) -> Offer | None:
        """What stands offered of this very collection, and not of another one of its name."""
        offer = self.offered(key)
        if offer is None or offer.withdrawn or offer.incarnation != incarnation:
            return None
        return offer

    def _readers(self, key: CopyKey, incarnation: str) -> frozenset[PopId]:
        offer, me = self._offer(key, incarnation), self._member
        if offer is None or me is None:
            return frozenset()
        home = me if key[1] == me.pop else self._members.get(key[1])
        if home is None:
            return frozenset()
        return frozenset(
            pop
            for pop, member in self._members.items()
            if pop != me.pop and follows(offer, home, member)
        )

    # --- dropping ---------------------------------------------------------------------------------

    async def go_on(self) -> None:
        """Drop what is of no more use, until cancelled."""
        while True:
            self._due.clear()
            wait_s = _SWEEP_S
            self._age()
            await self._look_for_strays()
            for artifact in sorted(self._leaving):
                if artifact in self._leaving and not await self._dropped(artifact):
                    wait_s = _AGAIN_S
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._due.wait()

    async def _dropped(self, artifact: ArtifactId) -> bool:
        """Drop it; False where somebody holds it now."""
        try:
            if not await self.mover.drop(artifact):
                return False
        except LittoralError as error:
            log.warning("segments can't be dropped: %s", error)
        else:
            self._leaving.discard(artifact)
            self._write()
        return True

    def _age(self) -> None:
        for key, row in list(self._rows.items()):
            if self.is_young(row.used_unix_s):
                continue
            if self._is_fetched(key, row):
                self.used(row)
            else:
                self.forget(key)
        former = [each for each in self._former if self._is_fetched(*each)]
        for each in self._former:
            if each not in former:
                self._leave(each[1].artifact)
        if len(former) < len(self._former):
            self._former = former
            self._changed()

    def _is_fetched(self, key: CopyKey, row: SegmentsRow) -> bool:
        """Whether somebody who may is at it, and says so in its state."""
        group = bytes.fromhex(row.artifact.rpartition(":")[2])
        return any(
            each.group == group and not each.whole
            for pop in self._readers(key, row.incarnation)
            if self._fleet.pops[pop].alive
            for each in self._fleet.pops[pop].state.deliveries
        )

    async def _look_for_strays(self) -> None:
        """See that nothing is in the store of which nothing is known: a kill came between."""
        if self._keeping:
            return
        try:
            found = await asyncio.to_thread(self._in_store)
        except (LittoralError, OSError) as error:
            log.warning("the store can't be looked through: %s", error)
            return
        if not self._keeping:  # nor has one been begun meanwhile
            self._leaving.update(found - {each.artifact for _, each in self._all()})

    def _in_store(self) -> set[ArtifactId]:
        """All segments that are in the store, in part or whole. Blocks."""
        manifests = self.shelf.manifests()
        return {artifact for artifact, it in manifests if it.kind is Kind.EMBEDDINGS}

    def _leave(self, artifact: ArtifactId) -> None:
        self._leaving.add(artifact)
        self._due.set()

    def _changed(self) -> None:
        self._write()
        self.meet_again()

    def _write(self) -> None:
        known = _Known(tuple(self._rows.values()), tuple(sorted(self._leaving)))
        try:
            write_whole(self._file, msgspec.json.encode(known), mode=0o600)
        except OSError as error:
            log.warning("%s can't be written: %s", self._file, error.strerror)


def _read(file: Path) -> _Known:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Known)
    except FileNotFoundError:
        return _Known()
    except (OSError, msgspec.MsgspecError, UnicodeError) as error:
        log.warning("%s can't be read, and is begun anew: %s", file, error)
        return _Known()


def _nothing(_: CopyKey) -> Offer | None:
    """Nobody has said anything of it."""
    return None
