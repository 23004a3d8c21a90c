"""Vectors of an index: written, fetched, listed and found, each in its namespace.

Scores are Pinecone's: cosine and dot product as they are, of Euclidean distance the square.

A query of the default namespace is first asked of the whole collection. Most have no other
namespaces, and where nothing of another is among the best, they are the best of this one too. If
something is, it is asked again with a filter.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Final

import msgspec

from littoral.memory.filters import both
from littoral.terms.collections import OpenCollection
from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.filters import Filter, Ids
from littoral.terms.memory import (
    Delete,
    DeleteWhere,
    Hit,
    Metric,
    Nearest,
    Patch,
    Query,
    Record,
    Scan,
    Search,
    Sparse,
    SparseNearest,
    Upsert,
    Write,
)
from littoral.web.contents import contents_of
from littoral.web.packing import packed, unpacked
from littoral.web.pinecone import bodies
from littoral.web.pinecone.filters import filter_of
from littoral.web.pinecone.indexes import Index
from littoral.web.pinecone.namespaces import FIELD, Namespace, named

__all__ = ["deleted", "fetched", "found", "listed", "matching", "updated", "upserted"]

_PAGE: Final = 100
_USED: Final = bodies.Usage(1)


async def upserted(opened: OpenCollection, body: bodies.Upsert) -> bodies.Upserted:
    """Keep vectors, each whole."""
    index, namespace = Index.of(opened.spec), named(body.namespace)
    if not body.vectors:
        raise BadRequestError("there are no vectors to keep", param="vectors")
    records = tuple(_record(index, namespace, vector) for vector in body.vectors)
    await opened.apply([Upsert(records)])
    return bodies.Upserted(len(records))


async def updated(opened: OpenCollection, body: bodies.Update) -> bodies.Updated:
    """Change parts of one vector, or the metadata of all that match."""
    index, namespace = Index.of(opened.spec), named(body.namespace)
    if (body.id is None) == (body.filter is None):
        raise BadRequestError("an update names an id or a filter", param="id")
    metadata = namespace.marked(body.set_metadata) if body.set_metadata else {}
    if body.id is not None:
        where: Filter = Ids((namespace.record_id(body.id),))
    else:
        if body.values is not None or body.sparse_values is not None:
            raise BadRequestError("a filter updates metadata alone", param="filter")
        where = _both(namespace, _no_empty(body.filter, "update"))
    if body.dry_run:
        return bodies.Updated(await opened.count(where))
    dense, sparse = _vectors(index, body.values, body.sparse_values)
    patch = Patch(where=where, metadata=metadata, vectors=dense, sparse=sparse)
    return bodies.Updated((await opened.apply([patch])).changed)


async def deleted(opened: OpenCollection, body: bodies.Delete) -> None:
    """Forget vectors by their ids, all that match, or all of the namespace."""
    namespace = named(body.namespace)
    if sum((body.ids is not None, body.delete_all, body.filter is not None)) != 1:
        raise BadRequestError("a deletion names ids, a filter, or all", param="ids")
    write: Write
    if body.ids is not None:
        write = Delete(tuple(namespace.record_id(each) for each in body.ids))
    elif body.filter is not None:
        write = DeleteWhere(_both(namespace, _no_empty(body.filter, "delete")))
    else:
        write = DeleteWhere(namespace.where)
    await opened.apply([write])


async def fetched(
    opened: OpenCollection, ids: Sequence[str], namespace_name: str
) -> bodies.Fetched:
    """Vectors by their ids; those that are not there are left out."""
    namespace = named(namespace_name)
    wanted = [namespace.record_id(each) for each in dict.fromkeys(ids)]
    records = await opened.fetch(wanted, with_vectors=True)
    index = Index.of(opened.spec)
    vectors = [_shown(index, namespace, record, metadata=True) for record in records]
    return bodies.Fetched({each.id: each for each in vectors}, namespace_name, _USED)


async def matching(opened: OpenCollection, body: bodies.FetchMatching) -> bodies.FetchedPage:
    """A page of the vectors that match, in the order of their ids."""
    namespace = named(body.namespace)
    where = _no_empty(body.filter, "fetch")
    if namespace.name:
        where = _both(namespace, where)
    after = _after(namespace, body.pagination_token, "")
    limit = body.limit or _PAGE
    page = await opened.scan(Scan(where=where, after=after, limit=limit, with_vectors=True))
    index = Index.of(opened.spec)
    vectors = [_shown(index, namespace, record, metadata=True) for record in page.records]
    return bodies.FetchedPage(
        {each.id: each for each in vectors}, namespace.name, _USED, _following(page.next)
    )


async def listed(
    opened: OpenCollection, namespace_name: str, prefix: str, limit: int, token: str | None
) -> bodies.Listed:
    """A page of the ids that begin so, in their order."""
    namespace = named(namespace_name)
    after = _after(namespace, token, prefix)
    page = await opened.scan(Scan(after=after, limit=limit))
    ids = [record.id for record in page.records if namespace.has(record.id)]
    kept = [each for each in map(namespace.vector_id, ids) if each.startswith(prefix)]
    ended = len(kept) < len(page.records)
    following = None if ended else _following(page.next)
    return bodies.Listed([bodies.Id(each) for each in kept], namespace_name, _USED, following)


async def found(opened: OpenCollection, body: bodies.Query) -> bodies.Found:
    """The nearest vectors, best first."""
    index, namespace = Index.of(opened.spec), named(body.namespace)
    query = await _query(opened, index, namespace, body)
    if query is None:
        return bodies.Found([], body.namespace, _USED)
    where = filter_of(body.filter)
    search = Search(
        query=query,
        limit=body.top_k,
        where=both(where, namespace.where) if namespace.name else where,
        with_vectors=body.include_values,
        with_content=body.include_metadata or body.include_values,  # sparse values come with it
    )
    hits = (await opened.search(search)).hits
    if not all(namespace.has(hit.record.id) for hit in hits):
        search = msgspec.structs.replace(search, where=both(where, namespace.where))
        hits = (await opened.search(search)).hits
    squared = isinstance(query, Nearest) and _is_euclidean(index)
    matches = [_match(index, namespace, hit, body, squared=squared) for hit in hits]
    return bodies.Found(matches, body.namespace, _USED)


async def _query(
    opened: OpenCollection, index: Index, namespace: Namespace, body: bodies.Query
) -> Query | None:
    """What is looked for; None where it is like a vector that is not there."""
    if body.id is not None:
        if body.vector or body.sparse_vector is not None:
            raise BadRequestError("a query names an id or a vector", param="id")
        records = await opened.fetch([namespace.record_id(body.id)], with_vectors=True)
        return _alike(index, records[0]) if records else None
    sparse = body.sparse_vector
    if sparse is not None and sparse.indices:
        if body.vector:
            raise UnsupportedError(
                "dense and sparse scores are not added up here",
                advice="query by one of the two, or fuse their ranks through /v1/memory",
                param="sparseVector",
            )
        return SparseNearest(_sparse(sparse), _sparse_name(index))
    if body.vector is None:
        raise BadRequestError("a query names a vector or an id", param="vector")
    return Nearest(packed(body.vector), _dense_name(index))


def _alike(index: Index, record: Record) -> Query | None:
    if index.dense is not None:
        dense = record.vectors.get(index.dense.name)
        return None if dense is None else Nearest(dense, index.dense.name)
    sparse = record.sparse.get(_sparse_name(index))
    return None if sparse is None else SparseNearest(sparse, _sparse_name(index))


def _record(index: Index, namespace: Namespace, vector: bodies.Vector) -> Record:
    dense, sparse = _vectors(index, vector.values or None, vector.sparse_values)
    if not dense and not sparse:
        raise BadRequestError(f"{vector.id[:40]!r} has no values", param="values")
    metadata = namespace.marked(vector.metadata or {})
    return Record(
        id=namespace.record_id(vector.id), vectors=dense, sparse=sparse, metadata=metadata
    )


def _vectors(
    index: Index, values: list[object] | None, sparse: bodies.SparseValues | None
) -> tuple[dict[str, bytes], dict[str, Sparse]]:
    return (
        {} if values is None else {_dense_name(index): packed(values)},
        {} if sparse is None else {_sparse_name(index): _sparse(sparse)},
    )


def _dense_name(index: Index) -> str:
    if index.dense is None:
        raise BadRequestError("the index keeps sparse vectors alone", param="values")
    return index.dense.name


def _sparse_name(index: Index) -> str:
    if index.sparse is None:
        raise BadRequestError(
            "the index keeps no sparse vectors",
            advice="make it with the metric dotproduct, or with sparse vectors alone",
            param="sparseValues",
        )
    return index.sparse


def _sparse(said: bodies.SparseValues) -> Sparse:
    if len(said.indices) != len(said.values):
        raise BadRequestError("a sparse vector must have as many values as indices")
    return Sparse(tuple(said.indices), tuple(said.values))


def _shown(index: Index, namespace: Namespace, record: Record, *, metadata: bool) -> bodies.Shown:
    dense = record.vectors.get(index.dense.name) if index.dense is not None else None
    sparse = record.sparse.get(index.sparse) if index.sparse is not None else None
    return bodies.Shown(
        namespace.vector_id(record.id),
        [] if dense is None else unpacked(dense),
        None if sparse is None else bodies.SparseValues([*sparse.indices], [*sparse.values]),
        _metadata(record) if metadata else None,
    )


def _match(
    index: Index, namespace: Namespace, hit: Hit, body: bodies.Query, *, squared: bool
) -> bodies.Match:
    shown = _shown(index, namespace, hit.record, metadata=body.include_metadata)
    score = -hit.score if squared else hit.score
    return bodies.Match(shown.id, score, shown.values, shown.sparse_values, shown.metadata)


def _metadata(record: Record) -> dict[str, object] | None:
    return {name: each for name, each in contents_of(record).items() if name != FIELD} or None


def _is_euclidean(index: Index) -> bool:
    return index.dense is not None and index.dense.metric is Metric.L2


def _both(namespace: Namespace, where: Filter) -> Filter:
    joined = both(where, namespace.where)
    assert joined is not None
    return joined


def _no_empty(said: dict[str, object] | None, what: str) -> Filter:
    where = filter_of(said)
    if where is None:
        raise BadRequestError(
            f"{what} with an empty metadata filter is not allowed", param="filter"
        )
    return where


def _following(record_id: str) -> bodies.Next | None:
    if not record_id:
        return None
    return bodies.Next(urlsafe_b64encode(record_id.encode()).decode())


def _after(namespace: Namespace, token: str | None, prefix: str) -> str:
    if not token:
        return namespace.after(prefix)
    try:
        record_id = urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        record_id = ""
    if not record_id or not namespace.has(record_id):
        raise BadRequestError(
            "the pagination token is none of this listing", param="paginationToken"
        )
    return record_id
