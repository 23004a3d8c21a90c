"""Which of Qdrant's paths is answered by what.

Answers are `{"result": …, "status": "ok", "time": seconds}`. Whatever was acknowledged is seen by
the next request, with `wait` or without.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec

from littoral.terms.collections import Memory, OpenCollection
from littoral.terms.errors import BadRequestError, NotFoundError, UnsupportedError
from littoral.terms.limits import QUERIES_MAX
from littoral.terms.memory import CollectionSpec, Patch, Write
from littoral.terms.values import Caller
from littoral.web.health import send_json
from littoral.web.http import Request, Responder
from littoral.web.memory.asked import Asked
from littoral.web.qdrant import bodies, changes, reads
from littoral.web.qdrant.ids import point_id
from littoral.web.qdrant.specs import shown_as, spec_of
from littoral.web.refusals import QDRANT
from littoral.web.routes import Route

__all__ = ["qdrant_routes"]

Body = TypeVar("Body", bound=msgspec.Struct)


class _Answer(msgspec.Struct, frozen=True):
    result: object
    time: float
    status: str = "ok"


class _Done(msgspec.Struct, frozen=True):
    operation_id: int
    status: str = "completed"


_Serve = Callable[[Asked], Awaitable[object]]


def qdrant_routes(memory: Memory) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""

    async def list_all(_: Request, responder: Responder, caller: Caller, __: str) -> None:
        found = {each.spec.name for each in await memory.collections(caller)}
        await _send(responder, {"collections": [{"name": name} for name in sorted(found)]})

    async def aliases(_: Request, responder: Responder, __: Caller, ___: str) -> None:
        await _send(responder, {"aliases": []})

    async def below(request: Request, responder: Responder, caller: Caller, rest: str) -> None:
        began = asyncio.get_running_loop().time()
        name, _, what = rest.partition("/")
        serve, last = _served(request.method, what)
        result = await serve(Asked(request, memory, caller, name, last))
        await _send(responder, result, asyncio.get_running_loop().time() - began)

    methods = dict.fromkeys(("GET", "PUT", "POST", "DELETE", "PATCH"), Route(below))
    return {
        QDRANT: {"GET": Route(list_all)},
        f"{QDRANT}/": methods,
        "/aliases": {"GET": Route(aliases)},
    }


async def _send(responder: Responder, result: object, took_s: float = 0.0) -> None:
    await send_json(responder, 200, _Answer(result, round(took_s, 9)))


def _served(method: str, what: str) -> tuple[_Serve, str]:
    """What answers, and what the end of the path names."""
    serve = _SERVED.get((method, what))
    if serve is not None:
        return serve, ""
    start, _, end = what.rpartition("/")
    serve = _SERVED.get((method, f"{start}/*")) if end else None
    if serve is not None:
        return serve, end
    raise NotFoundError(
        f"{method} {what[:80] or 'of a collection'} is not served",
        advice="docs/memory-apis.md says what of Qdrant's API is",
    )


async def _exists(asked: Asked) -> object:
    try:
        await asked.opened()
    except NotFoundError:
        return {"exists": False}
    return {"exists": True}


async def _show(asked: Asked) -> object:
    opened = await asked.opened()
    return shown_as(opened.spec, await opened.count())


async def _create(asked: Asked) -> object:
    await asked.memory.create(spec_of(asked.name, asked.body(_CREATE)), asked.caller)
    return True


async def _drop(asked: Asked) -> object:
    try:
        await asked.memory.drop(asked.name, asked.caller)
    except NotFoundError:
        return False
    return True


async def _tune(asked: Asked) -> object:
    """Nothing of how a collection is kept is chosen by its users."""
    asked.body(_OBJECT)
    await asked.opened()
    return True


async def _index(asked: Asked) -> object:
    """Fields may be filtered by without being declared."""
    await asked.opened()
    return _Done(0)


async def _no_aliases(asked: Asked) -> object:
    await asked.opened()
    return {"aliases": []}


def _changing(
    decoder: "msgspec.json.Decoder[Body]",
    writes: Callable[[CollectionSpec, Body], Sequence[Write]],
) -> _Serve:
    async def change(asked: Asked) -> object:
        body = asked.body(decoder)
        opened = await asked.opened()
        made = writes(opened.spec, body)
        applied = await opened.apply(made)
        if isinstance(made[0], Patch) and isinstance(body, bodies.Selector | bodies.UpdateVectors):
            named = changes.named_ids(body)
            if applied.changed < len(named):
                await _all_there(opened, named)
        return _Done(applied.through)

    return change


async def _all_there(opened: OpenCollection, ids: Sequence[str]) -> None:
    """Say which point was not there; the others have been changed, as Qdrant does it."""
    there = {record.id for record in await opened.fetch(ids)}
    for each in ids:
        if each not in there:
            raise NotFoundError(
                f"no point with id {point_id(each)} found", advice="the others were changed"
            )


async def _batch(asked: Asked) -> object:
    body = asked.body(_OPERATIONS)
    opened = await asked.opened()
    writes = [write for each in body.operations for write in changes.operated(opened.spec, each)]
    if not writes:
        raise BadRequestError("the batch has no operations", param="operations")
    applied = await opened.apply(writes)
    return [_Done(applied.through)] * len(body.operations)


async def _retrieve(asked: Asked) -> object:
    return await reads.retrieved(await asked.opened(), asked.body(_RETRIEVE))


async def _retrieve_one(asked: Asked) -> object:
    said = asked.last
    point: bodies.PointId = int(said) if _NUMBER.fullmatch(said) else said
    wanted = bodies.Retrieve(ids=[point], with_vector=True)
    found = await reads.retrieved(await asked.opened(), wanted)
    if not found:
        raise NotFoundError(f"no point with id {said[:80]} found")
    return found[0]


async def _scroll(asked: Asked) -> object:
    return await reads.scrolled(await asked.opened(), asked.body(_SCROLL))


async def _count(asked: Asked) -> object:
    return {"count": await reads.counted(await asked.opened(), asked.body(_COUNT))}


async def _query(asked: Asked) -> object:
    return {"points": await reads.queried(await asked.opened(), asked.body(_QUERY))}


async def _query_all(asked: Asked) -> object:
    searches = asked.body(_QUERIES).searches
    _check_count(len(searches))
    opened = await asked.opened()
    return [{"points": await reads.queried(opened, each)} for each in searches]


async def _groups(asked: Asked) -> object:
    return {"groups": await reads.grouped(await asked.opened(), asked.body(_GROUPS))}


async def _search(asked: Asked) -> object:
    return await reads.queried(await asked.opened(), reads.query_of(asked.body(_SEARCH)))


async def _search_all(asked: Asked) -> object:
    searches = asked.body(_SEARCHES).searches
    _check_count(len(searches))
    opened = await asked.opened()
    return [await reads.queried(opened, reads.query_of(each)) for each in searches]


async def _refuse(asked: Asked) -> object:
    raise UnsupportedError(
        f"{asked.request.path[:200]} is not supported here",
        advice="docs/memory-apis.md says what of Qdrant's API is",
    )


def _check_count(queries: int) -> None:
    if queries > QUERIES_MAX:
        raise BadRequestError(
            f"the batch has {queries} queries", advice=f"at most {QUERIES_MAX} are taken"
        )


_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_OBJECT: Final = msgspec.json.Decoder(bodies.Anything)
_CREATE: Final = msgspec.json.Decoder(bodies.Create)
_OPERATIONS: Final = msgspec.json.Decoder(bodies.Operations)
_RETRIEVE: Final = msgspec.json.Decoder(bodies.Retrieve)
_SCROLL: Final = msgspec.json.Decoder(bodies.Scroll)
_COUNT: Final = msgspec.json.Decoder(bodies.Count)
_QUERY: Final = msgspec.json.Decoder(bodies.Query)
_QUERIES: Final = msgspec.json.Decoder(bodies.BatchQuery)
_GROUPS: Final = msgspec.json.Decoder(bodies.GroupQuery)
_SEARCH: Final = msgspec.json.Decoder(bodies.Search)
_SEARCHES: Final = msgspec.json.Decoder(bodies.SearchBatch)
_SELECTOR: Final = msgspec.json.Decoder(bodies.Selector)
_SET: Final = msgspec.json.Decoder(bodies.SetPayload)

_SERVED: Final[dict[tuple[str, str], _Serve]] = {
    ("GET", ""): _show,
    ("PUT", ""): _create,
    ("DELETE", ""): _drop,
    ("PATCH", ""): _tune,
    ("GET", "exists"): _exists,
    ("GET", "aliases"): _no_aliases,
    ("PUT", "index"): _index,
    ("DELETE", "index/*"): _index,
    ("PUT", "points"): _changing(msgspec.json.Decoder(bodies.Upsert), changes.upserted),
    ("POST", "points"): _retrieve,
    ("GET", "points/*"): _retrieve_one,
    ("POST", "points/delete"): _changing(_SELECTOR, changes.deleted),
    ("POST", "points/payload"): _changing(_SET, changes.payload_set),
    ("PUT", "points/payload"): _changing(_SET, changes.overwritten),
    ("POST", "points/payload/delete"): _changing(
        msgspec.json.Decoder(bodies.UnsetPayload), changes.payload_unset
    ),
    ("POST", "points/payload/clear"): _changing(_SELECTOR, changes.cleared),
    ("PUT", "points/vectors"): _changing(msgspec.json.Decoder(bodies.UpdateVectors), changes.moved),
    ("POST", "points/vectors/delete"): _changing(
        msgspec.json.Decoder(bodies.UnsetVectors), changes.vectors_unset
    ),
    ("POST", "points/batch"): _batch,
    ("POST", "points/scroll"): _scroll,
    ("POST", "points/count"): _count,
    ("POST", "points/query"): _query,
    ("POST", "points/query/batch"): _query_all,
    ("POST", "points/query/groups"): _groups,
    ("POST", "points/search"): _search,
    ("POST", "points/search/batch"): _search_all,
    ("POST", "points/search/matrix/*"): _refuse,
    ("POST", "points/recommend"): _refuse,
    ("POST", "points/discover"): _refuse,
    ("POST", "facet"): _refuse,
    ("POST", "snapshots"): _refuse,
    ("GET", "snapshots"): _refuse,
    ("PUT", "shards"): _refuse,
}
