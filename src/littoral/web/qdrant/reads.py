"""What Qdrant's clients read: points by ids, in order, counted, and found by queries.

Groups are made of what a search finds, which is widened until they are full or nothing is left.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from littoral.memory.filters import values_at
from littoral.terms.collections import OpenCollection
from littoral.terms.errors import BadRequestError
from littoral.terms.filters import Has
from littoral.terms.limits import FETCHED_IDS_MAX
from littoral.terms.memory import CollectionSpec, Hit, Record, Scan
from littoral.web.order import before
from littoral.web.qdrant import bodies
from littoral.web.qdrant.filters import filter_of, key_of_path
from littoral.web.qdrant.ids import point_id, record_id
from littoral.web.qdrant.payloads import Chosen
from littoral.web.qdrant.queries import Searched, Wanted
from littoral.web.qdrant.vectors import as_shown

__all__ = [
    "Group",
    "PointShown",
    "Scored",
    "Scrolled",
    "counted",
    "grouped",
    "queried",
    "query_of",
    "retrieved",
    "scrolled",
]

_LIMIT: Final = 10
_FOUND_MAX: Final = 10_000
_WIDER: Final = 4


class PointShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """One point."""

    id: int | str
    payload: object = None
    vector: object = None


class Scored(msgspec.Struct, frozen=True, omit_defaults=True):
    """One point that was found."""

    id: int | str
    version: int
    score: float
    payload: object = None
    vector: object = None


class Scrolled(msgspec.Struct, frozen=True):
    """A part of all points."""

    points: list[PointShown]
    next_page_offset: int | str | None


class Group(msgspec.Struct, frozen=True):
    """Points that have one value in common."""

    id: int | str
    hits: list[Scored]


async def retrieved(opened: OpenCollection, body: bodies.Retrieve) -> list[PointShown]:
    """Points by their ids, in the order asked for."""
    if len(body.ids) > FETCHED_IDS_MAX:
        raise BadRequestError(
            f"{len(body.ids)} ids are asked for", advice=f"at most {FETCHED_IDS_MAX} at once"
        )
    ids = [record_id(point) for point in body.ids]
    found = await opened.fetch(ids, with_vectors=bool(body.with_vector))
    chosen = Chosen(body.with_payload is None or body.with_payload)
    return [_shown(opened.spec, record, chosen, body.with_vector) for record in found]


async def scrolled(opened: OpenCollection, body: bodies.Scroll) -> Scrolled:
    """Points in the order of their ids, from one of them on."""
    limit = body.limit or _LIMIT
    chosen = Chosen(body.with_payload is None or body.with_payload)
    records, following = await _part(opened, body, limit)
    points = [_shown(opened.spec, record, chosen, body.with_vector) for record in records]
    return Scrolled(points, None if following is None else point_id(following))


async def counted(opened: OpenCollection, body: bodies.Count) -> int:
    """How many there are, or match."""
    return await opened.count(filter_of(body.filter))


async def queried(opened: OpenCollection, body: bodies.Query) -> list[Scored]:
    """What a query finds, best first."""
    chosen, limit, offset = Chosen(body.with_payload), body.limit or _LIMIT, body.offset or 0
    with_vectors = bool(body.with_vector)
    with_content = chosen.any or with_vectors  # sparse vectors come with the content alone
    wanted = Wanted(limit=limit, offset=offset, vectors=with_vectors, content=with_content)
    hits = await Searched(opened).hits(body, wanted)
    if hits is None:
        scan = bodies.Scroll(filter=body.filter, with_vector=body.with_vector)
        records, _ = await _part(opened, scan, min(limit + offset, _FOUND_MAX))
        hits = [Hit(record, 1.0) for record in records[offset:]]
    return [_scored(opened.spec, hit, chosen, body.with_vector) for hit in hits]


def query_of(body: bodies.Search) -> bodies.Query:
    """What the old way of asking asks for."""
    vector, using = body.vector, None
    if isinstance(vector, dict) and isinstance(name := vector.get("name"), str):
        vector, using = vector.get("vector"), name
    if vector is None or isinstance(vector, int | str):
        raise BadRequestError("`vector` is no vector", param="vector")
    return bodies.Query(
        query=vector,
        using=using,
        filter=body.filter,
        params=body.params,
        limit=body.limit,
        offset=body.offset,
        score_threshold=body.score_threshold,
        with_payload=body.with_payload,
        with_vector=body.with_vector,
    )


async def grouped(opened: OpenCollection, body: bodies.GroupQuery) -> list[Group]:
    """The best groups of points, and the best points of each."""
    chosen, limit, size = Chosen(body.with_payload), body.limit or _LIMIT, body.group_size
    field = key_of_path(body.group_by)
    searched, looked_at = Searched(opened), limit * size * _WIDER
    while True:
        looked_at = min(looked_at, _FOUND_MAX)
        wanted = Wanted(limit=looked_at, vectors=bool(body.with_vector))
        hits = await searched.hits(body, wanted, Has(field))
        if hits is None:
            raise BadRequestError("groups need a query", param="query")
        groups = _groups(hits, field, limit, size)
        full = len(groups) == limit and all(len(group) == size for group in groups.values())
        if full or len(hits) < looked_at or looked_at == _FOUND_MAX:
            break
        looked_at *= _WIDER
    return [
        Group(key, [_scored(opened.spec, hit, chosen, body.with_vector) for hit in group])
        for key, group in groups.items()
    ]


async def _part(
    opened: OpenCollection, body: bodies.Scroll, limit: int
) -> tuple[Sequence[Record], str | None]:
    """So many records, and the id of the one that follows."""
    where = filter_of(body.filter)
    after = "" if body.offset is None else before(record_id(body.offset))
    vectors = bool(body.with_vector)
    scan = Scan(where=where, after=after, limit=limit, with_vectors=vectors)
    page = await opened.scan(scan)
    if not page.next:
        return page.records, None
    following = (await opened.scan(Scan(where=where, after=page.next, limit=1))).records
    return page.records, following[0].id if following else None


def _groups(hits: Sequence[Hit], field: str, limit: int, size: int) -> dict[int | str, list[Hit]]:
    groups: dict[int | str, list[Hit]] = {}
    for hit in hits:
        for key in _keys(hit.record, field):
            if key not in groups and len(groups) == limit:
                continue
            group = groups.setdefault(key, [])
            if len(group) < size:
                group.append(hit)
    return groups


def _keys(record: Record, field: str) -> Sequence[int | str]:
    """The groups that a record is in: none, where one of its values can't name a group."""
    keys: dict[int | str, None] = {}
    for value in values_at(record, field):
        if isinstance(value, bool) or not isinstance(value, int | str):
            return ()
        keys[value] = None
    return tuple(keys)


def _shown(
    spec: CollectionSpec, record: Record, chosen: Chosen, vectors: bool | list[str] | None
) -> PointShown:
    vector = as_shown(spec, record, vectors)
    return PointShown(point_id(record.id), chosen.of(record), vector)


def _scored(
    spec: CollectionSpec, hit: Hit, chosen: Chosen, vectors: bool | list[str] | None
) -> Scored:
    record = hit.record
    vector = as_shown(spec, record, vectors) if vectors else None
    return Scored(point_id(record.id), 0, hit.score, chosen.of(record), vector)
