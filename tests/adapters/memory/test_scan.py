"""The index of vectors against comparing everything."""

import shutil
import threading
from collections import defaultdict
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.adapters.memory.scan import Among, VectorScan, views
from littoral.adapters.memory.scan.kernels import best_of
from littoral.memory.planner import CODED_ROWS_MIN, Kind
from littoral.terms.errors import BadRequestError
from littoral.terms.limits import MEMORY_VIEWS_MAX
from littoral.terms.memory import Metric
from tests.adapters.memory.scanned import Vectors, agree, clustered, recall

ROWS, D = 5_000, 64


class Maker(Protocol):
    """Makes a collection with codes."""

    def __call__(
        self, metric: Metric = Metric.COSINE, dimensions: int = D
    ) -> tuple[VectorScan, Vectors]: ...


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[Metric, int], Path]:
    return defaultdict(lambda: tmp_path_factory.mktemp("kept"))


@pytest.fixture
def made(kept: dict[tuple[Metric, int], Path], tmp_path: Path) -> Maker:
    """Copies of what is built once."""

    def make(metric: Metric = Metric.COSINE, dimensions: int = D) -> tuple[VectorScan, Vectors]:
        built, truth = kept[metric, dimensions], Vectors(dimensions, metric)
        scan = VectorScan.open(built, dimensions, metric)
        truth.change(scan, [], clustered(ROWS, dimensions))
        if not scan.through:
            assert scan.rebuild(truth.opened)
        copy = shutil.copytree(built, tmp_path / "copy")
        return VectorScan.open(copy, dimensions, metric), truth

    return make


numbers = st.integers(-8, 8).map(float)
vectors_of_three = st.lists(st.lists(numbers, min_size=3, max_size=3), max_size=6)


@settings(max_examples=60)
@given(
    metric=st.sampled_from(Metric),
    steps=st.lists(st.tuples(vectors_of_three, st.lists(st.integers(1, 30), max_size=5))),
    rebuilt=st.integers(0, 12),
    query=st.lists(numbers, min_size=3, max_size=3),
    count=st.integers(1, 12),
    among=st.sets(st.integers(1, 40)),
)
def test_whatever_comes_and_goes_a_search_finds_what_comparing_all_finds(
    tmp_path_factory: pytest.TempPathFactory,
    metric: Metric,
    steps: list[tuple[list[list[float]], list[int]]],
    rebuilt: int,
    query: list[float],
    count: int,
    among: set[int],
) -> None:
    scan = VectorScan.open(tmp_path_factory.mktemp("scan"), 3, metric)
    truth, asked = Vectors(3, metric), np.array(query, np.float32)
    for number, (brought, removed) in enumerate(steps):
        truth.change(scan, removed, np.array(brought, np.float32).reshape(-1, 3))
        if number == rebuilt:
            assert scan.rebuild(truth.opened)
        agree(scan.search(asked, count), truth.nearest(asked, count))
        rows = sorted(among)
        for key in (None, "some"):
            found = scan.search(asked, count, Among(np.array(rows, np.int64), key))
            agree(found, truth.nearest(asked, count, rows))
        assert scan.alive == len(truth.held)
    scan.close()


@pytest.mark.parametrize(
    ("metric", "dimensions"),
    [(Metric.COSINE, D), (Metric.DOT, D), (Metric.L2, D), (Metric.L2, 115)],
)
def test_codes_find_99_of_100_neighbours(made: Maker, metric: Metric, dimensions: int) -> None:
    scan, truth = made(metric, dimensions)
    assert scan.plan(10).kind is Kind.SCAN
    assert recall(scan, truth, clustered(60, dimensions, seed=0)) >= 0.99


def test_a_query_that_is_unlike_all_vectors_has_more_of_them_compared(made: Maker) -> None:
    scan, truth = made(Metric.L2, 115)
    strange = clustered(60, 115, seed=1)
    assert recall(scan, truth, strange) >= 0.98
    assert recall(scan, truth, strange, Among(np.arange(1, ROWS, 2), "odd")) >= 0.98
    alone = [scan.search(query, 10).rows.tolist() for query in strange]
    assert [found.rows.tolist() for found in scan.search_many(strange, 10)] == alone


