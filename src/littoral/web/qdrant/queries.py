"""Qdrant's queries as searches of a collection.

A query is one search where it can be: a fusion's prefetches become its branches. Where a query
chooses from what others have found, those are searched first, and their ids are what it may choose
from.

Rules
- The filter of a query holds for all its prefetches too.
- Points that a query names as examples are not among its answers.
- Scores by Euclidean distance are distances, the lowest first.
- Qdrant counts ranks from 0, and collections from 1: its `k` is one more than theirs.

What is not done is refused by its name.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec

from littoral.memory.checking import field_named
from littoral.memory.filters import both
from littoral.terms.collections import OpenCollection
from littoral.terms.errors import BadRequestError, NotFoundError, UnsupportedError
from littoral.terms.filters import Filter, Ids, Not
from littoral.terms.limits import PREFETCHES_MAX
from littoral.terms.memory import (
    Branch,
    Fused,
    Hit,
    Like,
    Metric,
    Nearest,
    Record,
    Search,
    SparseNearest,
    Words,
)
from littoral.terms.memory import Query as Asked
from littoral.web.dialects.reading import checked
from littoral.web.packing import normalised, packed, unpacked
from littoral.web.qdrant.bodies import PointId, Prefetch
from littoral.web.qdrant.filters import filter_of
from littoral.web.qdrant.ids import point_id, record_id
from littoral.web.qdrant.vectors import dense_of, field_of, sparse_of

__all__ = ["Searched", "Wanted"]

_LIMIT: Final = 10
_K: Final = 2
_REFUSED: Final = (
    *("mmr", "discover", "context", "order_by", "formula", "sample", "relevance_feedback"),
    *("image", "object"),
)


class _Nearest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nearest: object
    mmr: None = None


class _Fusion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fusion: str


class _Ranks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    k: int | None = None
    weights: None = None


class _Rrf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rrf: _Ranks


class _Examples(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    positive: list[PointId | list[float]] | None = None
    negative: list[PointId | list[float]] | None = None
    strategy: Literal["average_vector"] | None = None


class _Planned(msgspec.Struct, frozen=True):
    query: Asked | None
    """None is a query for any points, in the order of their ids."""
    where: Filter | None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """How much of what is found is wanted."""

    limit: int
    offset: int = 0
    vectors: bool = False
    content: bool = True


class Searched:
    """A collection, asked in Qdrant's words."""

    def __init__(self, opened: OpenCollection) -> None:
        self._opened = opened
        self._spec = opened.spec

    async def hits(
        self, asked: Prefetch, wanted: Wanted, also: Filter | None = None
    ) -> Sequence[Hit] | None:
        """What a query finds, with Qdrant's scores, best first.

        None where it asks for any points in the order of their ids: that is a scroll.

        Args:
            asked: the query.
            wanted: how much of what it finds.
            also: what must hold beside its own filter.
        """
        if sum(1 for _ in _below(asked)) > PREFETCHES_MAX:
            raise BadRequestError(
                f"a query has at most {PREFETCHES_MAX} prefetches, all levels together",
                param="prefetch",
            )
        planned = await self._planned(asked, also)
        if planned.query is None:
            return None
        where = both(planned.where, also)
        return await self._found(planned.query, where, asked.score_threshold, wanted)

    async def _found(
        self, query: Asked, where: Filter | None, threshold: float | None, wanted: Wanted
    ) -> Sequence[Hit]:
        apart = self._is_distance(query)
        search = Search(
            query=query,
            limit=wanted.limit,
            offset=wanted.offset,
            where=where,
            score_min=_score_min(threshold) if apart else threshold,
            with_vectors=wanted.vectors,
            with_content=wanted.content,
        )
        hits = (await self._opened.search(search)).hits
        if not apart:
            return hits
        return [Hit(hit.record, math.sqrt(max(0.0, -hit.score))) for hit in hits]

    def _is_distance(self, query: Asked) -> bool:
        match query:
            case Nearest(field=name) | Like(field=name):
                return field_named(self._spec, name).metric is Metric.L2
            case _:
                return False

    async def _planned(self, asked: Prefetch, outer: Filter | None) -> _Planned:
        where = filter_of(asked.filter)
        inner = both(outer, where)
        prefetches = _listed(asked)
        k = _fusion(asked.query)
        if k is not None:
            if not prefetches:
                raise BadRequestError("a fusion needs prefetches to fuse", param="query")
            branches = [await self._branch(each, inner) for each in prefetches]
            return _Planned(Fused(tuple(branches), k), where)
        planned = await self._plain(asked, where)
        if not prefetches:
            return planned
        if planned.query is None:
            raise BadRequestError("prefetches need a query that chooses from them", param="query")
        ids: dict[str, None] = {}
        for each in prefetches:
            ids.update(dict.fromkeys(await self._ids(each, inner)))
        return _Planned(planned.query, both(planned.where, Ids(tuple(ids))))

    async def _branch(self, asked: Prefetch, outer: Filter | None) -> Branch:
        planned = await self._planned(asked, outer)
        if planned.query is None:
            raise UnsupportedError("a prefetch without a query is not supported", param="prefetch")
        limit, where = asked.limit or _LIMIT, planned.where
        if asked.score_threshold is not None:
            among, wanted = both(where, outer), Wanted(limit=limit, content=False)
            hits = await self._found(planned.query, among, asked.score_threshold, wanted)
            where = both(where, Ids(tuple(hit.record.id for hit in hits)))
        return Branch(planned.query, limit, where)

    async def _ids(self, asked: Prefetch, outer: Filter | None) -> list[str]:
        wanted = Wanted(limit=asked.limit or _LIMIT, content=False)
        hits = await self.hits(asked, wanted, outer)
        if hits is None:
            raise UnsupportedError("a prefetch without a query is not supported", param="prefetch")
        return [hit.record.id for hit in hits]

    async def _plain(self, asked: Prefetch, where: Filter | None) -> _Planned:
        said, name = asked.query, asked.using or ""
        if isinstance(said, dict) and "nearest" in said:
            if said.get("mmr") is not None:
                raise _refused("mmr")
            said = checked(said, _Nearest).nearest
        if said is None:
            return _Planned(None, where)
        if isinstance(said, dict) and "recommend" in said:
            return await self._recommended(said["recommend"], name, where)
        if isinstance(said, int | str):
            return _Planned(await self._alike(said, name), both(where, _others([said])))
        exact = asked.params is not None and bool(asked.params.exact)
        return _Planned(self._direct(said, name, exact=exact), where)

    def _direct(self, said: object, name: str, *, exact: bool) -> Asked:
        """A query that says what it looks for itself."""
        if not isinstance(said, dict):
            return Nearest(dense_of(field_named(self._spec, name), said), name, exact)
        if isinstance(text := said.get("text"), str):
            return Words(text) if name == "$text" else Like(text, name)
        if "indices" in said:
            return SparseNearest(sparse_of(said), name)
        for refused in _REFUSED:
            if refused in said:
                raise _refused(refused)
        raise BadRequestError("the query has none of the forms that are known", param="query")

    async def _alike(self, point: PointId, name: str) -> Asked:
        """A query for what is near a point that is there."""
        (record,) = await self._examples([point])
        if field_of(self._spec, name) is None:
            sparse = record.sparse.get(name)
            if sparse is not None:
                return SparseNearest(sparse, name)
        elif name in record.vectors:
            return Nearest(record.vectors[name], name)
        raise NotFoundError(f"point {point} has no vector named {name[:80]!r}")

    async def _examples(self, points: Sequence[PointId]) -> list[Record]:
        ids = [record_id(point) for point in points]
        found = {record.id: record for record in await self._opened.fetch(ids, with_vectors=True)}
        for each in ids:
            if each not in found:
                raise NotFoundError(
                    f"no point with id {point_id(each)} found", advice="name one that is there"
                )
        return [found[each] for each in ids]

    async def _recommended(self, said: object, name: str, where: Filter | None) -> _Planned:
        """Near the mean of what is liked, and away from the mean of what is not."""
        if not isinstance(said, dict):
            raise BadRequestError("`recommend` is no object", param="query")
        examples = checked(said, _Examples)
        field = field_of(self._spec, name)
        if field is None or field.multi or not examples.positive:
            raise UnsupportedError(
                "recommendations need a positive example and a dense vector", param="query"
            )
        named = [
            each
            for each in [*examples.positive, *(examples.negative or ())]
            if not isinstance(each, list)
        ]
        records = {record.id: record for record in await self._examples(named)}

        def numbers(example: PointId | list[float]) -> list[float]:
            if isinstance(example, list):
                return example
            vector = records[record_id(example)].vectors.get(name)
            if vector is None:
                raise NotFoundError(f"point {example} has no vector named {name[:80]!r}")
            kept = unpacked(vector)
            return normalised(kept) if field.metric is Metric.COSINE else kept

        liked = _mean([numbers(each) for each in examples.positive])
        if examples.negative:
            disliked = _mean([numbers(each) for each in examples.negative])
            liked = [2 * one - other for one, other in zip(liked, disliked, strict=True)]
        return _Planned(Nearest(packed(liked), name), both(where, _others(named)))


