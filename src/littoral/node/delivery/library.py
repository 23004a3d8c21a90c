"""What this mover gives to others (`adapters.moving.Library`): all that is here, or is coming.

Rules
- Nothing is given of what is not here and checked, or, of a draft, vouched for.
- Another owner's PoPs get something only if that owner may ask here, and are listened to only if
  something may be had from them.
- What is private goes to PoPs of this owner only, and segments of a collection to those only that
  are said to read them. To all others it is as if it were not here.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from littoral.adapters.moving.words import Coder, HearsNews, Shelf
from littoral.delivery import news as wire
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.manifest import Kind
from littoral.delivery.news import News
from littoral.node.delivery.coding import Coding
from littoral.node.delivery.group import Group
from littoral.node.delivery.holdings import Holdings
from littoral.node.delivery.others import Others
from littoral.node.delivery.whole import Whole
from littoral.terms.errors import BadRequestError, NotFoundError
from littoral.terms.ids import ArtifactId, artifact_id
from littoral.trust.members import Member

__all__ = ["Library"]

_OPEN_MAX: Final = 32
"""Whole artifacts that are kept open; they can't be dropped meanwhile."""


class Library:
    """Of one mover. Called on its loop."""

    def __init__(self, holdings: Holdings, others: Callable[[], Others], coding: Coding) -> None:
        """Give nothing yet but what is whole.

        Args:
            holdings: what is whole.
            others: who is of this owner.
            coding: encodes chunks.
        """
        self._coding = coding
        self._holdings = holdings
        self._others = others
        self.groups: dict[str, Group] = {}
        """Those under way, and those that ended lately, by name."""
        self._open: OrderedDict[str, Whole] = OrderedDict()

    def shelf(self, group: str, peer: Member) -> Shelf | None:
        """See moving.Library."""
        live = self.groups.get(group)
        if live is not None:
            return live.shelf if self._may_have(live, group, peer) else None
        found = self._whole(group, peer)
        return None if found is None else found.shelf

    def coder(self, group: str, peer: Member, base: str) -> Coder | None:
        """See moving.Library. A base that this peer may not have is as if it were not here."""
        if not self._coding.pays:
            return None
        against = self._whole(base, peer)
        live = self.groups.get(group)
        if live is not None:
            return self._coding.coder(live.shelf.intake.table, live.tensors, against)
        found = self._whole(group, peer)
        if found is None:
            return None
        return self._coding.coder(found.table, found.tensors, against)

    def document(self, artifact: str, name: str, peer: Member) -> memoryview | None:
        """See moving.Library."""
        live = self.groups.get(artifact)
        if live is not None and name in live.documents:
            may = self._may_have(live, artifact, peer)
            return memoryview(live.documents[name]) if may else None
        found = self._whole(artifact, peer)
        return None if found is None else found.document(name)

    def news(self, group: str, peer: Member, say: Callable[[bytes], None]) -> HearsNews | None:
        """See moving.Library."""
        live = self.groups.get(group)
        if live is not None:
            may = self._may_have(live, group, peer)
            heard = self._others().may_give(peer)
            return live.links.called(peer, say, heard=heard) if may else None
        found = self._whole(group, peer)
        if found is None:
            return None
        everything = ChunkSet.of_runs([(0, found.table.chunks)])
        greeting = wire.encoded(News(pulling=False, holds=everything.encoded()))
        asyncio.get_running_loop().call_soon(say, greeting)  # once the call is answered
        return _Deaf()

    def let_go(self) -> None:
        """Keep no whole artifact open: room is needed, or this ends."""
        while self._open:
            _, found = self._open.popitem()
            found.close()

    def let_go_of(self, artifact: ArtifactId) -> None:
        """Do not keep it open."""
        found = self._open.pop(artifact, None)
        if found is not None:
            found.close()

    def _may_have(self, live: Group, name: str, peer: Member) -> bool:
        return self._may(peer, live.kind, name, private=live.private)

    def _may(self, peer: Member, kind: Kind, name: str, *, private: bool) -> bool:
        others = self._others()
        if not others.may_get(peer):
            return False
        if kind is Kind.EMBEDDINGS:
            return others.reads(peer, name)
        return not private or others.is_own(peer)

    def _whole(self, name: str, peer: Member) -> Whole | None:
        try:
            artifact = artifact_id(name)
            kind = self._holdings.store.shelf.manifest(artifact).kind
        except (BadRequestError, NotFoundError):
            return None
        if not self._may(peer, kind, artifact, private=self._holdings.private(artifact)):
            return None
        found = self._open.get(name)
        if found is None:
            try:
                found = self._open[name] = Whole(self._holdings, artifact)
            except NotFoundError:
                return None
            if len(self._open) > _OPEN_MAX:
                _, oldest = self._open.popitem(last=False)
                oldest.close()
        self._open.move_to_end(name)
        return found


class _Deaf:
    """Hears the news of those who fetch, and needs none."""

    def told(self, line: bytes) -> None:
        """See HearsNews."""

    def parted(self, error: object) -> None:
        """See HearsNews."""
