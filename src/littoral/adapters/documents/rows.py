"""JSONL and Parquet files as records, some hundred at a time.

A row is one record. Its columns are

- `id` (or `_id`): text or a whole number; without one, a digest of the text, so that the same row
  is the same record again;
- `text`; `header`, which places it, and where there is none `title`;
- `vector`: numbers (or base64 of little-endian float32); `vectors`: an object of such, by their
  names; numbers in lists in a list are many vectors under one name; `sparse`: an object of
  `{"indices": …, "values": …}`;
- `metadata`: an object; every other column goes into it, under its own name;
- `document`, `position`, `labels`.

What is null is not there. A row is never cut: its text is one passage, however long.
"""

import base64
import binascii
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from littoral.adapters.documents.kinds import refused
from littoral.memory.passages import passage_digest
from littoral.terms.errors import BadRequestError, MissingExtraError
from littoral.terms.limits import IMPORT_PASSAGES, ROW_BYTES_MAX
from littoral.terms.memory import Record, Sparse

__all__ = ["jsonl_rows", "parquet_rows", "record_of", "with_more"]

_OWN: Final = frozenset(
    {"id", "_id", "text", "header", "vector", "vectors", "sparse", "metadata"}
    | {"document", "position", "labels"}
)
_ROW_GROUP_BYTES_MAX: Final = 2 * 1024 * 1024 * 1024
_decode: Final = msgspec.json.Decoder(dict[str, object]).decode

Rows = Iterator[tuple[list[Record], int]]
"""Records, and how many bytes of the file have been read with them."""


def jsonl_rows(path: Path, name: str) -> Rows:
    """The records of a file with one JSON object a line; empty lines do not matter.

    Raises:
        BadRequestError: a line is none; all before it have been given.
    """
    records: list[Record] = []
    size = done = 0
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(ROW_BYTES_MAX + 1), b""), 1):
            size, done = size + len(line), done + len(line)
            if len(records) >= IMPORT_PASSAGES or size > ROW_BYTES_MAX:
                yield records, done
                records, size = [], len(line)
            bare = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if bare.strip():
                try:
                    records.append(_line(bare, name, number))
                except BadRequestError:
                    yield records, done
                    raise
    yield records, done


def parquet_rows(path: Path, name: str) -> Rows:
    """The records of a Parquet file.

    Raises:
        MissingExtraError: what reads them is not installed.
        BadRequestError: the file or a row is malformed.
    """
    try:
        from pyarrow import parquet  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise MissingExtraError(
            "reading Parquet files needs pyarrow", advice="`pip install 'littoral[parquet]'`"
        ) from error
    size = path.stat().st_size
    with parquet.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
        head = file.metadata
        groups = [head.row_group(number).total_byte_size for number in range(head.num_row_groups)]
        if max(groups, default=0) > _ROW_GROUP_BYTES_MAX:
            raise refused(
                name,
                f"has a group of rows of {max(groups):,} bytes",
                "write it anew with `row_group_size=10_000`",
            )
        number = 0
        for batch in file.iter_batches(batch_size=IMPORT_PASSAGES, use_threads=False):
            records = []
            for row in batch.to_pylist():
                number += 1
                records.append(record_of(_plain_row(row, name, number), name, number))
            yield records, size * number // max(1, head.num_rows)


