"""JSONL and Parquet files as records."""

import base64
import json
import sys
from array import array
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from littoral.adapters.documents import rows
from littoral.adapters.documents.words import Some
from littoral.terms.errors import MissingExtraError
from littoral.terms.memory import Record, Sparse
from tests.adapters.documents.made import failure_of, records_of, said_of


def packed(*numbers: float) -> bytes:
    return array("f", numbers).tobytes()


def lines(path: Path, *values: object) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def test_a_line_is_a_record_and_columns_of_no_meaning_are_metadata(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "a.jsonl",
        {
            "id": 7,
            "text": "a text",
            "vector": [1, 0.5],
            "vectors": {"image": [[1, 2], [3, 4]], "none": None},
            "sparse": {"words": {"indices": [3], "values": [0.5]}},
            "metadata": {"year": 2026},
            "lang": "en",
            "nothing": None,
            "document": "d",
            "position": 2,
            "labels": ["staff"],
        },
        {"_id": "b", "title": "Of tides", "text": "other"},
    )
    first, second = records_of(path, metadata={"lang": "de", "by": "me"}, labels=("own",))
    assert first == Record(
        id="7",
        text="a text",
        vectors={"": packed(1, 0.5), "image": packed(1, 2, 3, 4)},
        sparse={"words": Sparse((3,), (0.5,))},
        metadata={"lang": "en", "by": "me", "year": 2026},
        document="d",
        position=2,
        labels=("staff", "own"),
    )
    assert (second.id, second.header) == ("b", "Of tides")
    assert second.metadata == {"lang": "de", "by": "me", "title": "Of tides"}


def test_a_record_without_an_id_has_the_same_one_each_time(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "one"}, {"text": "two"}, {"text": "one"})
    first, second, third = records_of(path)
    assert first.id == third.id != second.id


def test_a_vector_may_be_base64(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"vector": base64.b64encode(packed(1, 2)).decode()})
    assert records_of(path)[0].vectors == {"": packed(1, 2)}


def test_many_lines_come_some_at_a_time(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", *({"id": str(number), "text": "x"} for number in range(600)))
    somes = [one for one in said_of(path) if isinstance(one, Some)]
    assert [len(one.records) for one in somes] == [256, 256, 88]
    assert somes[-1].bytes_done == path.stat().st_size
    assert somes[0].bytes_done < somes[1].bytes_done


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("[1]", "no JSON object"),
        ("{", "no JSON object"),
        ('{"id": true, "text": "x"}', "`id`"),
        ('{"id": "", "text": "x"}', "`id`"),
        ('{"text": 1}', "`text` is no text"),
        ('{"vector": "?"}', "a vector is neither"),
        ('{"vector": [1, "2"]}', "a vector is neither"),
        ('{"vectors": [1, 2]}', "`vectors` is no object"),
        ('{"sparse": {"a": {"indices": [-1], "values": [1]}}}', "`sparse`"),
        ('{"text": "x", "metadata": 1}', "`metadata` is no object"),
        ('{"text": "x", "labels": "staff"}', "`labels`"),
        ('{"text": "x", "position": "1"}', "`position`"),
        ('{"year": 2026}', "neither `text` nor `vector`"),
    ],
)
def test_a_bad_row_is_told_by_its_number_and_those_before_it_are_given(
    tmp_path: Path, row: str, why: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good"}\n\n' + row + "\n")
    failed = failure_of(path)
    assert failed.message.startswith("a.jsonl: row 3 can't be taken")
    assert why in failed.message
    assert [one.records[0].text for one in said_of(path) if isinstance(one, Some)] == ["good"]


def test_a_line_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "ROW_BYTES_MAX", 100)
    path = lines(tmp_path / "a.jsonl", {"text": "x" * 200})
    assert "row 1 can't be taken: it is over 100 bytes" in failure_of(path).message


def table(path: Path, **columns: object) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def test_a_row_of_parquet_is_a_record_its_values_made_plain(tmp_path: Path) -> None:
    path = table(
        tmp_path / "a.parquet",
        id=[1, 2],
        text=["one", None],
        vector=pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
        at=[datetime(2026, 1, 2, tzinfo=UTC), None],
        price=[Decimal("1.50"), Decimal("2.00")],
        nested=[{"a": [1, 2]}, None],
        tags=[["x", "y"], []],
    )
    first, second = records_of(path)
    assert (first.id, first.text, first.vectors) == ("1", "one", {"": packed(1, 2)})
    assert first.metadata == {
        "at": "2026-01-02T00:00:00+00:00",
        "price": 1.5,
        "nested": {"a": [1, 2]},
        "tags": ["x", "y"],
    }
    assert (second.id, second.text, second.metadata) == ("2", "", {"price": 2, "tags": []})


def test_a_value_of_parquet_that_can_not_be_kept_is_told(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", text=["x"], raw=[b"bytes"])
    assert "row 1 can't be taken" in failure_of(path).message


def test_a_group_of_rows_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_ROW_GROUP_BYTES_MAX", 10)
    path = table(tmp_path / "a.parquet", text=["some text"])
    assert "a group of rows" in failure_of(path).message


def test_without_what_reads_parquet_it_is_said_how_to_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path / "a.parquet", text=["x"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    failed = failure_of(path)
    assert failed.code == MissingExtraError.code
    assert "littoral[parquet]" in failed.advice
