"""Several processes on one cache: what one puts the others have, what one purges nobody has."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from littoral.adapters.answers import AnswerStore
from littoral.cache.answers import Selector
from littoral.terms.limits import CACHE_WAL_BYTES_MAX
from tests.adapters.answers.made import MIB, MODEL, SETTLE_S, answer, kept, key, opened, used_bytes

ROOT = Path(__file__).resolve().parent.parent.parent.parent

WORKER = """
import sys
from pathlib import Path
from littoral.cache.answers import Selector
from tests.adapters.answers.made import *

def serve():
    home, disk, memory = sys.argv[1:]
    with opened(Path(home), disk_bytes=int(disk), memory_bytes=int(memory)) as store:
        began = store.epoch
        for line in sys.stdin:
            word, *numbers = line.split()
            match word, [int(number) for number in numbers]:
                case "put", [number, size]:
                    print(store.put(answer(number, size), epoch=store.epoch), flush=True)
                case "put_late", [number, size]:
                    print(store.put(answer(number, size), epoch=began), flush=True)
                case "fill", [first, count, size]:
                    for number in range(first, first + count):
                        store.put(answer(number, size), epoch=store.epoch)
                        store.get(key(number - 3), MODEL)
                    print(store.settled(SETTLE_S), flush=True)
                case "settle", []:
                    print(store.settled(SETTLE_S), flush=True)
                case "get", [number]:
                    entry = store.get(key(number), MODEL)
                    right = entry is not None and entry == answer(number, len(entry.body))
                    print(right, flush=True)
                case "purge", []:
                    print(store.purge(Selector()), flush=True)
                case "churn", [first]:
                    while True:
                        first += 1
                        store.put(answer(first, 100 + first % 9_000), epoch=store.epoch)
                        store.get(key(first - 5), MODEL)
                        if first % 50 == 0:
                            store.settled(SETTLE_S)
                            print(first, flush=True)

serve()
"""


class Worker:
    """Another process on the same cache, which does what it is told, and says what came of it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._in: IO[str] = process.stdin
        self._out: IO[str] = process.stdout

    def begin(self, *words: object) -> None:
        self._in.write(" ".join(map(str, words)) + "\n")
        self._in.flush()

    def result(self) -> str:
        return self._out.readline().strip()

    def tell(self, *words: object) -> str:
        self.begin(*words)
        return self.result()

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def worker(home: Path, disk_bytes: int = 64 * MIB, memory_bytes: int = 8 * MIB) -> Iterator[Worker]:
    command = [sys.executable, "-c", WORKER, str(home), str(disk_bytes), str(memory_bytes)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Worker(process)
        finally:
            process.kill()


def test_what_one_process_puts_the_other_has(tmp_path: Path) -> None:
    with worker(tmp_path) as other, opened(tmp_path) as store:
        assert other.tell("put", 1, 500) == "True"
        assert other.tell("settle") == "True"
        assert store.get(key(1), MODEL) == answer(1, 500)
        kept(store, answer(2, 700))
        assert other.tell("get", 2) == "True"


def test_processes_that_start_at_the_same_moment_open_one_cache(tmp_path: Path) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(tmp_path)) for _ in range(6)]
        for number, each in enumerate(workers):
            each.begin("put", number, 500)
        assert [each.result() for each in workers] == ["True"] * 6
        assert [each.tell("settle") for each in workers] == ["True"] * 6
        for each in workers:
            assert [each.tell("get", number) for number in range(6)] == ["True"] * 6


def test_after_a_purge_has_returned_no_process_gives_what_it_named(tmp_path: Path) -> None:
    with worker(tmp_path) as one, worker(tmp_path) as two, opened(tmp_path) as store:
        for number in range(20):
            assert one.tell("put", number, 500) == "True"
            assert one.tell("settle") == "True"
            assert one.tell("get", number) == two.tell("get", number) == "True"
            assert store.get(key(number), MODEL) is not None
            if number % 2:
                store.purge(Selector())
            else:
                one.tell("purge")
            assert one.tell("get", number) == two.tell("get", number) == "False"
            assert store.get(key(number), MODEL) is None


