"""Reads files by a process of its own, which is ended when it hangs and replaced when it dies.

Libraries that read PDF and DOCX meet bytes of strangers: one file may take all memory or never
end. Whoever reads here loses that file, and nothing else.
"""

import os
import select
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import suppress
from typing import Final

from littoral.adapters.documents.kinds import refused
from littoral.adapters.documents.words import (
    FRAME_BYTES_MAX,
    LENGTH_BYTES,
    Done,
    Failed,
    Job,
    Said,
    decoded_said,
    framed,
)
from littoral.terms.errors import BadRequestError, MissingExtraError, UnsupportedError
from littoral.terms.limits import DOCUMENT_SILENT_S

__all__ = ["Reader"]

_KINDS: Final = (UnsupportedError, MissingExtraError)
_PIECE_BYTES: Final = 256 * 1024
_COMMAND: Final = (sys.executable, "-P", "-m", "littoral.adapters.documents.worker")


class Reader:
    """One process, started when there is something to read. Blocks.

    It reads one file at a time: who wants another waits until the iterator of the first has ended.
    """

    def __init__(self, *, silent_s: float = DOCUMENT_SILENT_S) -> None:
        """Start nothing yet.

        Args:
            silent_s: how long a file may be read without a sign of it.
        """
        self._silent_s = silent_s
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = self._broken = False
        self._reading = threading.Lock()
        self._buffer = bytearray()

    def read(self, job: Job) -> Generator[Said, None, None]:
        """What comes of a job, as it comes; of `Done` and `Failed` there is none.

        Raises:
            BadRequestError: the file can't be read, or not further.
            UnsupportedError: it is of no kind that is read.
            MissingExtraError: what reads it is not installed.
        """
        try:
            frame = framed(job)
        except UnicodeEncodeError:
            why, advice = "has a name, or lies in a folder, that is not UTF-8", "rename it"
            raise refused(job.name, why, advice) from None
        ended = False
        self._reading.acquire()
        try:
            process = self._begun()
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # then it is dead, which is seen below
                process.stdin.write(frame)
                process.stdin.flush()
            while True:
                said = self._said(process, job)
                if isinstance(said, Done | Failed):
                    break
                yield said
            ended = True
        finally:
            if not ended:  # what it still says is for nobody
                self._end()
            self._reading.release()
        if isinstance(said, Failed):
            kind = next((each for each in _KINDS if each.code == said.code), BadRequestError)
            details: dict[str, object] = {"empty": True} if said.empty else {}
            raise kind(said.message, advice=said.advice, details=details)

    def break_off(self) -> None:
        """Have the file that another thread reads now fail."""
        process = self._process
        if process is not None:
            self._broken = True
            process.kill()  # that thread sees the end of what it says, and tidies up

    def close(self) -> None:
        """End the process, breaking off what it reads. Nothing is read any more."""
        self._closed = True
        self.break_off()
        with self._reading:
            self._end()

    def _begun(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and (self._broken or self._process.poll() is not None):
            self._end()  # it has died without a file, or as one was read to its end
        if self._process is None and not self._closed:
            self._broken = False
            self._buffer.clear()
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # it may hold what people wrote
            )
        if self._process is None:
            raise BadRequestError("reading was broken off", advice="begin it again")
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()

    def _said(self, process: "subprocess.Popen[bytes]", job: Job) -> Said:
        length = int.from_bytes(self._take(process, LENGTH_BYTES, job), "big")
        assert length <= FRAME_BYTES_MAX
        return decoded_said(self._take(process, length, job))

    def _take(self, process: "subprocess.Popen[bytes]", count: int, job: Job) -> bytes:
        """So many bytes that it says."""
        assert process.stdout is not None
        while len(self._buffer) < count:
            output = process.stdout.fileno()
            ready = select.poll()  # select itself takes no descriptor over 1,023
            ready.register(output, select.POLLIN)
            if not ready.poll(self._silent_s * 1_000):
                raise refused(
                    job.name,
                    f"takes too long to read: nothing came of it for {self._silent_s:g} s",
                    "cut it, or save it anew with what made it",
                )
            piece = os.read(output, _PIECE_BYTES)
            if not piece:
                raise refused(
                    job.name,
                    "made what reads it fail",
                    "save it anew with what made it, or give it as text",
                )
            self._buffer += piece
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken
