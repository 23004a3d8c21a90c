"""Which of Pinecone's paths is answered by what.

The control plane is at the root, as on its own servers; a client is given it as its `host`. The
data plane of an index is below `/pinecone/NAME/`, which is the host that the index says it has.
Every write is seen by the next request.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar
from urllib.parse import parse_qs, unquote

import msgspec

from littoral.terms.collections import Memory, OpenCollection
from littoral.terms.errors import BadRequestError, NotFoundError, UnsupportedError
from littoral.terms.limits import FETCHED_IDS_MAX, NAMESPACES_MAX
from littoral.terms.memory import DeleteWhere
from littoral.terms.values import Caller
from littoral.web.dialects.reading import decoded
from littoral.web.health import send_json
from littoral.web.http import Request, Responder
from littoral.web.memory.asked import Asked
from littoral.web.pinecone import bodies, vectors
from littoral.web.pinecone.filters import filter_of
from littoral.web.pinecone.indexes import Create, Index, shown_as, spec_of
from littoral.web.pinecone.namespaces import DEFAULT, Namespace, named, namespaces_of
from littoral.web.refusals import INDEXES, PINECONE, PINECONE_NAMED
from littoral.web.routes import Route

__all__ = ["pinecone_routes"]

Body = TypeVar("Body", bound=msgspec.Struct)

_LIST_MAX: Final = 100


_Serve = Callable[[Asked], Awaitable[object]]


def pinecone_routes(memory: Memory) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""

    async def list_all(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        shown = {each.spec.name: each.spec for each in await memory.collections(caller)}
        indexes = [shown_as(spec, _host(request, name)) for name, spec in sorted(shown.items())]
        await send_json(responder, 200, {"indexes": indexes})

    async def create(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        shown = await memory.create(spec_of(decoded(request.body, _CREATE)), caller)
        host = _host(request, shown.spec.name)
        await send_json(responder, 201, shown_as(shown.spec, host))

    async def show(request: Request, responder: Responder, caller: Caller, name: str) -> None:
        spec = (await memory.open(name, caller)).spec
        await send_json(responder, 200, shown_as(spec, _host(request, name)))

    async def drop(_: Request, responder: Responder, caller: Caller, name: str) -> None:
        await memory.drop(name, caller)
        await send_json(responder, 202, {})

    async def refuse(_: Request, __: Responder, ___: Caller, name: str) -> None:
        raise UnsupportedError(
            f"{name[:80]} is not changed after it was made",
            advice="make another index, and move the vectors",
        )

    async def below(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        name, what = _parts(request)
        serve, last = _served(request.method, what)
        answer = await serve(Asked(request, memory, caller, name, last))
        await send_json(responder, 200, answer)

    plane = dict.fromkeys(("GET", "POST", "DELETE"), Route(below))
    return {
        INDEXES: {"GET": Route(list_all), "POST": Route(create)},
        f"{INDEXES}/": {
            "GET": Route(show),
            "DELETE": Route(drop),
            "PATCH": Route(refuse),
            "POST": Route(refuse),
        },
        PINECONE: plane,
        PINECONE_NAMED: plane,
    }


def _host(request: Request, name: str) -> str:
    """Where an index is, in the words by which the client has found the PoP."""
    scheme = "https" if request.secure else "http"
    host = request.headers.get("host", "localhost")
    accepted = "." in host or "localhost" in host.lower()
    return f"{scheme}://{host}{PINECONE if accepted else PINECONE_NAMED}{name}"


def _parts(request: Request) -> tuple[str, list[str]]:
    """The name of the index and what comes after it; a namespace may hold a `/`, escaped."""
    path = request.escaped or request.path
    _, _, name, *what = path.split("/")
    return unquote(name), [unquote(part) for part in what]


def _served(method: str, what: list[str]) -> tuple[_Serve, str]:
    """What answers, and what the end of the path names."""
    serve = _SERVED.get((method, "/".join(what)))
    if serve is not None:
        return serve, ""
    serve = _SERVED.get((method, "/".join([*what[:-1], "*"])))
    if serve is not None:
        return serve, what[-1]
    if what and what[0] in {"records", "bulk", "documents"}:
        raise UnsupportedError(
            f"{what[0]} of Pinecone's API are not served here",
            advice="send vectors; texts are embedded through /v1/memory",
        )
    raise NotFoundError(
        f"{method} {'/'.join(what)[:80]} is not served",
        advice="docs/memory-apis.md says what of Pinecone's API is",
    )


async def _upsert(asked: Asked) -> object:
    body = asked.body(_UPSERT)
    return await vectors.upserted(await asked.opened(), body)


async def _update(asked: Asked) -> object:
    body = asked.body(_UPDATE)
    return await vectors.updated(await asked.opened(), body)


async def _delete(asked: Asked) -> object:
    body = asked.body(_DELETE)
    await vectors.deleted(await asked.opened(), body)
    return {}


async def _query(asked: Asked) -> object:
    body = asked.body(_QUERY)
    return await vectors.found(await asked.opened(), body)


async def _fetch(asked: Asked) -> object:
    said = _parameters(asked.request)
    ids = said.get("ids", [])
    if not ids:
        raise BadRequestError("no ids are asked for", param="ids")
    return await vectors.fetched(await asked.opened(), ids, _one(said, "namespace"))


async def _fetch_matching(asked: Asked) -> object:
    body = asked.body(_MATCHING)
    return await vectors.matching(await asked.opened(), body)


async def _list(asked: Asked) -> object:
    said = _parameters(asked.request)
    return await vectors.listed(
        await asked.opened(),
        _one(said, "namespace"),
        _one(said, "prefix"),
        _limit(said),
        _one(said, "paginationToken"),
    )


async def _stats(asked: Asked) -> object:
    where = filter_of(asked.body(_STATS).filter)
    opened = await asked.opened()
    index = Index.of(opened.spec)
    counts: dict[str, object] = {}
    total = 0
    async for namespace in namespaces_of(opened):
        if len(counts) == NAMESPACES_MAX:
            raise UnsupportedError(
                f"the index has over {NAMESPACES_MAX} namespaces, too many to count at once",
                advice="list them, page by page",
            )
        count = await namespace.count(opened, where)
        counts[namespace.name or DEFAULT] = {"vectorCount": count}
        total += count
    shown = shown_as(opened.spec, "")
    return {
        "namespaces": counts,
        "dimension": None if index.dense is None else index.dense.dimensions,
        "indexFullness": 0.0,
        "totalVectorCount": total,
        "metric": shown["metric"],
        "vectorType": shown["vector_type"],
    }


async def _namespaces(asked: Asked) -> object:
    said = _parameters(asked.request)
    opened, limit, token = await asked.opened(), _limit(said), _one(said, "paginationToken")
    prefix = _one(said, "prefix")
    page = [each async for each in _first(namespaces_of(opened, prefix, token), limit + 1)]
    shown = [await _described(opened, each) for each in page[:limit]]
    every = [each async for each in _first(namespaces_of(opened, prefix), NAMESPACES_MAX)]
    more = {"pagination": {"next": shown[-1]["name"]}} if len(page) > limit else {}
    return {"namespaces": shown, "total_count": len(every), **more}


async def _first(namespaces: AsyncIterator[Namespace], most: int) -> AsyncIterator[Namespace]:
    count = 0
    async for each in namespaces:
        yield each
        count += 1
        if count == most:
            return


async def _namespace(asked: Asked) -> object:
    shown = await _described(await asked.opened(), named(asked.last))
    if not shown["record_count"]:
        raise NotFoundError(f"the index has no namespace {asked.last[:80]!r}")
    return shown


async def _drop_namespace(asked: Asked) -> object:
    opened = await asked.opened()
    if not (await opened.apply([DeleteWhere(named(asked.last).where)])).changed:
        raise NotFoundError(f"the index has no namespace {asked.last[:80]!r}")
    return {}


async def _no_namespace(_: Asked) -> object:
    raise UnsupportedError(
        "a namespace is there from its first vector on", advice="upsert one into it"
    )


async def _described(opened: OpenCollection, namespace: Namespace) -> dict[str, object]:
    count = await namespace.count(opened)
    return {"name": namespace.name or DEFAULT, "record_count": count}


def _one(said: dict[str, list[str]], name: str) -> str:
    return said.get(name, [""])[-1]


def _limit(said: dict[str, list[str]]) -> int:
    limit = _one(said, "limit") or str(_LIST_MAX)
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= _LIST_MAX):
        raise BadRequestError(f"a page has 1 to {_LIST_MAX} entries", param="limit")
    return int(limit)


_CREATE: Final = msgspec.json.Decoder(Create)
_UPSERT: Final = msgspec.json.Decoder(bodies.Upsert)
_UPDATE: Final = msgspec.json.Decoder(bodies.Update)
_DELETE: Final = msgspec.json.Decoder(bodies.Delete)
_QUERY: Final = msgspec.json.Decoder(bodies.Query)
_MATCHING: Final = msgspec.json.Decoder(bodies.FetchMatching)
_STATS: Final = msgspec.json.Decoder(bodies.Stats)

_SERVED: Final[dict[tuple[str, str], _Serve]] = {
    ("POST", "vectors/upsert"): _upsert,
    ("POST", "vectors/update"): _update,
    ("POST", "vectors/delete"): _delete,
    ("GET", "vectors/fetch"): _fetch,
    ("POST", "vectors/fetch_by_metadata"): _fetch_matching,
    ("GET", "vectors/list"): _list,
    ("POST", "query"): _query,
    ("POST", "describe_index_stats"): _stats,
    ("GET", "describe_index_stats"): _stats,
    ("GET", "namespaces"): _namespaces,
    ("POST", "namespaces"): _no_namespace,
    ("GET", "namespaces/*"): _namespace,
    ("DELETE", "namespaces/*"): _drop_namespace,
}


def _parameters(request: Request) -> dict[str, list[str]]:
    """What the query of the address says."""
    try:
        return parse_qs(
            request.query,
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FETCHED_IDS_MAX,
        )
    except ValueError:
        raise BadRequestError("the query of the address is malformed or too long") from None
