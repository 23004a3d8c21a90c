"""What is in vector stores, read and searched; see `web.stores.desk.ContentDesk`.

Passages are ranked as everywhere here, by meaning and by words together. What a fusion of ranks
sums up means nothing by itself, so the score that is said is how alike question and passage are,
which a threshold can be set on; the order stays that of the ranking.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from littoral.memory.fusion import fused
from littoral.node.memory.shelf import Shelf, passages_of
from littoral.terms.collections import OpenCollection
from littoral.terms.errors import NotFoundError
from littoral.terms.filters import Ids
from littoral.terms.limits import STORE_PASSAGES_SHOWN_MAX
from littoral.terms.memory import (
    Cited,
    Like,
    Metric,
    Recall,
    Record,
    Scan,
    Search,
    VectorField,
)
from littoral.terms.stores import (
    StoreFile,
    document_of,
    file_in,
)
from littoral.terms.values import Caller
from littoral.web.stores.desk import Questions

__all__ = ["Contents"]

_PAGE: Final = 1_000


class Contents:
    """The passages of all stores."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._book = shelf.book

    async def passages(self, store: str, file_id: str, caller: Caller) -> Sequence[str]:
        """The texts of a file's passages, in their order."""
        collection, known = await self._shelf.open(store, caller)
        file = self._book.file(known.scope, store, file_id)
        records = await _scanned(
            collection, file_id if file is None else document_of(file.file_id, file.filename)
        )
        if file is None and not records:
            raise NotFoundError(f"{store} has no file {file_id[:80]!r}")
        return [record.text for record in sorted(records, key=lambda each: each.position)]

    async def search(
        self, store: str, questions: Questions, caller: Caller
    ) -> Sequence[tuple[Cited, StoreFile | None]]:
        """The best passages, each with the file that it is of."""
        collection, known = await self._shelf.open(store, caller)
        self._shelf.refuse_expired(known)
        found: dict[str, Cited] = {}
        rankings = []
        for text in questions.texts:
            recall = Recall(text=text, limit=questions.limit, where=questions.where)
            passages = (await self._shelf.memory.recall(store, recall, caller)).passages
            rankings.append([passage.id for passage in passages])
            found |= {passage.id: passage for passage in passages}
        self._shelf.used(known)
        best = [key for key, _ in fused(rankings)][: questions.limit]
        alike = await _likeness(collection, questions.texts, best)
        given = [
            msgspec.structs.replace(found[key], score=alike[key])
            for key in best
            if alike[key] >= questions.score_min
        ]
        ids = {file_in(passage.document)[0] for passage in given}
        files = self._book.names(known.scope, store, ids)
        return [_with_file(passage, files.get(file_in(passage.document)[0])) for passage in given]


def _with_file(passage: Cited, file: StoreFile | None) -> tuple[Cited, StoreFile | None]:
    if file is None:
        return passage, None
    return msgspec.structs.replace(passage, document=file.file_id), file


async def _scanned(collection: OpenCollection, document: str) -> list[Record]:
    records: list[Record] = []
    after = ""
    while len(records) < STORE_PASSAGES_SHOWN_MAX:
        scan = Scan(where=passages_of(document), after=after, limit=_PAGE)
        page = await collection.scan(scan)
        records += page.records
        after = page.next
        if not after:
            break
    return records


async def _likeness(
    collection: OpenCollection, texts: Sequence[str], ids: Sequence[str]
) -> dict[str, float]:
    """How alike each passage is to the question that it is most like, from 0 to 1."""
    spec = collection.spec
    field = next((field for field in spec.vectors if not field.name), None)
    if field is None or spec.embedding is None or not ids:
        # Found by words alone: what is said is the place.
        return {key: 1.0 - place / len(ids) for place, key in enumerate(ids)}
    alike = dict.fromkeys(ids, 0.0)
    for text in texts:
        search = Search(query=Like(text), where=Ids(tuple(ids)), limit=len(ids), with_content=False)
        for hit in (await collection.search(search)).hits:
            alike[hit.record.id] = max(alike[hit.record.id], _share(field, hit.score))
    return alike


def _share(field: VectorField, score: float) -> float:
    """A score of a collection as one from 0 to 1."""
    if field.metric is Metric.L2:
        return 1.0 / (1.0 - min(score, 0.0))
    return min(max(score, 0.0), 1.0)
