"""One file, from its bytes to passages or records, in this process.

Whatever a reading library raises becomes a `BadRequestError` that names the file: these libraries
meet bytes of strangers, and promise little. What they may cost is bounded by the process that this
runs in (worker.py); whoever can't run it elsewhere should not run it at all.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from littoral.adapters.documents.kinds import Kind, kind_of, refused
from littoral.adapters.documents.words import Begun, Done, Failed, Job, Said, Some, Still
from littoral.memory.contextual import embedded_text
from littoral.memory.passages import Document, passages
from littoral.terms.errors import LittoralError, MissingExtraError, UnsupportedError
from littoral.terms.limits import DOCUMENT_FILE_BYTES_MAX, IMPORT_PASSAGES
from littoral.terms.memory import Record

if TYPE_CHECKING:
    from littoral.adapters.documents.cutting import TokenLimit

__all__ = ["read", "read_document"]

Say = Callable[[Said], None]

_INSTALL = "install it: `pip install 'littoral[memory,onnx]'`"


def read(job: Job, say: Say) -> None:
    """Say what comes of a job; the last is Done or Failed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _read(job, say)
        say(Done())
    except LittoralError as error:
        empty = bool(error.details.get("empty"))
        say(Failed(error.message, error.advice, error.code, empty))
    except ImportError as error:
        say(
            Failed(
                f"reading {job.name[-200:]} needs {error.name}", _INSTALL, MissingExtraError.code
            )
        )
    except MemoryError:
        say(_failed(job, "takes more memory to read than it may", "cut it, or make it simpler"))
    except RecursionError:
        say(_failed(job, "is nested too deeply to be read", "make it simpler"))
    except Exception as error:  # of libraries that read what strangers wrote
        why = f"can't be read: it is damaged, or no such file ({type(error).__name__})"
        say(_failed(job, why, "open it with what made it and save it again, or give it as text"))


def read_document(path: Path, name: str, kind: Kind, still: Callable[[int, int], None]) -> Document:
    """A file that holds one document, as such."""
    size = path.stat().st_size
    if size > DOCUMENT_FILE_BYTES_MAX:
        raise refused(
            name,
            f"has {size:,} bytes",
            f"cut it: files of up to {DOCUMENT_FILE_BYTES_MAX:,} bytes are read",
        )
    # Each imports libraries that the others do not need.
    match kind:
        case Kind.TEXT | Kind.MARKDOWN:
            from littoral.adapters.documents import texts  # noqa: PLC0415

            return texts.plain_document(path, name, markdown=kind is Kind.MARKDOWN)
        case Kind.HTML:
            from littoral.adapters.documents import texts  # noqa: PLC0415

            return texts.html_document(path, name)
        case Kind.PDF:
            from littoral.adapters.documents import packed  # noqa: PLC0415

            return packed.pdf_document(path, name, still)
        case Kind.DOCX:
            from littoral.adapters.documents import packed  # noqa: PLC0415

            return packed.docx_document(path, name)
        case Kind.JSONL | Kind.PARQUET:
            raise UnsupportedError(
                f"{name[-200:]} holds records, and not one document",
                advice="add it with `littoral memory add`",
            )
        case _:
            assert_never(kind)


def _read(job: Job, say: Say) -> None:
    path = Path(job.path)
    kind = kind_of(path, job.name)
    if kind is Kind.JSONL and not job.records:
        kind = Kind.TEXT
    say(Begun(kind.value, kind.holds_records))
    if kind.holds_records and job.records:
        for some in _rows(path, job, kind):
            say(some)
        return
    from littoral.adapters.documents.cutting import pieces_of  # noqa: PLC0415

    document = read_document(path, job.name, kind, lambda done, total: say(Still(done, total)))
    limit = _limit(job.tokenizer, job.tokens_max) if job.tokenizer else None
    pieces = pieces_of(document, job.cutting, limit)
    if not pieces:
        raise refused(job.name, "has no text in it", "leave it out", empty=True)
    records = passages(document, pieces, metadata=job.metadata, labels=job.labels)
    for start in range(0, len(records), IMPORT_PASSAGES):
        say(Some(records[start : start + IMPORT_PASSAGES]))


def _rows(path: Path, job: Job, kind: Kind) -> Iterator[Some]:
    from littoral.adapters.documents import rows  # noqa: PLC0415

    found = (rows.jsonl_rows if kind is Kind.JSONL else rows.parquet_rows)(path, job.name)
    limit = _limit(job.tokenizer, job.context_tokens) if job.tokenizer else None
    for records, done in found:
        made = tuple(rows.with_more(records, job.metadata, job.labels))
        yield Some(made, done, 0 if limit is None else _beyond(made, limit))


def _beyond(records: Iterable[Record], limit: "TokenLimit") -> int:
    """How many have more text than a model reads; a token has a character or more."""
    texts = [
        embedded_text(record) for record in records if record.text and "" not in record.vectors
    ]
    long = [text for text in texts if len(text) > limit.tokens_max]
    return sum(count > limit.tokens_max for count in limit.counts(long))


@lru_cache(maxsize=4)
def _limit(tokenizer: str, tokens_max: int) -> "TokenLimit":
    from littoral.adapters.documents.cutting import TokenLimit  # noqa: PLC0415

    return TokenLimit(tokenizer, tokens_max)


def _failed(job: Job, why: str, advice: str) -> Failed:
    error = refused(job.name, why, advice)
    return Failed(error.message, error.advice, error.code)
