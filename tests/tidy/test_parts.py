"""That `make test` runs every test there is, and fails if one does."""

import pytest

from tests.tidy.test_source import name_of, python_files
from tools.parts import ELSEWHERE, parts, verdict


def test_every_test_file_is_in_one_part() -> None:
    there = [
        name
        for name in map(name_of, python_files("tests"))
        if name.rpartition("/")[2].startswith("test_") and name.split("/")[1] not in ELSEWHERE
    ]
    waiting, computing = parts()
    assert sorted(name for part in (*waiting, *computing) for name in part) == there


@pytest.mark.parametrize(
    ("statuses", "said"),
    [([0, 0], 0), ([0, 1, 0, 2], 1), ([5, 0], 0), ([5, 5], 5), ([5, 1, 0], 1), ([0, -11], -11)],
    ids=str,
)
def test_what_failed_counts_and_an_empty_part_does_not(statuses: list[int], said: int) -> None:
    assert verdict(statuses) == said
