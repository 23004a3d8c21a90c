"""OpenAI's `/v1/vector_stores`: collections by the words of that API.

    GET, POST          /v1/vector_stores
    GET, POST, DELETE  /v1/vector_stores/STORE
    POST               /v1/vector_stores/STORE/search
    GET, POST          /v1/vector_stores/STORE/files
    GET, POST, DELETE  /v1/vector_stores/STORE/files/FILE
    GET                /v1/vector_stores/STORE/files/FILE/content
    POST               /v1/vector_stores/STORE/file_batches
    GET                /v1/vector_stores/STORE/file_batches/BATCH[/files]
    POST               /v1/vector_stores/STORE/file_batches/BATCH/cancel

STORE is a collection's name: `vs_…` of those made here, any of those made elsewhere.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from littoral.terms.values import Caller
from littoral.web.health import send_json
from littoral.web.http import Request, Responder
from littoral.web.routes import Route
from littoral.web.stores.bodies import (
    attributes_in,
    batch_in,
    change_in,
    file_in,
    questions_in,
    store_in,
)
from littoral.web.stores.desk import StoreDesks
from littoral.web.stores.reading import (
    below,
    nothing_at,
    paging_of,
    query_of,
    state_of,
    wrong_method,
)
from littoral.web.stores.shapes import (
    POLL,
    batch_object,
    deleted,
    found_page,
    listed,
    passages_page,
    store_file_object,
    store_object,
)

__all__ = ["STORES", "vector_store_routes"]

STORES: Final = "/v1/vector_stores"

_PAGE_USUAL: Final = 20
_PAGE_MOST: Final = 100

_Said = dict[str, object]
_Verb = Callable[[Request, Caller, str, str], Awaitable[_Said]]
"""Of a store, and of a file or a batch in it, if the path names one."""


def vector_store_routes(desks: StoreDesks) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""
    answers = _Answers(desks)

    async def one(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        what, store, name = _named(request)
        verbs = answers.verbs.get(what)
        if verbs is None:
            raise nothing_at(request)
        verb = verbs.get("GET" if request.method == "HEAD" else request.method)
        if verb is None:
            raise wrong_method(request, list(verbs))
        await send_json(responder, 200, await verb(request, caller, store, name), POLL)

    async def every(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        await send_json(responder, 200, await answers.stores(request, caller))

    async def create(request: Request, responder: Responder, caller: Caller, _: str) -> None:
        made = await desks.stores.create(store_in(request), caller)
        await send_json(responder, 200, store_object(made))

    below_it = Route(one)
    return {
        STORES: {"GET": Route(every), "POST": Route(create)},
        f"{STORES}/": {"GET": below_it, "POST": below_it, "DELETE": below_it},
    }


def _named(request: Request) -> tuple[str, str, str]:
    """What a path is of, and the names in it: `files/*` of a store and a file."""
    store, *parts = below(request, f"{STORES}/")
    if not store or not all(parts):
        raise nothing_at(request)
    name = parts[1] if len(parts) > 1 else ""
    return "/".join(["*" if place == 1 else part for place, part in enumerate(parts)]), store, name


class _Answers:
    """Each verb, answered."""

    def __init__(self, desks: StoreDesks) -> None:
        self._desks = desks
        self.verbs: dict[str, dict[str, _Verb]] = {
            "": {"GET": self._store, "POST": self._change, "DELETE": self._drop},
            "search": {"POST": self._search},
            "files": {"GET": self._files, "POST": self._add},
            "files/*": {"GET": self._file, "POST": self._describe, "DELETE": self._remove},
            "files/*/content": {"GET": self._content},
            "file_batches": {"POST": self._begin},
            "file_batches/*": {"GET": self._batch},
            "file_batches/*/files": {"GET": self._batched},
            "file_batches/*/cancel": {"POST": self._cancel},
        }

    async def stores(self, request: Request, caller: Caller) -> _Said:
        """All that the caller may read."""
        paging = paging_of(query_of(request), usual=_PAGE_USUAL, most=_PAGE_MOST)
        return listed(await self._desks.stores.stores(paging, caller), store_object)

    async def _store(self, _: Request, caller: Caller, store: str, __: str) -> _Said:
        return store_object(await self._desks.stores.store(store, caller))

    async def _change(self, request: Request, caller: Caller, store: str, __: str) -> _Said:
        return store_object(await self._desks.stores.change(store, change_in(request), caller))

    async def _drop(self, _: Request, caller: Caller, store: str, __: str) -> _Said:
        await self._desks.stores.drop(store, caller)
        return deleted(store, "vector_store.deleted")

    async def _search(self, request: Request, caller: Caller, store: str, __: str) -> _Said:
        questions = questions_in(request)
        found = await self._desks.contents.search(store, questions, caller)
        return found_page(questions.texts, found)

    async def _files(self, request: Request, caller: Caller, store: str, __: str) -> _Said:
        query = query_of(request)
        paging = paging_of(query, usual=_PAGE_USUAL, most=_PAGE_MOST)
        part = await self._desks.files.files(store, state_of(query), paging, caller)
        return listed(part, store_file_object)

    async def _add(self, request: Request, caller: Caller, store: str, __: str) -> _Said:
        return store_file_object(await self._desks.files.add(store, file_in(request), caller))

    async def _file(self, _: Request, caller: Caller, store: str, name: str) -> _Said:
        return store_file_object(await self._desks.files.file(store, name, caller))

    async def _describe(self, request: Request, caller: Caller, store: str, name: str) -> _Said:
        attributes = attributes_in(request)
        return store_file_object(await self._desks.files.describe(store, name, attributes, caller))

    async def _remove(self, _: Request, caller: Caller, store: str, name: str) -> _Said:
        await self._desks.files.remove(store, name, caller)
        return deleted(name, "vector_store.file.deleted")

    async def _content(self, _: Request, caller: Caller, store: str, name: str) -> _Said:
        return passages_page(await self._desks.contents.passages(store, name, caller))

    async def _begin(self, request: Request, caller: Caller, store: str, __: str) -> _Said:
        return batch_object(await self._desks.batches.begin(store, batch_in(request), caller))

    async def _batch(self, _: Request, caller: Caller, store: str, name: str) -> _Said:
        return batch_object(await self._desks.batches.batch(store, name, caller))

    async def _batched(self, request: Request, caller: Caller, store: str, name: str) -> _Said:
        query = query_of(request)
        paging = paging_of(query, usual=_PAGE_USUAL, most=_PAGE_MOST)
        part = await self._desks.batches.batched(store, name, state_of(query), paging, caller)
        return listed(part, store_file_object)

    async def _cancel(self, _: Request, caller: Caller, store: str, name: str) -> _Said:
        return batch_object(await self._desks.batches.cancel(store, name, caller))