def test_a_score_is_exact_whatever_way_it_was_found(made: Maker) -> None:
    scan, truth = made(Metric.L2)
    query = clustered(1, D, seed=2)[0]
    scores = truth.scores(query)
    found = scan.search(query, 20)
    assert found.plan.kind is Kind.SCAN
    for row, score in zip(found.rows, found.scores, strict=True):
        assert score == pytest.approx(scores[int(row)], rel=1e-5)
    agree(scan.search(query, 20, exact=True), truth.nearest(query, 20))


def test_what_was_removed_is_never_found_though_it_was_all_the_nearest(made: Maker) -> None:
    scan, truth = made()
    query = clustered(1, D, seed=0)[0]
    gone = [row for row, _ in truth.nearest(query, 900)]
    truth.change(scan, gone, np.empty((0, D), np.float32))
    found = scan.search(query, 10)
    assert found.plan.kind is Kind.SCAN
    assert not set(found.rows) & set(gone)
    wanted = [score for _, score in truth.nearest(query, 10)]
    assert found.scores.tolist() == pytest.approx(wanted, abs=0.005)  # all are about as far


def test_what_has_come_is_found_at_once_and_with_codes_as_well(made: Maker) -> None:
    scan, truth = made()
    fresh = clustered(1_500, D, seed=5)
    for begin in range(0, 1_500, 300):
        rows = truth.change(scan, [], fresh[begin : begin + 300])
        assert scan.search(fresh[begin + 299], 1).rows.tolist() == [rows[-1]]
    assert recall(scan, truth, clustered(40, D, seed=5)) >= 0.98


def test_one_change_takes_away_and_brings_in_one_step(made: Maker) -> None:
    scan, truth = made()
    query = truth.held[17]
    (row,) = truth.change(scan, [17], query[None])
    assert scan.search(query, 1).rows.tolist() == [row]
    assert scan.alive == ROWS


def test_a_change_that_is_known_changes_nothing(made: Maker) -> None:
    scan, truth = made()
    fresh = clustered(2, D, seed=9)
    truth.change(scan, [1], fresh)
    for sequence in (truth.sequence, 1):
        scan.change(sequence, np.array([2]), np.array([70_000]), fresh[:1])
    assert scan.alive == len(truth.held) == ROWS + 1
    assert scan.position == truth.sequence


@pytest.mark.parametrize("share", [2, 10, 100])
def test_candidates_are_searched_alone(made: Maker, share: int) -> None:
    scan, truth = made()
    among = Among(np.arange(1, ROWS + 1, share), key=("one", share))
    assert recall(scan, truth, clustered(40, D, seed=0), among) >= 0.99
    assert recall(scan, truth, clustered(10, D, seed=0), Among(among.rows)) == 1.0


def test_a_view_of_candidates_follows_what_comes_and_goes(made: Maker) -> None:
    scan, truth = made()
    query = truth.held[30]
    rows = list(range(10, 4_000))
    assert scan.search(query, 1, Among(np.array(rows), "mine")).rows.tolist() == [30]
    truth.change(scan, [30], np.empty((0, D), np.float32))
    assert scan.search(query, 1, Among(np.array(rows), "mine")).rows[0] != 30
    to_come = Among(np.array([*rows, truth.row + 1]), "mine")
    scan.search(query, 1, to_come)
    (row,) = truth.change(scan, [], query[None])
    assert scan.search(query, 1, to_come).rows.tolist() == [row]
    assert scan.rebuild(truth.opened)
    assert scan.search(query, 1, to_come).rows.tolist() == [row]


@pytest.mark.parametrize("share", [2, 50])
def test_candidates_that_were_removed_are_left_out_also_where_none_was_before(
    made: Maker, share: int
) -> None:
    scan, truth = made()
    rows = np.arange(1, ROWS, share)
    query, among = truth.held[1 + share], Among(rows, "mine")
    none = np.empty((0, D), np.float32)
    assert scan.search(query, 1, among).rows.tolist() == [1 + share]
    for removed in ([2], [1 + share], [4], [1, 1 + 2 * share], []):
        truth.change(scan, removed, none if removed else query[None])
        best = truth.nearest(query, 5, rows.tolist())
        agree(scan.search(query, 5, among, exact=True), best)
        found = scan.search(query, 5, among).rows.tolist()
        assert found[0] == best[0][0]
        assert set(found) <= truth.held.keys() & set(rows.tolist())


