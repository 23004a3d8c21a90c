"""Worker processes: they end with the PoP, survive Ctrl-C, and explain themselves when they die."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.engines.onnx import OnnxEngine
from littoral.adapters.engines.worker import Worker, WorkerPlan
from littoral.adapters.engines.worker_log import WorkerLog
from littoral.adapters.http.words import Deadlines
from littoral.terms.errors import EngineLostError
from littoral.terms.facts import Fact, WorkerDied
from littoral.terms.values import Down, EngineInfo, EngineKind, EngineState, Kind, ModelEntry, Ready
from tests.adapters.engines.running import running

PARENT = """
import asyncio, sys
from pathlib import Path
from littoral.adapters.models.catalogue import Catalogue
from tests.adapters.engines.running import running
async def main():
    entry = Catalogue(Path(sys.argv[1])).get(sys.argv[2])
    async with running(entry, Path(sys.argv[3])) as subject:
        print(subject.readies[-1].info.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def ended_within(pid: int, seconds: float) -> bool:
    """Whether a process that may be anybody's child ends in time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def worker_of(
    module: str, folder: Path, facts: list[Fact], *, run_dir: Path | None = None
) -> Worker[Ready]:
    def describe(_ready: object, pid: int) -> Ready:
        return Ready(EngineInfo(EngineKind.ONNX, "test", "cpu", 1, 1, pid=pid))

    return Worker(
        WorkerPlan("some/model:1", "the engine of some/model:1", module, run_dir or folder, folder),
        arguments=dict,
        describe=describe,
        clock=SystemClock(),
        observe=facts.append,
    )


@pytest.mark.model
@pytest.mark.parametrize("name", ["smollm2-135m", "all-minilm-l6-v2"])
def test_no_worker_outlives_a_killed_pop(name: str, models_home: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(models_home / "models"), name, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert not ended_within(pid, 0)
        finally:
            parent.kill()
        assert ended_within(pid, 2.0)


@pytest.mark.model
async def test_the_terminals_interrupt_does_not_end_a_worker(
    minilm: ModelEntry, tmp_path: Path
) -> None:
    async with running(minilm, tmp_path) as subject:
        pid = subject.readies[-1].info.pid
        assert pid is not None
        assert os.getpgid(pid) != os.getpgid(0), "it is not in the terminal's group"
        os.kill(pid, signal.SIGINT)
        assert await subject.body({"input": "still there"}, Kind.EMBED)
        assert len(subject.readies) == 1


@pytest.mark.model
async def test_nothing_is_left_when_it_is_cancelled(minilm: ModelEntry, tmp_path: Path) -> None:
    async with running(minilm, tmp_path) as subject:
        pid = subject.readies[-1].info.pid
        assert pid is not None
        assert list(tmp_path.glob("*.sock"))
    assert ended_within(pid, 0)
    assert not list(tmp_path.glob("*.sock"))


@pytest.mark.model
async def test_who_asks_as_a_worker_dies_waits_for_the_next_one(
    minilm: ModelEntry, tmp_path: Path
) -> None:
    async with running(minilm, tmp_path) as subject:
        for _ in range(3):
            pid = subject.readies[-1].info.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            waiting = [
                asyncio.create_task(subject.body({"input": "hello"}, Kind.EMBED)) for _ in range(4)
            ]
            await asyncio.sleep(0)
            os.kill(pid, signal.SIGKILL)
            for each in waiting:
                with pytest.raises(EngineLostError):
                    await each
            assert await subject.body({"input": "again"}, Kind.EMBED)


@pytest.mark.model
async def test_a_run_directory_too_long_for_a_socket_is_no_obstacle(
    minilm: ModelEntry, tmp_path: Path
) -> None:
    deep = tmp_path / ("long" * 20) / ("path" * 10)
    deep.mkdir(parents=True)
    async with running(minilm, deep) as subject:
        assert await subject.body({"input": "hello"}, Kind.EMBED)
        assert not list(deep.glob("*.sock"))


@pytest.mark.model
async def test_a_worker_that_does_not_react_is_ended_all_the_same(
    minilm: ModelEntry, tmp_path: Path
) -> None:
    async with running(minilm, tmp_path) as subject:  # leaving it checks that it took under 2 s
        pid = subject.readies[-1].info.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
    assert ended_within(pid, 0)


@pytest.mark.model
async def test_a_worker_that_hangs_is_ended_and_replaced(
    minilm: ModelEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(minilm, tmp_path) as subject:
        pid = subject.readies[-1].info.pid
        engine = subject.engine
        assert isinstance(engine, OnnxEngine)
        life = engine._worker._life
        assert pid is not None
        assert life is not None
        monkeypatch.setattr(life.client, "_deadlines", Deadlines(first_byte_s=0.2))
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(EngineLostError, match="without a first byte"):
            await subject.body({"input": "hello"}, Kind.EMBED)
        await subject.until_ready(times=2)
        assert await subject.body({"input": "hello"}, Kind.EMBED)


async def test_a_worker_that_keeps_dying_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    states: list[EngineState] = []
    facts: list[Fact] = []
    worker = worker_of("no_such_module_anywhere", tmp_path, facts)
    async with asyncio.timeout(30):
        await worker.serve(states.append)
    last = states[-1]
    assert isinstance(last, Down)
    assert not last.retrying
    assert "No module named no_such_module_anywhere" in str(last.error)
    assert "some/model:1" in str(last.error)
    assert len(facts) == 5
    assert all(isinstance(fact, WorkerDied) and fact.lost == 0 for fact in facts)
    assert sum(isinstance(state, Down) and state.retrying for state in states) == 4


async def test_a_machine_that_starts_no_process_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    states: list[EngineState] = []
    await worker_of("json.tool", tmp_path, []).serve(states.append)
    last = states[-1]
    assert isinstance(last, Down)
    assert "no process could be started" in str(last.error)


async def test_a_worker_that_talks_nonsense_is_ended_and_not_tried_again(tmp_path: Path) -> None:
    states: list[EngineState] = []
    worker = worker_of("platform", tmp_path, [])
    async with asyncio.timeout(10):
        await worker.serve(states.append)
    last = states[-1]
    assert isinstance(last, Down)
    assert "not understood" in str(last.error)


async def test_a_worker_that_never_gets_ready_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("littoral.terms.limits.WORKER_READY_S", 0.3)
    states: list[EngineState] = []
    worker = worker_of("json.tool", tmp_path, [])  # reads its input to the end, which never comes
    async with asyncio.timeout(10):
        await worker.serve(states.append)
    last = states[-1]
    assert isinstance(last, Down)
    assert "not ready after 0.3 s" in str(last.error)


async def test_a_call_without_a_worker_is_lost_after_a_bounded_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("littoral.adapters.engines.worker._READY_WAIT_S", 0.05)
    worker = worker_of("json.tool", tmp_path, [])
    with pytest.raises(EngineLostError):
        async with worker.request("GET", "/"):
            pass


def test_a_log_is_bounded_and_its_last_lines_are_kept(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "model.log", bytes_max=100)
    for number in range(50):
        log.write(f"line {number}\n".encode())
    assert log.last(2) == ["line 48", "line 49"]
    assert log.path.stat().st_size <= 100
    assert (tmp_path / "model.log.1").stat().st_size <= 100
    log.begin()
    assert log.last(2) == []


def test_a_log_that_can_not_be_written_harms_nothing(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "missing" / "model.log")
    log.write(b"words\n")
    assert log.last(1) == ["words"]
