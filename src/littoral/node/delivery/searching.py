"""Looks for what is to be pulled: among the other PoPs first, then at the origin.

Rules
- A manifest that another PoP gives is believed if its files are those that the origin lists. Where
  the origin promises too little to tell, a PoP of this owner must have claimed it.
- Of several PoPs that begin at once, the one with the lowest name reads headers, and the others
  take its draft; who does not hear of it in time reads them itself. So who has the lowest name of
  all that are known need not wait for another's.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from littoral.adapters.http.words import HttpError
from littoral.adapters.moving.client import Client
from littoral.adapters.origins.kept import OriginsNow
from littoral.delivery.drafts import DraftId
from littoral.node.delivery.around import Around
from littoral.node.delivery.finding import (
    FoundDraft,
    FoundManifest,
    agrees,
    draft_of,
    mark_of,
    read_claims,
    read_draft,
    read_manifest,
    wish_of,
)
from littoral.node.delivery.others import Other, Others
from littoral.terms.artifacts import OriginListing
from littoral.terms.errors import LittoralError, OriginError
from littoral.terms.ids import ArtifactId
from littoral.terms.values import SECOND

__all__ = ["Finding"]

log = logging.getLogger("littoral")

_GATHER_S: Final = 0.15
"""How long to look whether somebody with a lower name wants the same just now, before anything is
read of what nobody has."""
_WISHED_S: Final = 0.05
"""Until the wishes of those who began just then are known here: they are waited for (pull.py)."""
_DRAFT_WAIT_S: Final = 5.0
"""For the draft of another who began at the same time."""
_LOOK_S: Final = 0.01


class Finding:
    """Of one PoP."""

    def __init__(self, around: Around, origins: OriginsNow, others: Callable[[], Others]) -> None:
        """Look nowhere yet.

        Args:
            around: of the PoP.
            origins: all that it can ask.
            others: the other PoPs, as they are now.
        """
        self._around = around
        self._origins = origins
        self._others = others
        self.bases: list[str] = []
        """References that PoPs of this owner say that what was found is derived from."""

    async def of(
        self, listing: OriginListing, reads: Callable[[], None]
    ) -> FoundManifest | FoundDraft:
        """What an origin's listing is.

        Args:
            listing: what.
            reads: called when headers are to be read here.

        Raises:
            OriginError: nobody has it, and the origin can't be read.
        """
        await self._gather(listing.reference)
        found = await self.from_others(listing)
        if found is None:
            reads()
            origin = self._origins.origin_for(listing.reference)
            found = await self._around.blocking(lambda: draft_of(origin, listing))
        return found

    async def _gather(self, reference: str) -> None:
        """Until somebody has more of it than a wish, or this PoP is to read it itself."""
        mark, wish = _names_of(reference)
        me, clock, names = self._around.me, self._around.clock, self._others().by_name
        wait_s = 0.0 if not names else _WISHED_S if me < min(names) else _GATHER_S
        until = clock.now() + int(wait_s * SECOND)
        while clock.now() < until:
            if any(each.group != wish for _, each in self._others().with_reference(mark)):
                return
            await asyncio.sleep(_LOOK_S)

    async def named(self, artifact: ArtifactId) -> tuple[FoundManifest, OriginListing | None]:
        """A named artifact, from whoever has it whole; and where it is from, if that is known.

        Raises:
            OriginError: nobody who can be reached has it.
        """
        group = bytes.fromhex(artifact.removeprefix("blake3:"))
        for other in self._others().by_name.values():
            if any(each.group == group and each.whole for each in other.deliveries):
                found = await self._asked(other, artifact)
                if found is not None:
                    references = await self._references(other, found)
                    return found, await self.listed(references, found)
        raise OriginError(
            f"no PoP that can be reached has {artifact}",
            advice="pull it by its reference at an origin",
        )

    def claimed(self, reference: str) -> ArtifactId | None:
        """What PoPs of this owner have whole under this pinned reference; None where none has."""
        for other, delivery in self._others().with_reference(mark_of(reference)):
            if other.own and delivery.whole:
                return ArtifactId(f"blake3:{delivery.group.hex()}")
        return None

    async def from_others(self, listing: OriginListing) -> FoundManifest | FoundDraft | None:
        """What others have of it; None where this PoP is to read headers itself."""
        mark, wish = _names_of(listing.reference)
        me, clock = self._around.me, self._around.clock
        until = clock.now() + int(_DRAFT_WAIT_S * SECOND)
        while True:
            waits = False
            offers = self._others().with_reference(mark)
            for other, delivery in sorted(offers, key=lambda offer: not offer[1].whole):
                if delivery.group == wish:
                    waits = waits or other.member.pop < me
                    continue
                found = await self._offered(other, delivery.group, listing)
                if found is not None:
                    return found
            if not waits or clock.now() > until:
                return None
            await asyncio.sleep(_LOOK_S)

    async def _offered(
        self, other: Other, group: bytes, listing: OriginListing
    ) -> FoundManifest | FoundDraft | None:
        """The manifest or the draft that another PoP has under this name, if it is believed."""
        found = await self._asked(other, ArtifactId(f"blake3:{group.hex()}"))
        if found is not None:
            fits = agrees(found.manifest, listing)
            if fits is None:
                fits = await self._vouched(other, found, listing.reference)
            return found if fits else None
        if other.peer is None:
            return None
        try:
            draft = await read_draft(self._client, other.peer, DraftId(f"draft:{group.hex()}"))
        except (HttpError, LittoralError) as error:
            log.debug("%s has no draft of %s: %s", other.member.pop, listing.reference, error)
            return None
        files = tuple(file.origin_file for file in draft.draft.files)
        return draft if files == listing.files else None

    async def _asked(self, other: Other, artifact: ArtifactId) -> FoundManifest | None:
        if other.peer is None:
            return None
        try:
            return await read_manifest(self._client, other.peer, artifact)
        except (HttpError, LittoralError) as error:
            log.debug("%s does not give the manifest of %s: %s", other.member.pop, artifact, error)
            return None

    async def _vouched(self, other: Other, found: FoundManifest, reference: str) -> bool:
        """Whether a PoP of this owner has claimed it for the reference."""
        return any(each == reference for each in await self._references(other, found))

    async def _references(self, other: Other, found: FoundManifest) -> list[str]:
        """What PoPs of this owner have claimed it for, the last first."""
        assert other.peer is not None, "it was asked"
        try:
            claims = await read_claims(self._client, other.peer, found.artifact)
        except (HttpError, LittoralError):
            return []
        own = {pop for pop, each in self._others().by_name.items() if each.own}
        own.add(self._around.me)
        latest = sorted(claims, key=lambda each: -each.unix_s)
        self.bases += [each.base for each in latest if each.pop in own and each.base is not None]
        return [each.reference for each in latest if each.pop in own]

    async def listed(self, references: Sequence[str], found: FoundManifest) -> OriginListing | None:
        """What the origin that it is from says of it; None where that can't be told now.

        Args:
            references: that it is said to be; the first whose origin answers counts.
            found: what it is.
        """
        for reference in references:
            try:
                origin = self._origins.origin_for(reference)
                listing = await self._around.blocking(lambda: origin.find(reference))  # noqa: B023
            except LittoralError as error:
                log.debug("%s can't be asked for: %s", reference, error)
                continue
            if agrees(found.manifest, listing) is not False:
                return listing
        return None

    @property
    def _client(self) -> Client:
        client = self._around.client()
        assert client is not None, "there are others"
        return client


def _names_of(reference: str) -> tuple[bytes, bytes]:
    """What a pinned reference is said as, and the group of those that only wish it."""
    return mark_of(reference), bytes.fromhex(wish_of(reference).removeprefix("wish:"))
