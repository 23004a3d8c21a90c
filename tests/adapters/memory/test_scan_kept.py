"""What of the index lies on disk: whole, or not there."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from littoral.adapters.memory.scan import Among, Truth, VectorScan
from littoral.adapters.memory.scan.building import building_alone
from littoral.adapters.memory.scan.generation import CODES, META, ROWS, VALUES, VECTORS
from littoral.terms.errors import DiskShortError, InternalError
from littoral.terms.memory import Metric
from tests.adapters.memory.scanned import Vectors, clustered

ROWS_MADE, D = 5_000, 16


def opened(folder: Path, metric: Metric = Metric.DOT, dimensions: int = D) -> VectorScan:
    return VectorScan.open(folder, dimensions, metric)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Vectors]:
    folder = tmp_path_factory.mktemp("built")
    scan, truth = opened(folder), Vectors(D, Metric.DOT)
    truth.change(scan, [], clustered(ROWS_MADE, D))
    assert scan.rebuild(truth.opened)
    return folder, truth


@pytest.fixture
def folder(built: tuple[Path, Vectors], tmp_path: Path) -> Path:
    return shutil.copytree(built[0], tmp_path / "copy")


def generation(folder: Path) -> Path:
    return folder / (folder / "current").read_text()


def test_who_opens_it_again_finds_the_same(folder: Path, built: tuple[Path, Vectors]) -> None:
    scan, before = opened(folder), opened(built[0])
    assert (scan.through, scan.position, scan.alive) == (1, 1, ROWS_MADE)
    for query in clustered(20, D, seed=3):
        assert scan.search(query, 10).rows.tolist() == before.search(query, 10).rows.tolist()


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))


def blank(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("name", [META, ROWS, VECTORS, CODES, VALUES])
@pytest.mark.parametrize("harm", [cut, lengthen, flip, blank, Path.unlink])
def test_a_damaged_generation_is_as_good_as_none(
    folder: Path, built: tuple[Path, Vectors], name: str, harm: Callable[[Path], object]
) -> None:
    harm(generation(folder) / name)
    scan = opened(folder)
    assert (scan.through, scan.alive) == (0, 0)
    assert scan.rebuild(built[1].opened)
    assert opened(folder).alive == scan.alive == ROWS_MADE


@pytest.mark.parametrize("said", ["", "g-elsewhere", "../secret", "x" * 300])
def test_a_pointer_to_nothing_is_as_good_as_none(folder: Path, said: str) -> None:
    (folder / "current").write_text(said)
    assert opened(folder).through == 0


def test_a_generation_of_another_kind_is_as_good_as_none(folder: Path) -> None:
    assert opened(folder, Metric.L2).through == 0
    assert opened(folder, dimensions=D * 2).through == 0


def test_a_generation_of_nothing_and_of_a_few_are_kept_too(tmp_path: Path) -> None:
    scan, truth = opened(tmp_path), Vectors(D, Metric.DOT, sequence=3)
    assert scan.rebuild(truth.opened)
    assert (opened(tmp_path).through, opened(tmp_path).alive) == (3, 0)
    truth.change(scan, [], clustered(5, D))
    assert scan.rebuild(truth.opened)
    assert (opened(tmp_path).through, opened(tmp_path).alive) == (4, 5)


def test_what_was_replaced_is_gone_and_searches_under_way_still_have_it(folder: Path) -> None:
    reader, writer, before = opened(folder), opened(folder), generation(folder)
    query = clustered(1, D, seed=3)[0]
    found = reader.search(query, 5).rows.tolist()
    assert writer.rebuild(lambda: Truth(9, [(np.array([70_000]), query[None])]))
    assert not before.exists()
    assert sorted(path.name for path in folder.iterdir()) == ["current", generation(folder).name]
    assert reader.search(query, 5).rows.tolist() == found
    assert reader.refresh()
    assert reader.search(query, 5).rows.tolist() == [70_000]
    assert not reader.refresh()


def test_another_process_keeps_what_the_new_generation_does_not_have(
    folder: Path, built: tuple[Path, Vectors]
) -> None:
    reader, writer = opened(folder), opened(folder)
    rows, vectors = np.arange(90_001, 90_005), clustered(4, D, seed=4) * 9
    for scan in (reader, writer):
        scan.change(2, rows=rows[:1], vectors=vectors[:1])
        scan.change(3, removed=np.array([1, 2]))
    held = built[1].held
    left = np.array(sorted(held.keys() - {1, 2}))
    kept = np.array([held[row] for row in left])
    brought = np.concatenate([kept, vectors[:1]])
    for scan in (reader, writer):
        scan.change(4, removed=np.array([3, 90_001]), rows=rows[1:], vectors=vectors[1:])
    assert writer.rebuild(lambda: Truth(3, [(np.append(left, rows[0]), brought)]))
    assert reader.refresh()
    for scan in (reader, writer):
        assert (scan.through, scan.position, scan.alive) == (3, 4, ROWS_MADE)
        for row, vector in zip(rows, vectors, strict=True):
            best = scan.search(vector, 1).rows[0]
            assert best == row if row != 90_001 else best not in {1, 2, 3, 90_001}
        gone = Among(np.array([1, 2, 3, 90_001]))
        assert scan.search(vectors[0], 4, gone).rows.tolist() == []


def test_a_generation_of_an_older_truth_replaces_nothing(folder: Path) -> None:
    scan = opened(folder)
    before = generation(folder)
    scan.rebuild(lambda: Truth(0, [(np.array([1]), np.ones((1, D), np.float32))]))
    assert generation(folder) == before
    assert (scan.through, scan.alive) == (1, ROWS_MADE)


def test_one_at_a_time_makes_a_generation(folder: Path, built: tuple[Path, Vectors]) -> None:
    scan = opened(folder)
    with building_alone(folder) as alone:
        assert alone
        assert not scan.rebuild(built[1].opened)
    again: list[bool] = []
    opening = built[1].opened(before=lambda: again.append(scan.rebuild(built[1].opened)))
    assert scan.rebuild(lambda: opening)
    assert set(again) == {False}


def test_searches_and_changes_go_on_while_it_is_made(
    folder: Path, built: tuple[Path, Vectors]
) -> None:
    scan, far = opened(folder), np.full((1, D), 50.0, np.float32)
    sequence = iter(range(2, 100))

    def meanwhile() -> None:
        number = next(sequence)
        scan.change(number, np.array([number]), np.array([80_000 + number]), far + number)
        assert scan.search(far[0], 1).rows.tolist() == [80_000 + number]

    opening = built[1].opened(before=meanwhile)
    assert scan.rebuild(lambda: opening)
    assert (scan.through, scan.alive) == (1, ROWS_MADE)
    assert scan.search(far[0], 1).rows.tolist() == [80_000 + scan.position]
    gone = np.arange(2, scan.position + 1)
    assert not len(scan.search(far[0], 9, Among(gone)).rows)


def test_a_truth_whose_rows_do_not_ascend_is_a_defect(folder: Path) -> None:
    scan = opened(folder)
    rows, vectors = np.array([5, 4]), np.ones((2, D), np.float32)
    with pytest.raises(InternalError):
        scan.rebuild(lambda: Truth(9, [(rows, vectors)]))
    assert sorted(path.name for path in folder.iterdir()) == ["current", generation(folder).name]


def test_a_full_disk_is_said_and_leaves_what_was_there(
    folder: Path, built: tuple[Path, Vectors], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = opened(folder)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskShortError):
        scan.rebuild(built[1].opened)
    monkeypatch.setattr(os, "pwrite", full)
    fresh = clustered(1, D, seed=5) * 20
    with pytest.raises(OSError, match="full"):
        scan.change(2, np.array([1]), np.array([90_000]), fresh)
    monkeypatch.undo()
    assert (opened(folder).alive, scan.alive, scan.position) == (ROWS_MADE, ROWS_MADE, 1)
    scan.change(2, np.array([1]), np.array([90_000]), fresh)
    assert scan.search(fresh[0], 1).rows.tolist() == [90_000]
    assert scan.alive == ROWS_MADE


MAKER = """
import sys
from pathlib import Path
from littoral.adapters.memory.scan import VectorScan
from littoral.terms.memory import Metric
from tests.adapters.memory.scanned import Vectors, clustered
scan, truth = VectorScan.open(Path(sys.argv[1]), 16, Metric.DOT), Vectors(16, Metric.DOT)
truth.sequence = scan.through
while True:
    truth.change(scan, [], clustered(4_500, 16))
    assert scan.rebuild(lambda: truth.opened(before=lambda: print("batch", flush=True)))
    print(scan.through, flush=True)
    truth.held.clear()
"""


@pytest.mark.parametrize("lines", [2, 5, 8, 13])
def test_a_maker_that_is_killed_leaves_a_whole_generation(folder: Path, lines: int) -> None:
    command = [sys.executable, "-c", MAKER, str(folder)]
    done = 1
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None
        for _ in range(lines):
            line = maker.stdout.readline().strip()
            done = done if line == "batch" else int(line)
        maker.kill()
    scan = opened(folder)
    assert scan.through in {done, done + 1}
    assert scan.alive == (ROWS_MADE if scan.through == 1 else 4_500)
    assert sorted(path.name for path in folder.iterdir()) == ["current", generation(folder).name]
