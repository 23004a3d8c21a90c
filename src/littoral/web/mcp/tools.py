"""The tools of memory, as agents call them: list, search, add, ask.

What is wrong with a call itself is an error of the protocol. What a call could not do (no such
collection, a busy machine) is told as the tool's result, marked as an error, so that the agent
reads it and can do better.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Final, Protocol

import msgspec

from littoral.terms.collections import Memory
from littoral.terms.errors import BadRequestError, InternalError, LittoralError
from littoral.terms.limits import (
    MCP_DOCUMENTS_MAX,
    MCP_PASSAGES_MAX,
    MCP_TEXT_CHARS_MAX,
    QUESTION_CHARS_MAX,
)
from littoral.terms.memory import Cited, Recall
from littoral.terms.values import Caller
from littoral.web.dialects.reading import checked
from littoral.web.mcp.protocol import Fault

__all__ = ["Added", "Answered", "MemoryAdd", "MemoryAsk", "MemoryTools", "Told"]

_Collection = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Question = Annotated[str, msgspec.Meta(min_length=1, max_length=QUESTION_CHARS_MAX)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MCP_TEXT_CHARS_MAX)]
_Said = dict[str, object]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A document that an agent wants kept."""

    text: _Text
    id: Annotated[str, msgspec.Meta(max_length=256)] = ""
    """Empty is by what it says; one that is there is replaced."""
    title: Annotated[str, msgspec.Meta(max_length=256)] = ""
    metadata: dict[str, object] = {}


class Added(msgspec.Struct, frozen=True):
    """What was kept."""

    documents: tuple[str, ...]
    """Their ids."""
    passages: int


class Answered(msgspec.Struct, frozen=True):
    """An answer, and the passages that it was made from."""

    text: str
    passages: tuple[Cited, ...]
    model: str = ""
    receipt: str = ""


class MemoryAdd(Protocol):
    """Keeps texts in a collection, which is made if there is none of this name."""

    async def __call__(self, collection: str, told: Sequence[Told], caller: Caller) -> Added:
        """Keep them. Raises as `OpenCollection.apply`."""


class MemoryAsk(Protocol):
    """Answers from a collection."""

    async def __call__(
        self, collection: str, question: str, model: str, caller: Caller
    ) -> Answered:
        """Recall passages, and have a model answer from them. Raises as `Door.answer`.

        Args:
            collection: by its name.
            question: in words.
            model: who answers; empty is for the PoP to choose.
            caller: for whom.
        """


class _Listing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Search(msgspec.Struct, forbid_unknown_fields=True):
    collection: _Collection
    query: _Question
    limit: Annotated[int, msgspec.Meta(ge=1, le=MCP_PASSAGES_MAX)] = 5


class _Add(msgspec.Struct, forbid_unknown_fields=True):
    collection: _Collection
    text: _Text | None = None
    documents: Annotated[tuple[Told, ...], msgspec.Meta(max_length=MCP_DOCUMENTS_MAX)] = ()


class _Ask(msgspec.Struct, forbid_unknown_fields=True):
    collection: _Collection
    question: _Question
    model: Annotated[str, msgspec.Meta(max_length=96)] = ""


class _Tool(msgspec.Struct, frozen=True):
    title: str
    description: str
    takes: type[msgspec.Struct]
    does: Callable[..., Awaitable[tuple[str, _Said]]]
    """Gives what is said for a model, and the same for a program."""
    reads_only: bool


