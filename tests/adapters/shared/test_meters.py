"""Meters: what was counted stays counted, whoever dies."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from littoral.adapters.shared import OTHER, Meters, Series, series_words
from littoral.adapters.shared import meters as meters_module
from tests.adapters.shared.test_board import line, process

RESERVED = series_words("asked", (OTHER,), 1) + series_words("time", (OTHER,), 3)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def own(run: Path, worker: int = 0) -> Meters:
    return Meters.own(run, worker, reserved_words=RESERVED)


COUNT = """
import sys
from pathlib import Path
from littoral.adapters.shared import Meters
meters = Meters.own(Path(sys.argv[1]), int(sys.argv[2]), reserved_words=64)
for turn in range(1000):
    meters.cells[meters.series("asked", (f"model {turn % 7}",), 1)] += 1
print("counted", flush=True)
sys.stdin.read()
"""


def asked(meters: Meters) -> float:
    return sum(series.cells[0] for series in meters.everyone() if series.name == "asked")


def test_what_is_counted_is_read_with_its_labels(tmp_path: Path) -> None:
    with own(tmp_path) as meters:
        first = meters.series("asked", ("ä model, “quoted”",), 1)
        meters.cells[first] += 2.5
        assert meters.series("asked", ("ä model, “quoted”",), 1) == first
        at = meters.series("time", ("b",), 3)
        meters.cells[at + 2] = 7
        assert list(meters.everyone()) == [
            Series("asked", ("ä model, “quoted”",), [2.5], True),
            Series("time", ("b",), [0, 0, 7], True),
        ]


def test_a_killed_worker_loses_no_count_and_its_next_life_goes_on(
    tmp_path: Path, opened: ExitStack
) -> None:
    mine = opened.enter_context(own(tmp_path))
    for life in range(1, 4):
        with process(COUNT, tmp_path, 1) as worker:
            assert line(worker) == b"counted\n"
            assert asked(mine) == 1000 * life
            assert all(series.alive for series in mine.everyone())
            worker.send_signal(signal.SIGKILL)
            worker.wait(30)
        assert asked(mine) == 1000 * life
        assert not any(series.alive for series in mine.everyone())
    assert len(list(mine.everyone())) == 7


def test_workers_are_added_up_by_whoever_is_asked(tmp_path: Path, opened: ExitStack) -> None:
    workers = [opened.enter_context(own(tmp_path, number)) for number in range(3)]
    for worker in workers:
        worker.cells[worker.series("asked", ("m",), 1)] += 1
    assert [asked(worker) for worker in workers] == [3, 3, 3]


def test_a_series_half_made_is_not_there(tmp_path: Path) -> None:
    with own(tmp_path) as meters:
        meters.cells[meters.series("asked", ("m",), 1)] = 1
        end = meters._words[0]
        meters.series("asked", ("other model",), 1)
        meters._words[0] = end
    with own(tmp_path) as again:
        assert [series.labels for series in again.everyone()] == [("m",)]
        assert again.cells[again.series("asked", ("new",), 1)] == 0
        assert [series.labels for series in again.everyone()] == [("m",), ("new",)]


def test_series_without_room_are_counted_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters_module, "METERS_BYTES_MAX", 1024)
    with own(tmp_path) as meters:
        for number in range(100):
            meters.cells[meters.series("asked", (f"model {number}",), 1)] += 1
            meters.cells[meters.series("time", (f"model {number}",), 3)] += 1
        assert asked(meters) == 100
        others = {each.name: each.cells[0] for each in meters.everyone() if each.labels == (OTHER,)}
        assert others.keys() == {"asked", "time"}
        assert others["asked"] > 50
    with own(tmp_path) as again:
        again.cells[again.series("asked", ("one more",), 1)] += 1
        assert asked(again) == 101


def test_private_meters_are_seen_by_nobody(tmp_path: Path, opened: ExitStack) -> None:
    seen = opened.enter_context(own(tmp_path))
    private = opened.enter_context(Meters.private(reserved_words=RESERVED))
    private.cells[private.series("asked", ("m",), 1)] += 1
    assert (asked(private), asked(seen)) == (1, 0)