def test_a_packed_query_finds_the_same(made: Maker) -> None:
    scan, truth = made()
    for query in clustered(5, D, seed=9):
        assert scan.search(query.tobytes(), 5).rows.tolist() == scan.search(query, 5).rows.tolist()
    pair = clustered(2, D, seed=9)
    many = scan.search_multi(pair.tobytes(), 5)
    assert many.rows.tolist() == scan.search_multi(pair, 5).rows.tolist()
    for look in (scan.search, scan.search_multi):
        for bad in (truth.held[1].tobytes()[:-4], truth.held[1].tobytes()[:-1]):
            with pytest.raises(BadRequestError):
                look(bad, 5)


def test_many_queries_find_what_each_finds(made: Maker) -> None:
    scan, truth = made()
    queries = clustered(30, D, seed=4)
    for _ in range(2):
        for query, found in zip(queries, scan.search_many(queries, 7), strict=True):
            assert found.rows.tolist() == scan.search(query, 7).rows.tolist()
        truth.change(scan, [3, 4], clustered(5, D, seed=6))


def test_of_equal_scores_the_lower_row_is_first(tmp_path: Path) -> None:
    scan, truth = VectorScan.open(tmp_path, 4, Metric.COSINE), Vectors(4, Metric.COSINE)
    truth.change(scan, [], np.ones((5, 4), np.float32))
    assert scan.search(np.ones(4, np.float32), 5).rows.tolist() == [1, 2, 3, 4, 5]


def test_a_vector_without_direction_is_kept_and_is_like_none(tmp_path: Path) -> None:
    scan = VectorScan.open(tmp_path, 4, Metric.COSINE)
    scan.change(1, rows=np.array([1]), vectors=np.zeros((1, 4), np.float32))
    assert scan.search(np.ones(4, np.float32), 1).scores.tolist() == [0.0]
    assert scan.search(np.zeros(4, np.float32), 1).rows.tolist() == [1]


@pytest.mark.parametrize("bad", [np.ones(5), np.array([1, np.nan, 0, 0]), np.full(4, 3e38)])
def test_a_query_that_cannot_be_compared_is_refused(tmp_path: Path, bad: np.ndarray) -> None:
    scan = VectorScan.open(tmp_path, 4, Metric.COSINE)
    with pytest.raises(BadRequestError):
        scan.search(bad.astype(np.float32), 1)
    with pytest.raises(BadRequestError):
        scan.search_many(bad[None].astype(np.float32), 1)
    with pytest.raises(BadRequestError):
        scan.change(1, rows=np.array([1]), vectors=bad[None].astype(np.float32))
    assert (scan.alive, scan.position) == (0, 0)


def test_readers_in_threads_see_whole_states_while_a_writer_replaces(made: Maker) -> None:
    scan, truth = made()
    mark = np.full(D, 9.0, np.float32)
    (row,) = truth.change(scan, [], mark[None])
    wrong: list[object] = []
    over = threading.Event()

    def read() -> None:
        last = 0
        while not over.is_set():
            rows = scan.search(mark, 1).rows
            score = float(scan.search(mark, 1).scores[0])
            if rows[0] < last or score < 0.999:  # neither the old one nor the new one, or back
                wrong.append((rows, score))
            last = rows[0]

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(400):
        (row,) = truth.change(scan, [row], mark[None])
        if number == 200:
            assert scan.rebuild(truth.opened)
    over.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert scan.search(mark, 1).rows.tolist() == [row]


