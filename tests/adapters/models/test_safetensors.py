"""The safetensors reader: where tensors are, and that no bad file gets past or breaks it."""

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from littoral.adapters.models.safetensors import read_safetensors
from littoral.delivery.safetensors import Tensor
from littoral.terms.errors import BadRequestError
from tests.adapters.models.made import safetensors_bytes

ROW = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
DATA = bytes(24)


def table_of(folder: Path, content: bytes) -> object:
    path = folder / "m.safetensors"
    path.write_bytes(content)
    return read_safetensors(path)


def test_a_tensor_is_found_where_it_lies(tmp_path: Path) -> None:
    content = safetensors_bytes({"__metadata__": {"format": "pt"}, "w": ROW}, DATA)
    start = len(content) - 24
    assert table_of(tmp_path, content) == {"w": Tensor("F32", (2, 3), start, 24)}


BAD_ROWS = {
    "outside the file": {**ROW, "data_offsets": [0, 28]},
    "backwards": {**ROW, "data_offsets": [24, 0]},
    "before the data": {**ROW, "data_offsets": [-4, 20]},
    "another size than its shape": {**ROW, "shape": [2, 2]},
    "a negative side": {**ROW, "shape": [-2, -3]},
    "a shape that overflows": {**ROW, "shape": [2**62, 4, 2]},
    "an unknown type": {**ROW, "dtype": "F3"},
    "no shape": {"dtype": "F32", "data_offsets": [0, 24]},
    "a number": 7,
}


@pytest.mark.parametrize("row", BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_tensor_that_can_not_be_is_refused(tmp_path: Path, row: object) -> None:
    with pytest.raises(BadRequestError):
        table_of(tmp_path, safetensors_bytes({"w": row}, DATA))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\1\0",
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        b"\4" + b"\0" * 11,
    ],
)
def test_what_has_no_header_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadRequestError):
        table_of(tmp_path, content)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=8))
def test_no_damage_breaks_the_reader(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    content = bytearray(safetensors_bytes({"w": ROW, "v": ROW}, DATA))
    for place, value in changes:
        content[place % len(content)] = value
    with suppress(BadRequestError):
        table_of(tmp_path, bytes(content))
