"""What clients send about vector stores, as OpenAI's API has it, read into our own words."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from littoral.terms.errors import BadRequestError
from littoral.terms.limits import (
    QUESTION_CHARS_MAX,
    STORE_ATTRIBUTES_MAX,
    STORE_BATCH_FILES_MAX,
    STORE_QUERIES_MAX,
)
from littoral.terms.stores import (
    Attributes,
    Cut,
    FileWanted,
    Metadata,
    StoreChange,
    StoreWanted,
)
from littoral.web.dialects.reading import checked, json_object, without_nulls
from littoral.web.http import Request
from littoral.web.stores.desk import Questions
from littoral.web.stores.filters import filter_of

__all__ = ["attributes_in", "batch_in", "change_in", "file_in", "questions_in", "store_in"]

_Days = Annotated[int, msgspec.Meta(ge=1, le=365)]
_Text = Annotated[str, msgspec.Meta(max_length=512)]
_FileId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Pairs = Annotated[Attributes, msgspec.Meta(max_length=STORE_ATTRIBUTES_MAX)]
_Metadata = Annotated[Metadata, msgspec.Meta(max_length=STORE_ATTRIBUTES_MAX)]
_FileIds = Annotated[tuple[_FileId, ...], msgspec.Meta(max_length=STORE_BATCH_FILES_MAX)]
_Question = Annotated[str, msgspec.Meta(min_length=1, max_length=QUESTION_CHARS_MAX)]


class _Expiry(msgspec.Struct, frozen=True):
    anchor: Literal["last_active_at"]
    days: _Days


class _Static(msgspec.Struct, frozen=True):
    max_chunk_size_tokens: Annotated[int, msgspec.Meta(ge=100, le=4096)]
    chunk_overlap_tokens: Annotated[int, msgspec.Meta(ge=0)]


class _Strategy(msgspec.Struct, frozen=True):
    type: Literal["auto", "static"]
    static: _Static | None = None


class _Store(msgspec.Struct, frozen=True):
    name: _Text = ""
    description: _Text = ""
    metadata: _Metadata = {}
    expires_after: _Expiry | None = None
    file_ids: _FileIds = ()
    chunking_strategy: _Strategy | None = None
    embedding_model: str = ""


class _Change(msgspec.Struct, frozen=True):
    name: _Text | None = None
    metadata: _Metadata | None = None
    expires_after: _Expiry | msgspec.UnsetType | None = msgspec.UNSET


class _File(msgspec.Struct, frozen=True):
    file_id: _FileId
    attributes: _Pairs | None = None
    chunking_strategy: _Strategy | None = None


class _Batch(msgspec.Struct, frozen=True):
    file_ids: _FileIds | None = None
    files: Annotated[tuple[_File, ...], msgspec.Meta(max_length=STORE_BATCH_FILES_MAX)] | None = (
        None
    )
    attributes: _Pairs | None = None
    chunking_strategy: _Strategy | None = None


class _Described(msgspec.Struct, frozen=True):
    attributes: _Pairs | None


class _Ranking(msgspec.Struct, frozen=True):
    score_threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0


class _Search(msgspec.Struct, frozen=True):
    query: (
        _Question
        | Annotated[tuple[_Question, ...], msgspec.Meta(min_length=1, max_length=STORE_QUERIES_MAX)]
    )
    max_num_results: Annotated[int, msgspec.Meta(ge=1, le=50)] = 10
    ranking_options: _Ranking = _Ranking()


def store_in(request: Request) -> StoreWanted:
    """The store that is to be made."""
    said = checked(_body(request), _Store)
    cut = _cut(said.chunking_strategy)
    return StoreWanted(
        title=said.name,
        description=said.description,
        metadata=said.metadata,
        expires_after_days=None if said.expires_after is None else said.expires_after.days,
        embedding=said.embedding_model,
        files=tuple(FileWanted(file_id=each, cut=cut) for each in _once(said.file_ids)),
    )


def change_in(request: Request) -> StoreChange:
    """What is to be different about a store."""
    said = checked(json_object(request.body or b"{}"), _Change)
    expiry = said.expires_after
    return StoreChange(
        title=said.name,
        metadata=said.metadata,
        expires_after_days=expiry.days if isinstance(expiry, _Expiry) else expiry,
    )


def file_in(request: Request) -> FileWanted:
    """The file that is to be in a store."""
    return _wanted(checked(_body(request), _File))


def batch_in(request: Request) -> list[FileWanted]:
    """The files that are to be in a store."""
    said = checked(_body(request), _Batch)
    if (said.file_ids is None) is (said.files is None):
        raise BadRequestError("give either `file_ids` or `files`", param="file_ids")
    if said.files is not None:
        wanted = [_wanted(each) for each in said.files]
    else:
        attributes, cut = said.attributes or {}, _cut(said.chunking_strategy)
        wanted = [
            FileWanted(file_id=each, attributes=attributes, cut=cut)
            for each in _once(said.file_ids or ())
        ]
    if not wanted:
        raise BadRequestError("a batch has at least one file", param="file_ids")
    if len({each.file_id for each in wanted}) != len(wanted):
        raise BadRequestError("`files` names one file twice", param="files")
    return wanted


def attributes_in(request: Request) -> Attributes:
    """The attributes that a file is to have."""
    return checked(json_object(request.body or b"{}"), _Described).attributes or {}


def questions_in(request: Request) -> Questions:
    """What is looked for in a store. Of how to rank, the threshold alone is heeded."""
    body = _body(request)
    said = checked(body, _Search)
    texts = (said.query,) if isinstance(said.query, str) else said.query
    filters = body.get("filters")
    return Questions(
        texts=texts,
        where=None if filters is None else filter_of(filters),
        limit=said.max_num_results,
        score_min=said.ranking_options.score_threshold,
    )


def _body(request: Request) -> Mapping[str, object]:
    return without_nulls(json_object(request.body or b"{}"))


def _wanted(said: _File) -> FileWanted:
    return FileWanted(
        file_id=said.file_id,
        attributes=said.attributes or {},
        cut=_cut(said.chunking_strategy),
    )


def _once(ids: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(ids))


def _cut(said: _Strategy | None) -> Cut | None:
    if said is None or said.type == "auto":
        return None
    if said.static is None:
        raise BadRequestError("`chunking_strategy.static` is missing", param="chunking_strategy")
    cut = Cut(said.static.max_chunk_size_tokens, said.static.chunk_overlap_tokens)
    if cut.overlap_tokens * 2 > cut.tokens_max:
        raise BadRequestError(
            "`chunk_overlap_tokens` is more than half of `max_chunk_size_tokens`",
            param="chunking_strategy",
        )
    return cut