def test_memory_is_bounded_by_64_bytes_a_vector(made: Maker) -> None:
    scan, truth = made(dimensions=384)
    assert scan.ram_bytes == ROWS * 48
    truth.change(scan, [1, 2, 3], clustered(ROWS // 4, 384, seed=3))
    assert scan.ram_bytes <= (ROWS + ROWS // 4) * 64


def test_it_says_when_it_should_be_made_anew(tmp_path: Path) -> None:
    scan, truth = VectorScan.open(tmp_path, 16, Metric.L2), Vectors(16, Metric.L2)
    truth.change(scan, [], clustered(CODED_ROWS_MIN - 1, 16))
    assert not scan.needs_rebuild()
    truth.change(scan, [], clustered(1, 16))
    assert scan.needs_rebuild() == "4,096 vectors have no codes"
    assert scan.rebuild(truth.opened)
    assert not scan.needs_rebuild()
    truth.change(scan, list(range(1, 2_049)), np.empty((0, 16), np.float32))
    assert scan.needs_rebuild() == "2,048 of 4,096 vectors were removed"
    truth.change(scan, [], clustered(2_100, 16))
    assert scan.rebuild(truth.opened)
    truth.change(scan, [], clustered(1_100, 16, seed=8) + 20)
    assert "times worse" in scan.needs_rebuild()
    truth.change(scan, [], clustered(1_100, 16))
    assert scan.needs_rebuild() == "2,200 vectors have come to 4,148"


def test_it_is_made_anew_for_less_where_nothing_is_to_come(made: Maker) -> None:
    scan, truth = made()
    truth.change(scan, [7], clustered(511, D))
    assert not scan.needs_rebuild(quiet=True)
    truth.change(scan, [], clustered(1, D))
    assert not scan.needs_rebuild()
    assert scan.needs_rebuild(quiet=True) == "512 vectors have come to 5,000"
    assert scan.rebuild(truth.opened)
    assert not scan.needs_rebuild(quiet=True)


@given(
    length=st.sampled_from([0, 1, 5, 511, 512, 513, 2_000]),
    count=st.integers(1, 600),
    different=st.integers(1, 50),
    seed=st.integers(0, 100),
)
@settings(max_examples=80)
def test_the_best_of_all_are_given_the_least_of_them_first(
    length: int, count: int, different: int, seed: int
) -> None:
    scores = np.random.default_rng(seed).integers(different, size=length).astype(np.float32)
    best = best_of(scores, count)
    assert len(set(best.tolist())) == len(best)
    assert scores[best].tolist() == np.sort(scores)[max(0, length - count) :].tolist()


@pytest.mark.parametrize("metric", Metric)
def test_numbers_near_the_largest_there_are_do_no_harm(tmp_path: Path, metric: Metric) -> None:
    scan, truth = VectorScan.open(tmp_path, D, metric), Vectors(D, metric)
    truth.change(scan, [], clustered(ROWS, D) * np.float32(1e18))
    assert scan.rebuild(truth.opened)
    for query in clustered(5, D, seed=1) * np.float32(1e18):
        for found in (scan.search(query, 5), scan.search_many(query[None], 5)[0]):
            assert set(found.rows) <= set(truth.held)


def test_a_search_for_nearly_all_gives_nearly_all(made: Maker) -> None:
    scan, truth = made()
    truth.change(scan, [], clustered(900, D, seed=7))
    query = clustered(1, D, seed=1)[0]
    for found in (scan.search(query, ROWS + 800), scan.search_many(query[None], ROWS + 800)[0]):
        assert len(set(found.rows)) == ROWS + 800
    assert len(scan.search(query, 10_000).rows) == ROWS + 900


def test_views_are_bounded_in_number_and_in_bytes(
    made: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, truth = made()
    query, rows = truth.held[30], np.arange(1, 2_001)
    for key in range(MEMORY_VIEWS_MAX + 3):
        scan.search(query, 1, Among(rows[:10], key))
    kept = scan.ram_bytes
    scan.search(query, 1, Among(rows[:10], "one more"))
    assert scan.ram_bytes == kept
    monkeypatch.setattr(views, "MEMORY_VIEWS_BYTES", 150_000)
    for key in range(9):
        assert scan.search(query, 1, Among(rows, key)).rows.tolist() == [30]
    assert scan.ram_bytes <= ROWS * 32 + 150_000
    scan.search(query, 1, Among(np.arange(1, ROWS), "too large to be kept"))
    assert scan.ram_bytes <= ROWS * 32 + 150_000
