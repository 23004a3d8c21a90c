"""Readers meet bytes that were cut short or changed: only our errors leave, and soon."""

import io
import random
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from littoral.adapters.documents.words import Done, Failed
from tests.adapters.documents.made import docx_bytes, pdf_bytes, said_of

ROUNDS = 150


def _parquet() -> bytes:
    out = io.BytesIO()
    parquet.write_table(pa.table({"text": ["one", "two"], "vector": [[1.0], [2.0]]}), out)
    return out.getvalue()


def _stored_docx() -> bytes:
    """Without its compression, so that what is changed is the XML, too."""
    import zipfile

    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(docx_bytes([("Heading1", "a"), ("", "b")], "t"))) as packed,
        zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as stored,
    ):
        for name in packed.namelist():
            stored.writestr(name, packed.read(name))
    return out.getvalue()


KINDS = {
    "a.pdf": pdf_bytes(["one page", "two pages"], "title"),
    "a.docx": docx_bytes([("Heading1", "a"), ("", "b")], "t"),
    "b.docx": _stored_docx(),
    "a.parquet": _parquet(),
    "a.html": b"<html><title>a</title><table><tr><td>b<p>c</td></table><!-- d --></html>",
    "a.md": "---\ntitle: a\n---\n# b\n\n```\nc\n```\n\nd\n===\né\n".encode(),
    "a.jsonl": b'{"id": "a", "text": "b", "vector": [1.5, 2e3], "metadata": {"c": [1]}}\n',
}


@pytest.mark.parametrize("name", KINDS)
def test_damaged_bytes_are_read_or_refused(tmp_path: Path, name: str) -> None:
    chance = random.Random(name)
    whole = KINDS[name]
    path = tmp_path / name
    for _ in range(ROUNDS):
        data = bytearray(whole)
        if chance.random() < 0.5:
            del data[chance.randrange(len(data)) :]
        for _ in range(chance.choice((0, 1, 3, 20)) if data else 0):
            data[chance.randrange(len(data))] = chance.choice((0, 255, chance.randrange(256)))
        path.write_bytes(data)
        last = said_of(path)[-1]
        assert isinstance(last, Done | Failed)
        if isinstance(last, Failed):
            assert name in last.message
            assert last.advice
