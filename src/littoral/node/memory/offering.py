"""The home's side of replicas: what it offers, to whom it sends changes, whose writes it takes.

    HOME/offers.json    every offer of this PoP, those that were withdrawn among them

Rules
- Only the PoP's own collections are offered. Each question is looked at anew: whether whoever asks
  is meant, and may have it where its certificate says that it is.
- An offer is of one collection. With that it goes; another of its name is not offered by it, though
  this PoP was killed between.
- A question for changes is answered as soon as there are some, and after CHANGES_WAIT_S anyway.
- A write that a replica passes on is of an operator there, who is one of this PoP's owner too.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from littoral.adapters.files import write_whole
from littoral.memory.replicas import decoded_offer, encoded_offer, follows, sealed
from littoral.node.memory.house import House
from littoral.node.memory.opened import Kept
from littoral.node.memory.segmenting import Segmenting
from littoral.node.memory.segments import Segments
from littoral.terms.collections import Replicated
from littoral.terms.errors import (
    BadRequestError,
    ConflictError,
    HomeUnwritableError,
    NotAllowedError,
    NotFoundError,
    StoreError,
    UnsupportedError,
)
from littoral.terms.ids import PopId
from littoral.terms.limits import CHANGES_BYTES, CHANGES_WAIT_S, OFFERS_MAX
from littoral.terms.memory import Applied
from littoral.terms.ports import Clock, Signer
from littoral.terms.replicas import (
    ChangesWanted,
    Offer,
    OfferRow,
    OffersShown,
    ReplicaWanted,
    SegmentsShown,
    SegmentsWanted,
    WritesWanted,
)
from littoral.trust.members import Member
from littoral.trust.names import pop_id
from littoral.trust.records import RecordKind, signed, topic

__all__ = ["Offering"]

log = logging.getLogger("littoral")

_FILE: Final = "offers.json"


class _Kept(msgspec.Struct, frozen=True):
    offers: tuple[Offer, ...] = ()


class Offering:
    """Of one PoP."""

    def __init__(
        self,
        home: Path,
        house: House,
        segmenting: Segmenting,
        segments: Segments,
        signer: Signer,
        clock: Clock,
    ) -> None:
        """Begin with what the home has.

        Args:
            home: of the PoP.
            house: its collections.
            segmenting: makes segments of them.
            segments: has those that were made.
            signer: of this PoP.
            clock: for when an offer was made, and who has asked lately.

        Raises:
            StoreError: the file of offers is damaged.
        """
        self._file = home / _FILE
        self._house = house
        self._segmenting = segmenting
        self._segments = segments
        self._signer = signer
        self._clock = clock
        self._offers = {offer.spec.name: offer for offer in _read(self._file)}
        self._followers: dict[str, dict[PopId, int]] = {}
        """Who has asked for changes of which collection, and when (in seconds since 1970)."""
        self._changed: dict[str, asyncio.Event] = {}
        self._listening: dict[str, Kept] = {}
        self._member: Member | None = None
        self._say: Callable[[str, bytes], None] | None = None
        house.forgotten.append(self._forgotten)

    def join(self, member: Member, say: Callable[[str, bytes], None]) -> None:
        """This PoP is a member from now on."""
        self._member, self._say = member, say
        for offer in self._offers.values():
            self._publish(offer)

    async def offer(self, name: str, wanted: ReplicaWanted) -> OfferRow:
        """Offer a collection of the PoP's own to these places, and to no others; or withdraw that.

        Raises:
            NotFoundError: there is none, or, to withdraw it, no offer.
            UnsupportedError: its driver can't be followed.
            BadRequestError: no place is named.
            ConflictError: there are too many offers.
        """
        old = self._offers.get(name)
        if wanted.withdrawn:
            if old is None or old.withdrawn:
                raise NotFoundError(f"{name[:128]} is not offered", advice="nothing is to be done")
            offer = msgspec.structs.replace(old, withdrawn=True, made_unix_ms=self._now_ms(old))
            self._take(offer)
            return self._row(offer)
        if not wanted.sites and not wanted.pops:
            raise BadRequestError("no place is named", advice="name sites, or PoPs")
        kept = await self._house.pops_own(name)
        if not isinstance(kept.collection, Replicated):
            raise UnsupportedError(
                f"{name} is kept by a server, which has replicas of its own",
                advice="move it to the embedded driver first: `littoral memory move`",
            )
        standing = self.standing(name)
        if standing is None and len(self._offers) >= OFFERS_MAX:
            raise ConflictError(f"this PoP offers {OFFERS_MAX} collections already")
        offer = Offer(
            spec=kept.spec,
            incarnation=standing.incarnation if standing else self._clock.random_bytes(16).hex(),
            sites=wanted.sites,
            pops=wanted.pops,
            made_unix_ms=self._now_ms(old),
        )
        self._take(offer)
        return self._row(offer)

    async def offers(self) -> OffersShown:
        """All that stand."""
        standing = [offer for offer in self._offers.values() if not offer.withdrawn]
        return OffersShown(tuple(map(self._row, standing)))

    def standing(self, name: str) -> Offer | None:
        """What is offered of a collection."""
        offer = self._offers.get(name)
        return offer if offer is not None and not offer.withdrawn else None

    # --- what replicas ask ------------------------------------------------------------------------

    async def changes(self, asker: Member, wanted: ChangesWanted) -> bytes:
        """What changed, signed.

        Raises:
            NotFoundError: it is not offered, or is another one by now.
            NotAllowedError: not to this PoP.
        """
        offer, kept = await self._offered(asker, wanted.name, wanted.incarnation)
        collection = kept.collection
        assert isinstance(collection, Replicated)
        self._followers.setdefault(wanted.name, {})[asker.pop] = self._now_s()
        self._watch(wanted.name, kept)
        while True:
            changed = self._changed[wanted.name]
            found = await self._house.threads.run(
                lambda: collection.changes(
                    wanted.after, CHANGES_BYTES, begun=wanted.begun, era=wanted.era
                )
            )
            if found.through > wanted.after or found.whole or not wanted.wait:
                break
            try:
                async with asyncio.timeout(CHANGES_WAIT_S):
                    await changed.wait()
            except TimeoutError:
                break
        # Some megabytes are encoded, hashed and signed: not on the loop.
        return await self._house.threads.run(lambda: sealed(found, offer.incarnation, self._signer))

    async def segments(self, asker: Member, wanted: SegmentsWanted) -> SegmentsShown:
        """All of it at once, as an artifact, if that is worth it; raises as `changes`."""
        offer, kept = await self._offered(asker, wanted.name, wanted.incarnation)
        assert isinstance(kept.collection, Replicated)
        return await self._segmenting.of(offer, kept.collection)

    async def write(self, asker: Member, wanted: WritesWanted) -> Applied:
        """Make the changes that a replica passes on; raises as `changes`, and as a write does."""
        _, kept = await self._offered(asker, wanted.name, wanted.incarnation)
        return await self._house.as_operator(kept).apply(wanted.writes)

    async def _offered(self, asker: Member, name: str, incarnation: str) -> tuple[Offer, Kept]:
        offer, member = self.standing(name), self._member
        if offer is None or member is None or offer.incarnation != incarnation:
            raise NotFoundError(f"{name[:128]} is not offered here, or is another one by now")
        if not follows(offer, member, asker):
            raise NotAllowedError(f"{name} does not go to {asker.pop}")
        kept = await self._house.pops_own(name)
        if kept.spec != offer.spec or not isinstance(kept.collection, Replicated):
            raise NotFoundError(f"{name} is another one by now, or kept by a server")
        return offer, kept

    def _watch(self, name: str, kept: Kept) -> None:
        """Have the next write set an event, which is another one for each."""
        self._changed.setdefault(name, asyncio.Event())
        if self._listening.get(name) is not kept:
            self._listening[name] = kept
            kept.listeners.append(lambda _: self._wrote(name))

    def _wrote(self, name: str) -> None:
        was, self._changed[name] = self._changed[name], asyncio.Event()
        was.set()

    # --- keeping them -----------------------------------------------------------------------------

    def _forgotten(self, scope: str, name: str) -> None:
        if scope:
            return  # a key's own, which is never offered
        self._listening.pop(name, None)
        offer = self.standing(name)
        if offer is None:
            return
        gone = msgspec.structs.replace(offer, withdrawn=True, made_unix_ms=self._now_ms(offer))
        try:
            self._take(gone)
        except HomeUnwritableError as error:  # it is gone whether or not that can be written
            log.warning("%s", error)
            self._heed(gone)

    def _take(self, offer: Offer) -> None:
        """Have it stand, once it would after a kill too; where that fails, nothing has changed."""
        kept = _Kept(tuple({**self._offers, offer.spec.name: offer}.values()))
        try:
            write_whole(self._file, msgspec.json.encode(kept), mode=0o600)
        except OSError as error:
            raise HomeUnwritableError(f"{self._file} can't be written ({error.strerror})") from None
        self._heed(offer)

    def _heed(self, offer: Offer) -> None:
        self._offers[offer.spec.name] = offer
        if offer.withdrawn:
            self._segments.forget((offer.spec.name, pop_id(self._signer.public_key)))
        self._segments.meet_again()
        self._publish(offer)

    def _publish(self, offer: Offer) -> None:
        if self._say is not None and self._member is not None:
            record = signed(RecordKind.OFFER, encoded_offer(offer), self._signer)
            self._say(topic(RecordKind.OFFER, self._member.pop, offer.spec.name), record)

    def _row(self, offer: Offer) -> OfferRow:
        asked = self._followers.get(offer.spec.name, {})
        lately = self._now_s() - 3 * CHANGES_WAIT_S
        followers = tuple(sorted(pop for pop, when in asked.items() if when >= lately))
        return OfferRow(offer.spec.name, offer.sites, offer.pops, offer.spec.zone, followers)

    def _now_ms(self, old: Offer | None) -> int:
        """Now, and later than the offer before."""
        now = self._clock.unix_ns() // 1_000_000
        return now if old is None else max(now, old.made_unix_ms + 1)

    def _now_s(self) -> int:
        return self._clock.unix_ns() // 1_000_000_000


def _read(file: Path) -> tuple[Offer, ...]:
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError, UnicodeError):
        raise StoreError(
            f"{file} can't be read",
            advice="restore it, or move it away: then nothing is offered any more",
        ) from None
    for offer in kept.offers:
        decoded_offer(encoded_offer(offer))
    return kept.offers
