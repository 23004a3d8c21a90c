"""Tables number the chunks of an artifact, and cover each file once and in order."""

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.tables import (
    CHUNK_BYTES_MAX,
    Table,
    check_cuts,
    cuts_of,
    encode_cuts,
    hashes_of,
)
from littoral.terms.errors import BadRequestError
from tests.delivery.made import cuts_of_pieces, table_of

FILES = st.lists(st.lists(st.binary(min_size=1, max_size=9), max_size=6), max_size=5)


@given(FILES)
def test_each_chunk_is_found_by_its_number(files: list[list[bytes]]) -> None:
    table = Table([table_of(pieces) for pieces in files])
    expected = [
        (file, len(b"".join(pieces[:at])), len(piece), blake3(piece).digest())
        for file, pieces in enumerate(files)
        for at, piece in enumerate(pieces)
    ]
    found = [table[number] for number in range(table.chunks)]
    assert [(chunk.file, chunk.start, chunk.size_bytes, chunk.hash) for chunk in found] == expected
    assert [chunk.number for chunk in found] == list(range(len(expected)))
    assert table.size_bytes == sum(size for _, _, size, _ in expected)
    assert table.files == len(files)
    for number in (-1, table.chunks):
        with pytest.raises(IndexError):
            table[number]


@given(FILES, st.data())
def test_the_chunks_over_a_range_are_those_that_have_its_bytes(
    files: list[list[bytes]], data: st.DataObject
) -> None:
    table = Table([cuts_of_pieces(pieces) for pieces in files], hashed=False)
    for file in range(table.files):
        start, end = data.draw(st.integers(-2, 60)), data.draw(st.integers(-2, 60))
        first, last = table.run_of(file)
        touched = [
            number
            for number in range(first, last)
            if table[number].start < end and table[number].start + table[number].size_bytes > start
        ]
        wanted = touched if start < end else []
        assert list(range(*table.run_over(file, start, end))) == wanted
        assert table.size_of(file) == len(b"".join(files[file]))


@given(FILES, st.sets(st.integers(0, 29)))
def test_bytes_of_a_set_are_counted(files: list[list[bytes]], some: set[int]) -> None:
    table = Table([table_of(pieces) for pieces in files])
    numbers = {number for number in some if number < table.chunks}
    expected = sum(table[number].size_bytes for number in numbers)
    assert table.bytes_of(ChunkSet.of(numbers)) == expected


@given(FILES)
def test_what_is_encoded_is_read_again(files: list[list[bytes]]) -> None:
    for pieces in files:
        table = table_of(pieces)
        assert encode_cuts(cuts_of(table)) == cuts_of_pieces(pieces)
        assert list(hashes_of(table)) == [blake3(piece).digest() for piece in pieces]
        check_cuts(table, len(b"".join(pieces)))
        check_cuts(cuts_of_pieces(pieces), len(b"".join(pieces)), hashed=False)


def test_the_largest_numbers_have_room() -> None:
    cuts = [(2**40 - 2, CHUNK_BYTES_MAX)]
    assert list(cuts_of(encode_cuts(cuts), hashed=False)) == cuts


@pytest.mark.parametrize(
    "cuts",
    [
        [(1, 3)],
        [(0, 2), (1, 2)],
        [(0, 1), (2, 1)],
        [(0, 2)],
        [(0, 4)],
        [(0, 3), (3, 0)],
        [(0, CHUNK_BYTES_MAX + 1)],
        [],
    ],
)
def test_cuts_that_do_not_cover_a_file_are_refused(cuts: list[tuple[int, int]]) -> None:
    with pytest.raises(BadRequestError):
        check_cuts(encode_cuts(cuts), 3, hashed=False)
    with pytest.raises(BadRequestError):
        check_cuts(encode_cuts([(0, 3)])[:-1], 3, hashed=False)