def _listed(asked: Prefetch) -> Sequence[Prefetch]:
    match asked.prefetch:
        case None:
            return ()
        case Prefetch() as one:
            return (one,)
        case several:
            return several


def _below(asked: Prefetch) -> Iterator[Prefetch]:
    for each in _listed(asked):
        yield each
        yield from _below(each)


def _fusion(said: object) -> int | None:
    """The constant of a fusion by ranks, as collections say it; None where it is no fusion."""
    if not isinstance(said, dict):
        return None
    if "fusion" in said:
        name = checked(said, _Fusion).fusion
        if name != "rrf":
            raise UnsupportedError(
                f"fusion by {name[:40]} is not supported", advice="fuse by rrf", param="query"
            )
        return _K - 1
    if "rrf" in said:
        k = checked(said, _Rrf).rrf.k
        if k is not None and k < 1:
            raise BadRequestError("the constant of rrf is at least 1", param="query.rrf.k")
        return (_K if k is None else k) - 1
    return None


def _score_min(threshold: float | None) -> float | None:
    """The least score for a distance of at most so much; scores of distances are 0 at most."""
    if threshold is None:
        return None
    return -(threshold * threshold) if threshold >= 0 else 1.0


def _others(points: Sequence[PointId]) -> Filter | None:
    ids = tuple(record_id(point) for point in points)
    return Not(Ids(ids)) if ids else None


def _mean(rows: Sequence[Sequence[float]]) -> list[float]:
    if len({len(row) for row in rows}) > 1:
        raise BadRequestError("the examples are of different lengths", param="query")
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def _refused(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"queries by {what} are not supported here",
        advice="docs/memory-apis.md says which are",
        param="query",
    )