def record_of(row: Mapping[str, object], name: str, number: int) -> Record:
    """The record that a row says."""
    text = _text(row, "text", name, number)
    vectors = _vectors(row, name, number)
    sparse = row.get("sparse") or {}
    more = row.get("metadata") or {}
    labels = row.get("labels") or ()
    position = row.get("position") or 0
    if not isinstance(more, Mapping):
        raise _bad(name, number, "`metadata` is no object")
    if not isinstance(labels, list | tuple) or not all(isinstance(each, str) for each in labels):
        raise _bad(name, number, "`labels` is no list of texts")
    if not isinstance(position, int):
        raise _bad(name, number, "`position` is no whole number")
    try:
        said_sparse = msgspec.convert(sparse, dict[str, Sparse])
    except msgspec.ValidationError as error:
        raise _bad(name, number, "`sparse` is no object of indices and values") from error
    others = {key: each for key, each in row.items() if key not in _OWN and each is not None}
    metadata = {**others, **more}
    title = metadata.get("title")
    header = _text(row, "header", name, number) or (title if isinstance(title, str) else "")
    if not (text or vectors or said_sparse):
        raise _bad(name, number, "there is neither `text` nor `vector` in it")
    return Record(
        id=_id(row, name, number) or passage_digest(f"{header}\n{text}").partition(":")[2][:32],
        vectors=vectors,
        sparse=said_sparse,
        text=text,
        header=header,
        metadata=metadata,
        document=_text(row, "document", name, number),
        position=position,
        labels=tuple(labels),
    )


def with_more(
    records: Iterable[Record], metadata: Mapping[str, object], labels: Sequence[str]
) -> Iterator[Record]:
    """The same records with what was said of all of them: theirs goes before, labels add up."""
    for record in records:
        if not metadata and not labels:
            yield record
            continue
        yield msgspec.structs.replace(
            record,
            metadata={**metadata, **record.metadata},
            labels=tuple(dict.fromkeys((*record.labels, *labels))),
        )


def _line(line: bytes, name: str, number: int) -> Record:
    if len(line) > ROW_BYTES_MAX:
        raise _bad(name, number, f"it is over {ROW_BYTES_MAX:,} bytes")
    try:
        row = _decode(line)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise _bad(name, number, "it is no JSON object") from error
    return record_of(row, name, number)


def _id(row: Mapping[str, object], name: str, number: int) -> str:
    said = row.get("id") if row.get("id") is not None else row.get("_id")
    if said is None:
        return ""
    if isinstance(said, bool) or not isinstance(said, str | int) or said == "":
        raise _bad(name, number, "`id` is neither text nor a whole number")
    return str(said)


def _text(row: Mapping[str, object], key: str, name: str, number: int) -> str:
    said = row.get(key)
    if said is None:
        return ""
    if not isinstance(said, str):
        raise _bad(name, number, f"`{key}` is no text")
    return said


def _vectors(row: Mapping[str, object], name: str, number: int) -> dict[str, bytes]:
    named = row.get("vectors") or {}
    if not isinstance(named, Mapping):
        raise _bad(name, number, "`vectors` is no object; one vector alone is `vector`")
    found = {**named}
    if row.get("vector") is not None:
        found[""] = row["vector"]
    try:
        return {key: _packed(each) for key, each in found.items() if each is not None}
    except (TypeError, ValueError, OverflowError, binascii.Error) as error:
        raise _bad(name, number, "a vector is neither a list of numbers nor base64") from error


def _packed(vector: object) -> bytes:
    """A vector, or several in one, as they are kept."""
    if isinstance(vector, str):
        return base64.b64decode(vector, validate=True)
    if not isinstance(vector, list):
        raise TypeError
    if vector and isinstance(vector[0], list):
        return b"".join(_packed(each) for each in vector)
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _plain_row(row: Mapping[str, object], name: str, number: int) -> dict[str, object]:
    return {key: _plain(value, name, number) for key, value in row.items() if value is not None}


def _plain(value: object, name: str, number: int) -> object:
    """A value of Parquet's, JSON-shaped."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each, name, number) for key, each in value.items()}
    if isinstance(value, list | tuple):
        if value and isinstance(value[0], float | int):
            return list(value)
        return [_plain(each, name, number) for each in value]
    raise _bad(
        name, number, f"a value of it is of a kind that is not kept ({type(value).__name__})"
    )


def _bad(name: str, number: int, why: str) -> BadRequestError:
    return BadRequestError(
        f"{name[-200:]}: row {number} can't be taken: {why}",
        advice="mend it and add the file again; rows before it are kept",
        param="file",
    )
