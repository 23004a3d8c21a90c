"""The PoP's own API of collections: `/v1/memory` and what is below it.

Bodies and answers are the values of `terms/memory.py` as JSON; vectors are base64 of little-endian
float32. `POST /v1/memory/NAME/VERB` asks one collection; the verbs are those of a collection.

    GET    /v1/memory                    all collections that the key may read
    POST   /v1/memory                    make one (CollectionSpec)
    GET    /v1/memory/NAME               one, as it is now
    DELETE /v1/memory/NAME               forget it, and all in it
    POST   /v1/memory/NAME/write         {"writes": [...]}
    POST   /v1/memory/NAME/search        Search
    POST   /v1/memory/NAME/recall        Recall: a question to passages
    POST   /v1/memory/NAME/fetch         {"ids": [...], "with_vectors": false}
    POST   /v1/memory/NAME/scan          Scan
    POST   /v1/memory/NAME/count         {"where": ...}
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import msgspec

from littoral.terms.collections import Memory, OpenCollection
from littoral.terms.errors import NotFoundError
from littoral.terms.filters import Filter
from littoral.terms.limits import FETCHED_IDS_MAX, WRITES_MAX
from littoral.terms.memory import (
    CollectionShown,
    CollectionSpec,
    Recall,
    Record,
    Scan,
    Search,
    Write,
)
from littoral.terms.values import Caller
from littoral.web.dialects.reading import read_body
from littoral.web.health import send_json
from littoral.web.http import Request, Responder
from littoral.web.routes import Route

__all__ = [
    "MEMORY",
    "CollectionsShown",
    "Counted",
    "Dropped",
    "Fetch",
    "Fetched",
    "ToCount",
    "Writes",
    "native_routes",
]

MEMORY: Final = "/v1/memory"


class CollectionsShown(msgspec.Struct, frozen=True):
    """All collections that a key may read."""

    collections: tuple[CollectionShown, ...]


class Dropped(msgspec.Struct, frozen=True):
    """A collection that is forgotten."""

    dropped: str


class Writes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes to make, in their order, all or none."""

    writes: Annotated[tuple[Write, ...], msgspec.Meta(max_length=WRITES_MAX)]


class Fetch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Records that are wanted."""

    ids: Annotated[tuple[str, ...], msgspec.Meta(max_length=FETCHED_IDS_MAX)]
    with_vectors: bool = False


class Fetched(msgspec.Struct, frozen=True):
    """Those that are there."""

    records: tuple[Record, ...]


class ToCount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be counted."""

    where: Filter | None = None


class Counted(msgspec.Struct, frozen=True):
    """How many there are."""

    count: int


_Verb = Callable[[Memory, str, Request, Caller], Awaitable[object]]


def native_routes(memory: Memory) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""

    async def list_all(_: Request, responder: Responder, caller: Caller, __: str) -> None:
        found = CollectionsShown(tuple(await memory.collections(caller)))
        await send_json(responder, 200, found)

    async def create(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        shown = await memory.create(read_body(request, CollectionSpec), caller)
        await send_json(responder, 201, shown)

    async def show(_: Request, responder: Responder, caller: Caller, name: str) -> None:
        spec = (await memory.open(name, caller)).spec
        for each in await memory.collections(caller):
            if (each.spec.scope, each.spec.name) == (spec.scope, spec.name):
                await send_json(responder, 200, each)
                return
        raise NotFoundError(f"there is no collection named {name[:128]!r}")

    async def drop(_: Request, responder: Responder, caller: Caller, name: str) -> None:
        await memory.drop(name, caller)
        await send_json(responder, 200, Dropped(name))

    async def verb(request: Request, responder: Responder, caller: Caller, rest: str) -> None:
        name, _, what = rest.partition("/")
        asked = _VERBS.get(what)
        if asked is None:
            raise NotFoundError(
                f"there is nothing at {request.path[:200]}",
                advice=f"POST {MEMORY}/NAME/ and one of {', '.join(_VERBS)}",
            )
        await send_json(responder, 200, await asked(memory, name, request, caller))

    return {
        MEMORY: {"GET": Route(list_all), "POST": Route(create)},
        f"{MEMORY}/": {"GET": Route(show), "DELETE": Route(drop), "POST": Route(verb)},
    }


async def _write(memory: Memory, name: str, request: Request, caller: Caller) -> object:
    writes = read_body(request, Writes).writes
    return await (await _opened(memory, name, caller)).apply(writes)


async def _search(memory: Memory, name: str, request: Request, caller: Caller) -> object:
    search = read_body(request, Search)
    return await (await _opened(memory, name, caller)).search(search)


async def _recall(memory: Memory, name: str, request: Request, caller: Caller) -> object:
    return await memory.recall(name, read_body(request, Recall), caller)


async def _fetch(memory: Memory, name: str, request: Request, caller: Caller) -> object:
    wanted = read_body(request, Fetch)
    opened = await _opened(memory, name, caller)
    return Fetched(tuple(await opened.fetch(wanted.ids, with_vectors=wanted.with_vectors)))


async def _scan(memory: Memory, name: str, request: Request, caller: Caller) -> object:
    scan = read_body(request, Scan)
    return await (await _opened(memory, name, caller)).scan(scan)


async def _count(memory: Memory, name: str, request: Request, caller: Caller) -> object:
    where = read_body(request, ToCount).where
    return Counted(await (await _opened(memory, name, caller)).count(where))


async def _opened(memory: Memory, name: str, caller: Caller) -> OpenCollection:
    return await memory.open(name, caller)


_VERBS: Final[dict[str, _Verb]] = {
    "write": _write,
    "search": _search,
    "recall": _recall,
    "fetch": _fetch,
    "scan": _scan,
    "count": _count,
}