def test_a_put_that_began_before_another_process_purged_is_kept_only_if_it_was_not_named(
    tmp_path: Path,
) -> None:
    with worker(tmp_path) as other, opened(tmp_path) as store:
        assert other.tell("get", 1) == "False"
        store.purge(Selector(answer=key(1)))
        other.tell("put_late", 1, 500)
        other.tell("put_late", 2, 500)
        assert other.tell("settle") == "True"
        for number, there in ((1, False), (2, True)):
            assert other.tell("get", number) == str(there)
            assert (store.get(key(number), MODEL) is not None) == there


def test_puts_that_race_a_purge_of_another_process_never_outlive_it(tmp_path: Path) -> None:
    with worker(tmp_path) as other, opened(tmp_path, memory_bytes=0) as store:
        for number in range(0, 4_000, 200):
            began = store.epoch
            other.begin("purge")
            for each in range(number, number + 200):
                store.put(answer(each), epoch=began)
            other.result()
            assert store.settled(SETTLE_S)
            assert store.epoch > began
            assert not [each for each in range(number, number + 200) if found(store, each)]


def found(store: AnswerStore, number: int) -> bool:
    return store.get(key(number), MODEL) is not None


def test_several_processes_have_one_bound(tmp_path: Path) -> None:
    bound = 4 * MIB
    with (
        worker(tmp_path, bound) as one,
        worker(tmp_path, bound) as two,
        opened(tmp_path, disk_bytes=bound) as store,
    ):
        one.begin("fill", 0, 400, 15_000)
        two.begin("fill", 1_000, 400, 15_000)
        assert (one.result(), two.result()) == ("True", "True")
        assert used_bytes(store) <= bound
        totals = store.stats().totals
        assert totals is not None
        assert totals.entries > 100
        sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
        assert sizes["cache.db"] <= 2 * bound
        assert sizes["cache.db-wal"] <= 2 * CACHE_WAL_BYTES_MAX


def test_hits_of_several_processes_add_up(tmp_path: Path) -> None:
    with worker(tmp_path, memory_bytes=0) as one, opened(tmp_path, memory_bytes=0) as store:
        kept(store, *(answer(number, 500) for number in range(10)))
        for number in range(10):
            one.tell("get", number)
            store.get(key(number), MODEL)
        store.get(key(99), MODEL)
        one.begin("purge")  # hands its counts over before it
        one.result()
        one.tell("settle")
        store.stats()
        assert store.settled(SETTLE_S)
        totals = store.stats().totals
        assert totals is not None
        assert [(line.hits, line.misses) for line in totals.models] == [(20, 1)]


def test_killed_at_any_moment_a_process_leaves_whole_entries_and_all_it_reported(
    tmp_path: Path,
) -> None:
    reported: set[int] = set()
    for kill in range(8):
        first = 100_000 * (kill + 1)
        with worker(tmp_path) as writer:
            writer.begin("churn", first)
            upto = [int(writer.result()) for _ in range(1 + kill % 4)][-1]
            writer.kill()
        reported.update(range(first + 1, upto + 1))
        with opened(tmp_path, memory_bytes=0) as store:
            assert store.failure is None
            for number in range(first, upto + 600):
                entry = store.get(key(number), MODEL)
                assert entry is None or entry == answer(number, 100 + number % 9_000)
                assert entry is not None or number not in reported
            totals = store.stats().totals
            assert totals is not None
            assert totals.damaged == 0


def test_a_process_killed_while_it_purges_leaves_nothing_wrong(tmp_path: Path) -> None:
    for number in range(8):
        with worker(tmp_path) as other, opened(tmp_path) as store:
            kept(store, *(answer(each, 5_000) for each in range(200)))
            assert other.tell("get", 1) == "True"
            before = store.epoch
            other.begin("purge")
            if number % 2:
                other.result()
            other.kill()
            there = [each for each in range(200) if found(store, each)]
            assert store.epoch == before or not there
            kept(store, answer(300))
            assert found(store, 300)
