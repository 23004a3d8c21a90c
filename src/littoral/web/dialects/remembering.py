"""What a request wants of memory: the member `memory`, or OpenAI's tool `file_search`.

`memory` is the name of a collection, or an object with `collection` (a name, or several) and what
`terms.memory.Recall` has. `file_search` names collections by their vector stores' ids. Whichever it
is, the search is done before the model is asked: it is not the model that decides to look.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec

from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.filters import Filter
from littoral.terms.ids import ModelName
from littoral.terms.limits import RECALL_COLLECTIONS_MAX
from littoral.terms.sources import MemoryWanted, Sources
from littoral.web.dialects.reading import checked
from littoral.web.http import Request
from littoral.web.stores.filters import filter_of

__all__ = ["FILE_SEARCH", "memory_in", "memory_of", "refuse_memory", "without_search"]

FILE_SEARCH: Final = "file_search"

_Collection = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Collections = Annotated[
    tuple[_Collection, ...], msgspec.Meta(min_length=1, max_length=RECALL_COLLECTIONS_MAX)
]


class _Memory(msgspec.Struct, forbid_unknown_fields=True):
    collection: _Collection | _Collections
    text: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    where: Filter | None = None
    score_min: float | None = None
    per_document: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    variety: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    rerank: ModelName | None = None


class _WithMemory(msgspec.Struct):
    memory: _Collection | _Memory | None = None


class _Ranking(msgspec.Struct, frozen=True):
    score_threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0


class _FileSearch(msgspec.Struct):
    type: Literal["file_search"]
    vector_store_ids: _Collections
    max_num_results: Annotated[int, msgspec.Meta(ge=1, le=50)] = 10
    filters: dict[str, object] | None = None
    ranking_options: _Ranking = _Ranking()


class _Tools(msgspec.Struct):
    tools: list[dict[str, object]] | None = None


def memory_in(request: Request, body: dict[str, object]) -> MemoryWanted | Sources | None:
    """What memory has to do with a request; what says so is taken out of its body.

    Raises:
        BadRequestError, UnsupportedError: it is said in a way that is not understood.
    """
    wanted = memory_of(body)
    body.pop("memory", None)
    if _search_in(body.get("tools")) is not None:
        without_search(body)
    return request.sources or wanted


def memory_of(body: Mapping[str, object]) -> MemoryWanted | None:
    """What a request wants of memory; its body is that of any API of chats.

    Raises:
        BadRequestError, UnsupportedError: it is said in a way that is not understood.
    """
    said = checked(body, _WithMemory).memory
    search = _search_in(body.get("tools"))
    if said is not None and search is not None:
        raise BadRequestError(
            f"`memory` and the tool `{FILE_SEARCH}` both say what to look for",
            advice="leave one out",
            param="memory",
        )
    if search is not None:
        found = _searched(checked(body, _Tools).tools or [])
        return None if body.get("tool_choice") == "none" else found
    if said is None:
        return None
    if isinstance(said, str):
        return MemoryWanted(collections=(said,))
    names = (said.collection,) if isinstance(said.collection, str) else said.collection
    return MemoryWanted(
        collections=names,
        text=said.text,
        limit=said.limit,
        where=said.where,
        score_min=said.score_min,
        per_document=said.per_document,
        variety=said.variety,
        rerank=said.rerank,
    )


def refuse_memory(body: Mapping[str, object], what: str) -> None:
    """See that a request wants nothing of memory where there is none to be had.

    Raises:
        UnsupportedError: it does.
    """
    if body.get("memory") is not None:
        raise UnsupportedError(
            f"`memory` is not for {what}", advice="ask in a chat or a response", param="memory"
        )


def without_search(body: dict[str, object]) -> None:
    """Take the tool out of a body, and what only makes sense with it."""
    tools = body["tools"]
    assert isinstance(tools, list)
    left = [tool for tool in tools if not _is_search(tool)]
    choice = body.get("tool_choice")
    if left:
        body["tools"] = left
    else:
        del body["tools"]
    if not left or (isinstance(choice, Mapping) and choice.get("type") == FILE_SEARCH):
        body.pop("tool_choice", None)


def _search_in(tools: object) -> object | None:
    if not isinstance(tools, list):
        return None
    return next((tool for tool in tools if _is_search(tool)), None)


def _is_search(tool: object) -> bool:
    return isinstance(tool, Mapping) and tool.get("type") == FILE_SEARCH


def _searched(tools: Sequence[Mapping[str, object]]) -> MemoryWanted:
    searches = [tool for tool in tools if _is_search(tool)]
    if len(searches) > 1:
        raise BadRequestError(
            f"there are {len(searches)} tools `{FILE_SEARCH}`",
            advice="name all vector stores in one",
            param="tools",
        )
    search = checked(searches[0], _FileSearch)
    if search.ranking_options.score_threshold:
        raise UnsupportedError(
            "`score_threshold` is not supported: scores here are of fused ranks, not shares of 1",
            advice="leave it out; `max_num_results` says how many are taken",
            param="tools",
        )
    return MemoryWanted(
        collections=search.vector_store_ids,
        limit=search.max_num_results,
        where=None if search.filters is None else filter_of(search.filters),
    )
