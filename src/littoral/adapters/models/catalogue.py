"""The models that this PoP has: one directory each, with plain files and an `entry.json`.

Rules
- A model is visible from the rename that puts its complete directory in place, and gone from the
  rename that takes it away. A process killed in between leaves only a directory whose name starts
  with a dot, which the next add of that model takes over.
- One process at a time adds a model; another that wants the same one waits, and then finds it.
- A damaged entry is one clear error with its name; it never hides the others.
- Before files are loaded, `check_files` says that they are still the ones that were added.

It does not fetch anything: see `sources`.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from littoral.adapters.models.digests import Progress, digest_of_file, mark_of, sync
from littoral.adapters.models.locks import is_free, is_still, lock
from littoral.adapters.models.records import (
    Record,
    directory_name,
    name_of,
    read_record,
    rewrite_record,
    write_record,
)
from littoral.terms.errors import (
    CallerError,
    ConflictError,
    DigestMismatchError,
    DiskShortError,
    HomeUnwritableError,
    ModelDamagedError,
    UnknownModelError,
)
from littoral.terms.ids import ModelName, model_name
from littoral.terms.values import EngineKind, Kind, ModelEntry

__all__ = ["ECHO", "Catalogue", "Staging", "Unfinished"]

ECHO: Final = ModelEntry(
    name=ModelName("echo"),
    engine=EngineKind.ECHO,
    kinds=(Kind.CHAT, Kind.COMPLETE, Kind.EMBED),
    context_tokens=8_192,
    licence="Apache-2.0",
    origin="built in",
    description="Test engine: repeats the prompt, computes nothing",
    dimensions=8,
)
"""Always there, so that clients and set-ups can be tried without weights."""

_PARTIAL: Final = ".partial"
_REMOVED: Final = ".removed"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What an add that did not end has left on the disk."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Staging:
    """An invisible directory that becomes a model. Only one process has it at a time."""

    directory: Path
    target: Path

    def commit(self, entry: ModelEntry) -> ModelEntry:
        """Write the entry and make the model visible, in one rename.

        `entry.files` are plain names in `directory`, or absolute paths of files used in place.
        """
        for path in self.directory.iterdir():
            sync(path)
        write_record(entry, self.directory)
        self.directory.rename(self.target)
        sync(self.target.parent)
        return read_record(self.target).entry


def _silent(stage: str, done: int, total: int | None) -> None:
    """Progress that nobody watches."""


class Catalogue:
    """All models in one folder. Keeps nothing in memory: the folder is the truth."""

    def __init__(self, models_dir: Path) -> None:
        self.models_dir = models_dir

    def entries(self) -> tuple[ModelEntry, ...]:
        """Every model that can be read, `echo` included, sorted by name."""
        found = [record.entry for record in self._records() if isinstance(record, Record)]
        return tuple(sorted([*found, ECHO], key=lambda entry: entry.name))

    def changed_at(self) -> int:
        """A number that is another one after a model came, went or changed, by whatever process."""
        try:
            return self.models_dir.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def damaged(self) -> tuple[ModelDamagedError, ...]:
        """One error for each directory whose entry can't be read."""
        return tuple(record for record in self._records() if isinstance(record, ModelDamagedError))

    def unfinished(self) -> tuple[Unfinished, ...]:
        """Adds that were broken off and can be taken up again, or are under way now."""
        return tuple(
            Unfinished(
                name_of(path.name.removeprefix(".").removesuffix(_PARTIAL)),
                sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
            )
            for path in self._directories()
            if path.name.startswith(".") and path.name.endswith(_PARTIAL)
        )

    def get(self, name: str) -> ModelEntry:
        """The model of this name.

        Raises:
            UnknownModelError: there is none.
            ModelDamagedError: its entry can't be read.
        """
        return self._record(name).entry

    def has(self, name: str) -> bool:
        """Whether a model of this name is there and readable."""
        try:
            self.get(name)
        except (UnknownModelError, ModelDamagedError):
            return False
        return True

    def check_files(self, entry: ModelEntry, progress: Progress = _silent) -> None:
        """See that a model's files are the ones that were added, before an engine loads them.

        A file that looks as it did is taken as it is; any other is hashed again.

        Raises:
            DigestMismatchError: a file is missing or has other bytes.
            UnknownModelError: the model has been removed.
        """
        if entry.engine in {EngineKind.ECHO, EngineKind.UPSTREAM}:
            return
        record = self._record(entry.name)
        looks_new = False
        for file, mark in zip(record.entry.files, record.marks, strict=True):
            path = Path(file.path)
            try:
                if mark_of(path) == mark and mark.size_bytes == file.size_bytes:
                    continue
                found = digest_of_file(path, f"checking {path.name}", progress)
            except OSError as error:
                raise DigestMismatchError(
                    f"{path} of model {entry.name} can't be read ({error.strerror})",
                    advice=_add_again(entry.name),
                ) from error
            if found != file.digest:
                raise DigestMismatchError(
                    f"{path} has changed since model {entry.name} was added",
                    advice=_add_again(entry.name),
                    details={"expected": file.digest, "found": found},
                )
            looks_new = True
        if looks_new:
            # A moved or restored copy: remember its looks. A read-only folder is hashed every time.
            with suppress(OSError):
                write_record(record.entry, self._directory(entry.name))

    @contextmanager
    def adding(
        self,
        name: ModelName,
        *,
        resumable: bool,
        progress: Progress,
    ) -> Iterator[Staging]:
        """A directory to put a new model's files in; leaving without `commit` adds nothing.

        Args:
            name: the new model's.
            resumable: whether what an earlier add fetched is kept for the next one to go on from.
            progress: told while another process is adding the same model, and may raise to stop
                waiting for it.

        Raises:
            ConflictError: a model of this name is there already.
            HomeUnwritableError, DiskShortError: the folder can't be written, or is full.
        """
        target = self._directory(name)
        directory = self.models_dir / f".{target.name}{_PARTIAL}"
        self._sweep()
        with self._locked(directory, progress):
            if target.exists() or name == ECHO.name:
                shutil.rmtree(directory)
                raise ConflictError(
                    f"a model named {name} is there already",
                    advice=f"give another with --name, or `littoral models remove {name}` first",
                )
            if not resumable:
                _empty(directory)
            try:
                yield Staging(directory, target)
            except BaseException as error:
                if not resumable or isinstance(error, DigestMismatchError | CallerError):
                    shutil.rmtree(directory, ignore_errors=True)
                if isinstance(error, OSError):
                    raise self._failed(error) from error
                raise
            assert not directory.exists(), "an add ends in a commit or an error"

    def change(self, name: str, change: Callable[[ModelEntry], ModelEntry]) -> ModelEntry:
        """Replace a model's entry by what `change` makes of it; its files stay as they are.

        Changes by several processes follow each other; a reader sees the old or the new.

        Raises:
            UnknownModelError: there is none of this name.
            ModelDamagedError: its entry can't be read.
            ConflictError: it is built in.
            BadRequestError: what came of its upstreams makes no sense; or whatever `change` raises.
            HomeUnwritableError, DiskShortError: the folder can't be written, or is full.
        """
        directory = self._directory(self._record(name).entry.name)
        if name == ECHO.name:
            raise ConflictError("echo is built in and stays as it is", advice="leave it")
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                lock(descriptor)
                record = read_record(directory)
                rewrite_record(replace(record, entry=change(record.entry)), directory)
                self._mark_changed()
                return read_record(directory).entry
            finally:
                os.close(descriptor)
        except FileNotFoundError as error:
            raise self._unknown(name) from error
        except OSError as error:
            raise self._failed(error) from error

    def remove(self, name: str) -> int:
        """Take a model away, or what an unfinished add of it left; say how many bytes that freed.

        Files that were used in place stay where they are.

        Raises:
            UnknownModelError: there is neither.
            ConflictError: another process is adding it just now, or it is built in.
        """
        checked = model_name(name)
        if checked == ECHO.name:
            raise ConflictError("echo is built in and stays", advice="leave it")
        target = self._directory(checked)
        partial = self.models_dir / f".{target.name}{_PARTIAL}"
        gone = self.models_dir / f".{target.name}{_REMOVED}"
        self._sweep()
        for path in (target, partial):
            if not path.is_dir():
                continue
            if path == partial and not is_free(partial):
                raise ConflictError(
                    f"another process is adding {name}", advice="stop it, or wait until it is done"
                )
            freed = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            path.rename(gone)
            sync(self.models_dir)
            self._sweep()
            return freed
        raise self._unknown(name)

    def _mark_changed(self) -> None:
        """Make `changed_at` another number: what is in a model's own folder does not."""
        before = self.models_dir.stat()
        os.utime(self.models_dir)
        if self.models_dir.stat().st_mtime_ns <= before.st_mtime_ns:  # within one tick
            os.utime(self.models_dir, ns=(before.st_atime_ns, before.st_mtime_ns + 1))

    def _sweep(self) -> None:
        """Finish removals, also those that a killed process began."""
        for path in self._directories():
            if path.name.startswith(".") and path.name.endswith(_REMOVED):
                shutil.rmtree(path, ignore_errors=True)

    def _records(self) -> Iterator[Record | ModelDamagedError]:
        for directory in self._directories():
            if not directory.name.startswith("."):
                try:
                    yield read_record(directory)
                except ModelDamagedError as error:
                    yield error

    def _directories(self) -> list[Path]:
        try:
            return sorted(path for path in self.models_dir.iterdir() if path.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise HomeUnwritableError(
                f"{self.models_dir} can't be read ({error.strerror})"
            ) from error

    def _record(self, name: str) -> Record:
        if name == ECHO.name:
            return Record(ECHO, ())
        directory = self._directory(model_name(name))
        if not directory.is_dir():
            raise self._unknown(name)
        return read_record(directory)

    def _unknown(self, name: str) -> UnknownModelError:
        return UnknownModelError(
            f"there is no model named {name}",
            advice="`littoral models list --available` shows what there is and what can be added",
        )

    def _failed(self, error: OSError) -> DiskShortError | HomeUnwritableError:
        """A disk that failed while a model was written, in words."""
        if error.errno == errno.ENOSPC:
            return DiskShortError(
                f"the disk of {self.models_dir} became full",
                advice="free some and run this again, or choose another with --home",
            )
        return HomeUnwritableError(f"{self.models_dir} can't be written ({error.strerror})")

    def _directory(self, name: ModelName) -> Path:
        return self.models_dir / directory_name(name)

    @contextmanager
    def _locked(self, directory: Path, progress: Progress) -> Iterator[None]:
        """Hold the staging directory itself as the lock, so that no lock file is ever left.

        Whoever held it before may have renamed or removed it; then the lock just taken is on a
        directory that is no longer this one, and is taken again.
        """
        while True:
            descriptor = self._open(directory)
            try:
                lock(descriptor, progress)
                if is_still(descriptor, directory):
                    yield
                    return
            finally:
                os.close(descriptor)

    def _open(self, directory: Path) -> int:
        while True:
            try:
                directory.mkdir(parents=True, exist_ok=True)
                return os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue  # its last holder removed it between the two calls
            except OSError as error:
                raise HomeUnwritableError(
                    f"{self.models_dir} can't be written ({error.strerror})"
                ) from error


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _add_again(name: str) -> str:
    return f"remove it with `littoral models remove {name}` and add it again"
