"""Files, vector stores and what is in them, as OpenAI's API says them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from littoral.terms.memory import Cited
from littoral.terms.stores import Batch, Counts, FileState, Part, StoreFile, StoreShown, Upload

__all__ = [
    "POLL",
    "batch_object",
    "deleted",
    "found_page",
    "listed",
    "passages_page",
    "store_file_object",
    "store_object",
    "upload_object",
]

T = TypeVar("T")
Said = dict[str, object]

POLL: Final[Mapping[str, str]] = {
    "content-type": "application/json",
    "openai-poll-after-ms": "100",
}
"""Header fields of what is asked again and again until it is done: a small file takes so long."""


def listed(part: Part[T], said: Callable[[T], Said]) -> Said:
    """A part of a list."""
    data = [said(row) for row in part.rows]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": part.more,
    }


def deleted(name: str, kind: str) -> Said:
    """What is no more."""
    return {"id": name, "object": kind, "deleted": True}


def upload_object(upload: Upload) -> Said:
    """A file that a client has sent."""
    return {
        "id": upload.id,
        "object": "file",
        "bytes": upload.size_bytes,
        "created_at": upload.created_unix_s,
        "expires_at": upload.expires_unix_s,
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": "processed",
        "status_details": None,
    }


def store_object(shown: StoreShown) -> Said:
    """A vector store."""
    store = shown.store
    if shown.expired:
        status = "expired"
    else:
        status = "in_progress" if shown.counts.in_progress else "completed"
    days = store.expires_after_days
    return {
        "id": store.id,
        "object": "vector_store",
        "created_at": store.created_unix_s,
        "name": store.title,
        "description": store.description or None,
        "usage_bytes": shown.usage_bytes,
        "file_counts": _counts(shown.counts),
        "status": status,
        "expires_after": None if days is None else {"anchor": "last_active_at", "days": days},
        "expires_at": store.expires_unix_s,
        "last_active_at": store.active_unix_s,
        "metadata": store.metadata,
    }


def store_file_object(file: StoreFile) -> Said:
    """A file of a vector store."""
    error = None
    if file.fault is not None:
        error = {"code": file.fault.value, "message": file.message}
    return {
        "id": file.file_id,
        "object": "vector_store.file",
        "created_at": file.created_unix_s,
        "vector_store_id": file.store,
        "status": file.state.value,
        "usage_bytes": file.usage_bytes,
        "last_error": error,
        "attributes": file.attributes,
        "chunking_strategy": _strategy(file),
        "filename": file.filename,
    }


def batch_object(batch: Batch) -> Said:
    """Files that were put in together."""
    counts = batch.counts
    if counts.in_progress:
        state = FileState.IN_PROGRESS
    elif batch.cancelled:
        state = FileState.CANCELLED
    elif counts.failed and not counts.completed:
        state = FileState.FAILED
    else:
        state = FileState.COMPLETED
    return {
        "id": batch.id,
        "object": "vector_store.files_batch",
        "created_at": batch.created_unix_s,
        "vector_store_id": batch.store,
        "status": state.value,
        "file_counts": _counts(counts),
    }


def passages_page(texts: Sequence[str]) -> Said:
    """What is in a file of a store."""
    return {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": text} for text in texts],
        "has_more": False,
        "next_page": None,
    }


def found_page(questions: Sequence[str], found: Sequence[tuple[Cited, StoreFile | None]]) -> Said:
    """What a search has brought back."""
    return {
        "object": "vector_store.search_results.page",
        "search_query": questions,
        "data": [_found(passage, file) for passage, file in found],
        "has_more": False,
        "next_page": None,
    }


def _found(passage: Cited, file: StoreFile | None) -> Said:
    """A passage of what was not put in as a file is of the document that it says."""
    attributes: Mapping[str, object]
    if file is None:
        name = passage.document or passage.id
        scalar = str | int | float | bool
        attributes = {
            key: value for key, value in passage.metadata.items() if isinstance(value, scalar)
        }
    else:
        name, attributes = file.filename, file.attributes
    return {
        "file_id": passage.document or passage.id,
        "filename": name,
        "score": passage.score,
        "attributes": attributes,
        "content": [{"type": "text", "text": passage.text}],
    }


def _counts(counts: Counts) -> Said:
    return {
        "in_progress": counts.in_progress,
        "completed": counts.completed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "total": counts.total,
    }


def _strategy(file: StoreFile) -> Said:
    """How it was cut: `other` is the PoP's own way, by structure, which no number says."""
    cut = file.cut
    if cut is None:
        return {"type": "other"}
    return {
        "type": "static",
        "static": {
            "max_chunk_size_tokens": cut.tokens_max,
            "chunk_overlap_tokens": cut.overlap_tokens,
        },
    }
