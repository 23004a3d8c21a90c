"""Whole files are hashed while they come."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from littoral.node.delivery.sealing import Hashing
from littoral.terms.errors import LittoralError
from tests.adapters.artifacts.made import model, store_in, take, write


def test_what_came_is_hashed_on_a_thread_and_again_once_more_has_come(tmp_path: Path) -> None:
    source, failed = model(), list[LittoralError]()
    with closing(store_in(tmp_path)) as store:
        intake = take(store, source)
        for numbers in ([2, 3, 4], [0]):
            write(intake, source, numbers)
            with ThreadPoolExecutor(1) as threads:
                Hashing(intake, threads, failed.append).go_on()
            assert intake.hash_on(10**6) == 0, "nothing is left"
        assert intake.seal() == source.artifact
    assert not failed


def test_an_intake_that_is_closed_meanwhile_is_no_failure(tmp_path: Path) -> None:
    source, failed = model(), list[LittoralError]()
    with closing(store_in(tmp_path)) as store:
        intake = take(store, source)
        write(intake, source, [2, 3, 4])
        intake.close()
        with ThreadPoolExecutor(1) as threads:
            hashing = Hashing(intake, threads, failed.append)
            hashing.go_on()
            hashing.rest()
    assert not failed