class MemoryTools:
    """What agents may call."""

    def __init__(
        self, memory: Memory, add: MemoryAdd | None = None, ask: MemoryAsk | None = None
    ) -> None:
        """Offer what can be done; what has nobody who does it is not offered.

        Args:
            memory: is searched.
            add: keeps texts.
            ask: answers from passages.
        """
        self._memory = memory
        self._add = add
        self._ask = ask
        self._tools = {
            "memory_list": _Tool(
                "List collections",
                "Say which collections of passages there are, and how many each has.",
                _Listing,
                self._listed,
                reads_only=True,
            ),
            "memory_search": _Tool(
                "Search a collection",
                "Find the passages of a collection that answer a query best, by meaning and by "
                "words. Each comes with the document that it is from.",
                _Search,
                self._searched,
                reads_only=True,
            ),
        }
        if add is not None:
            self._tools["memory_add"] = _Tool(
                "Add to a collection",
                "Keep a text, or several documents, in a collection, so that they are found "
                "later. The collection is made if there is none of this name. A document with "
                "the id of one that is there replaces it.",
                _Add,
                self._added,
                reads_only=False,
            )
        if ask is not None:
            self._tools["memory_ask"] = _Tool(
                "Ask a collection",
                "Have a question answered from the passages of a collection; the answer says "
                "which documents it is from.",
                _Ask,
                self._asked,
                reads_only=True,
            )

    def described(self) -> list[_Said]:
        """What there is to call, and with what."""
        return [
            {
                "name": name,
                "title": tool.title,
                "description": tool.description,
                "inputSchema": _SCHEMAS[name],
                "annotations": {
                    "readOnlyHint": tool.reads_only,
                    "destructiveHint": False,
                    "idempotentHint": True,
                    "openWorldHint": False,
                },
            }
            for name, tool in self._tools.items()
        ]

    async def call(self, params: Mapping[str, object], caller: Caller) -> _Said:
        """What a call gives.

        Raises:
            Fault: there is no such tool, or it takes something else.
        """
        name, arguments = params.get("name"), params.get("arguments") or {}
        tool = self._tools.get(name) if isinstance(name, str) else None
        if tool is None:
            raise Fault.params(f"there is no tool {str(name)[:80]!r}")
        if not isinstance(arguments, dict):
            raise Fault.params("`arguments` is not an object")
        try:
            wanted = checked(arguments, tool.takes)
        except BadRequestError as error:
            raise Fault.params(str(error)) from None
        try:
            text, said = await tool.does(wanted, caller)
        except InternalError:
            raise
        except LittoralError as error:
            told = {"code": error.code, "message": error.message, "advice": error.advice}
            return _result(str(error), {"error": told}, is_error=True)
        return _result(text, said, is_error=False)

    async def _listed(self, _: _Listing, caller: Caller) -> tuple[str, _Said]:
        shown = await self._memory.collections(caller)
        rows: list[_Said] = [
            {
                "name": each.spec.name,
                "passages": each.records,
                "about": each.spec.about,
                "embedding": each.spec.embedding,
            }
            for each in shown
            if each.spec.scope in {"", caller.scope}
        ]
        lines = [f"{row['name']}: {row['passages']} passages. {row['about']}" for row in rows]
        return "\n".join(lines) or "There is no collection yet.", {"collections": rows}

    async def _searched(self, wanted: _Search, caller: Caller) -> tuple[str, _Said]:
        recall = Recall(text=wanted.query, limit=wanted.limit)
        found = (await self._memory.recall(wanted.collection, recall, caller)).passages
        rows = [_passage(each) for each in found]
        return _spoken(found) or "Nothing was found.", {"passages": rows}

    async def _added(self, wanted: _Add, caller: Caller) -> tuple[str, _Said]:
        assert self._add is not None
        told = list(wanted.documents)
        if wanted.text is not None:
            told.insert(0, Told(text=wanted.text))
        if not told:
            raise BadRequestError("there is nothing to add", advice="give `text` or `documents`")
        added = await self._add(wanted.collection, told, caller)
        text = (
            f"Kept {len(added.documents)} documents as {added.passages} passages "
            f"in {wanted.collection}: {', '.join(added.documents)}"
        )
        return text, {"documents": added.documents, "passages": added.passages}

    async def _asked(self, wanted: _Ask, caller: Caller) -> tuple[str, _Said]:
        assert self._ask is not None
        answer = await self._ask(wanted.collection, wanted.question, wanted.model, caller)
        sources = [_passage(each) for each in answer.passages]
        names = [
            f"[{number}] {each.document or each.id}"
            for number, each in enumerate(answer.passages, 1)
        ]
        text = "\n".join((answer.text, "", "Sources:", *names)) if names else answer.text
        said: _Said = {
            "answer": answer.text,
            "sources": sources,
            "model": answer.model,
            "receipt": answer.receipt,
        }
        return text, said


def _result(text: str, said: _Said, *, is_error: bool) -> _Said:
    return {
        "content": [{"type": "text", "text": text}],
        "structuredContent": said,
        "isError": is_error,
    }


def _spoken(passages: Sequence[Cited]) -> str:
    """Passages, for a model to read."""
    return "\n\n".join(
        f"[{number}] {each.document or each.id}, passage {each.position}"
        + (f" ({each.header})" if each.header else "")
        + f"\n{each.text}"
        for number, each in enumerate(passages, 1)
    )


def _passage(cited: Cited) -> _Said:
    return {
        "id": cited.id,
        "document": cited.document,
        "position": cited.position,
        "header": cited.header,
        "text": cited.text,
        "score": cited.score,
        "digest": cited.digest,
        "metadata": cited.metadata,
    }


def _object(properties: _Said, *required: str) -> _Said:
    return {
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": False,
    }


def _string(description: str, most: int) -> _Said:
    return {"type": "string", "description": description, "minLength": 1, "maxLength": most}


_NAME: Final = _string("The name of the collection.", 128)

_DOCUMENT: Final = _object(
    {
        "text": _string("What it says, as plain text or Markdown.", MCP_TEXT_CHARS_MAX),
        "id": {"type": "string", "description": "By which it is replaced later.", "maxLength": 256},
        "title": {"type": "string", "description": "What it is called.", "maxLength": 256},
        "metadata": {"type": "object", "description": "What else is to be kept of it."},
    },
    "text",
)

_SCHEMAS: Final[Mapping[str, _Said]] = {
    "memory_list": _object({}),
    "memory_search": _object(
        {
            "collection": _NAME,
            "query": _string("What is looked for, in words.", QUESTION_CHARS_MAX),
            "limit": {
                "type": "integer",
                "description": "How many passages at most.",
                "minimum": 1,
                "maximum": MCP_PASSAGES_MAX,
                "default": 5,
            },
        },
        "collection",
        "query",
    ),
    "memory_add": _object(
        {
            "collection": _NAME,
            "text": _string("One text to keep.", MCP_TEXT_CHARS_MAX),
            "documents": {
                "type": "array",
                "description": "Several documents to keep.",
                "items": _DOCUMENT,
                "maxItems": MCP_DOCUMENTS_MAX,
            },
        },
        "collection",
    ),
    "memory_ask": _object(
        {
            "collection": _NAME,
            "question": _string("The question, in words.", QUESTION_CHARS_MAX),
            "model": _string("The model that answers; without it, one that is loaded.", 96),
        },
        "collection",
        "question",
    ),
}
