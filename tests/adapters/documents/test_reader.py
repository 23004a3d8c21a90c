"""The process that reads: it may hang, burst or die, and takes nothing with it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from littoral.adapters.documents import Reader, Some
from littoral.adapters.documents.words import Begun
from littoral.terms.errors import BadRequestError
from littoral.terms.limits import DOCUMENT_MEMORY_BYTES_MAX
from tests.adapters.documents.made import job_of, pdf_bytes


def texts(reader: Reader, path: Path) -> list[str]:
    return [
        record.text
        for said in reader.read(job_of(path))
        if isinstance(said, Some)
        for record in said.records
    ]


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.md"
    path.write_text("One passage.")
    return path


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


def pid_of(reader: Reader) -> int:
    assert reader._process is not None
    return reader._process.pid


def test_one_process_reads_file_after_file_and_goes_when_it_is_closed(
    reader: Reader, note: Path, tmp_path: Path
) -> None:
    assert texts(reader, note) == ["One passage."]
    pid = pid_of(reader)
    with pytest.raises(BadRequestError, match=r"none\.md is no file: name a file"):
        texts(reader, tmp_path / "none.md")
    (tmp_path / "a.pdf").write_bytes(pdf_bytes(["A page."]))
    assert texts(reader, tmp_path / "a.pdf") == ["A page."]
    assert pid_of(reader) == pid
    reader.close()
    assert not psutil.pid_exists(pid)
    with pytest.raises(BadRequestError, match="broken off"):
        texts(reader, note)


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """More than a pipe holds."""
    path = tmp_path / "long.jsonl"
    path.write_text('{"text": "a row"}\n' * 20_000)
    return path


def test_a_file_that_kills_it_fails_alone(reader: Reader, note: Path, long: Path) -> None:
    said = reader.read(job_of(long))
    assert next(said) == Begun("JSONL", records=True)
    os.kill(pid_of(reader), signal.SIGKILL)
    with pytest.raises(BadRequestError, match=r"long\.jsonl made what reads it fail"):
        list(said)
    assert texts(reader, note) == ["One passage."]


def test_one_that_died_meanwhile_is_replaced(reader: Reader, note: Path) -> None:
    texts(reader, note)
    assert reader._process is not None
    reader._process.kill()
    reader._process.wait(10)
    assert texts(reader, note) == ["One passage."]
    reader.break_off()
    assert texts(reader, note) == ["One passage."]


def test_a_file_that_takes_too_long_is_given_up(note: Path) -> None:
    reader = Reader(silent_s=0.05)
    reader._begun()
    pid = pid_of(reader)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(BadRequestError, match=r"note\.md takes too long to read"):
        texts(reader, note)
    assert not psutil.pid_exists(pid)
    reader.close()


def test_what_is_left_in_the_middle_is_not_taken_for_the_next(
    reader: Reader, note: Path, long: Path
) -> None:
    said = reader.read(job_of(long))
    assert next(said) == Begun("JSONL", records=True)
    said.close()
    assert texts(reader, note) == ["One passage."]


def test_it_may_take_so_much_memory_and_no_more(reader: Reader, note: Path) -> None:
    texts(reader, note)
    bound = psutil.Process(pid_of(reader)).rlimit(psutil.RLIMIT_AS)
    assert bound == (DOCUMENT_MEMORY_BYTES_MAX, DOCUMENT_MEMORY_BYTES_MAX)


def test_it_ends_with_whoever_started_it(note: Path) -> None:
    reader = Reader()
    texts(reader, note)
    process = reader._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) == 0
    reader.close()
