"""Where the embedded collections of a PoP lie: a folder each, below HOME/memory.

Rules
- A collection is there, whole, or not: it is made under another name and renamed, and forgotten by
  renaming it first. What a crash leaves of either goes when collections are opened next.
- Folders are for the owner alone (0700), files too (0600).
- A process that opens them to read changes nothing there.
"""

import fcntl
import os
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock
from typing import Final

import msgspec

from littoral.adapters.memory.embedded.collection import TRUTH_FILE, EmbeddedCollection
from littoral.adapters.memory.embedded.upkeep import Upkeep
from littoral.memory.checking import check_spec
from littoral.terms.errors import (
    BadRequestError,
    ConflictError,
    DiskShortError,
    HomeUnwritableError,
    LittoralError,
    NotAllowedError,
    NotFoundError,
    StoreError,
)
from littoral.terms.limits import COLLECTIONS_AWAKE_MAX, COLLECTIONS_MAX
from littoral.terms.memory import Ability, CollectionShown, CollectionSpec

__all__ = [
    "MEMORY_FOLDER",
    "REPLICAS_FOLDER",
    "EmbeddedCollections",
    "open_collections",
    "open_replicas",
]

MEMORY_FOLDER: Final = "memory"
REPLICAS_FOLDER: Final = "replicas"

_SPEC_FILE: Final = "spec.json"
_LOCK_FILE: Final = ".lock"
_MAKING: Final = ".making-"
_GOING: Final = ".going-"
_DISK_FULL: Final = 28
"""ENOSPC."""


def open_collections(home: Path, *, read_only: bool = False) -> "EmbeddedCollections":
    """The collections of a PoP.

    Args:
        home: its state directory.
        read_only: for a process that is not the PoP: sees all, changes nothing.

    Raises:
        HomeUnwritableError: the folder can't be made.
    """
    return EmbeddedCollections(home / MEMORY_FOLDER, read_only=read_only)


def open_replicas(home: Path) -> "EmbeddedCollections":
    """The copies of other PoPs' collections; raises as `open_collections` does."""
    return EmbeddedCollections(home / REPLICAS_FOLDER)


class EmbeddedCollections:
    """See `terms.collections.Collections`."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self._folder = folder
        self._read_only = read_only
        self._open: dict[tuple[str, str], EmbeddedCollection] = {}
        self._awake: OrderedDict[tuple[str, str], None] = OrderedDict()
        """The one that was opened last is the last."""
        self._lock = Lock()
        self._upkeep = None if read_only else Upkeep()
        if not read_only:
            with _told(folder):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                with self._alone():
                    self._sweep()

    @property
    def abilities(self) -> frozenset[Ability]:
        """Everything."""
        return frozenset(Ability)

    def create(self, spec: CollectionSpec) -> None:
        """Make a collection."""
        check_spec(spec)
        self._refuse_to_read_only()
        target = self._place(spec.name, spec.scope)
        with self._lock, _told(target), self._alone():
            if target.exists():
                raise ConflictError(f"there is a collection {spec.name} already")
            if len(self._folders()) >= COLLECTIONS_MAX:
                raise BadRequestError(
                    f"there are {COLLECTIONS_MAX} collections already", advice="drop one first"
                )
            making = Path(mkdtemp(prefix=_MAKING, dir=self._folder))
            try:
                _write(making / _SPEC_FILE, msgspec.json.encode(spec))
                EmbeddedCollection(making, spec, self._upkeep, new=True).close()
                making.rename(target)
            except BaseException:
                shutil.rmtree(making, ignore_errors=True)
                raise

    def drop(self, name: str, scope: str = "") -> None:
        """Forget a collection."""
        self._refuse_to_read_only()
        folder = self._place(name, scope)
        with self._lock, _told(folder), self._alone():
            if not folder.exists():
                raise _not_found(name)
            held = self._open.pop((scope, name), None)
            if held is not None:
                held.close()
            going = Path(mkdtemp(prefix=_GOING, dir=self._folder))
            folder.rename(going / "it")
            shutil.rmtree(going, ignore_errors=True)

    def open(self, name: str, scope: str = "") -> EmbeddedCollection:
        """The collection."""
        with self._lock:
            folder = self._place(name, scope)
            held = self._open.get((scope, name))
            try:
                inode = (folder / TRUTH_FILE).stat().st_ino
            except OSError:
                inode = None
            if held is not None and held.inode != inode:
                held.close()  # it was dropped by another process, and perhaps made again
                del self._open[scope, name]
                held = None
            if held is None:
                spec = _spec_in(folder, name)
                held = EmbeddedCollection(folder, spec, self._upkeep)
                self._open[scope, name] = held
            self._wake(scope, name)
            return held

    def describe(self) -> Sequence[CollectionShown]:
        """All there are; of one that is damaged what is wrong with it."""
        shown = []
        for folder in self._folders():
            spec = CollectionSpec(name=folder.name)
            try:
                spec = _spec_in(folder, folder.name)
                held = self._open.get((spec.scope, spec.name))
                if held is not None:
                    shown.append(held.shown())
                    continue
                brief = EmbeddedCollection(folder, spec, None)
                try:
                    shown.append(brief.shown())
                finally:
                    brief.close()
            except NotFoundError:  # dropped meanwhile
                continue
            except LittoralError as error:
                shown.append(
                    CollectionShown(spec=spec, driver="embedded", records=0, index=str(error))
                )
        return sorted(shown, key=lambda each: (each.spec.scope, each.spec.name))

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            for held in self._open.values():
                held.close()
            self._open.clear()
        if self._upkeep is not None:
            self._upkeep.close()

    def _wake(self, scope: str, name: str) -> None:
        """Have it among those that hold files and indexes; the one opened least lately rests."""
        self._awake[scope, name] = None
        self._awake.move_to_end((scope, name))
        while len(self._awake) > COLLECTIONS_AWAKE_MAX:
            tired, _ = self._awake.popitem(last=False)
            if tired in self._open:
                self._open[tired].rest()

    def _place(self, name: str, scope: str) -> Path:
        """Two names never share a folder, also where upper and lower case are one."""
        digest = blake2b(f"{scope}\0{name}".encode(errors="replace"), digest_size=8).hexdigest()
        plain = "".join(each if each.isascii() and each.isalnum() else "-" for each in name[:64])
        return self._folder / f"{plain.lower()}-{digest}"

    def _folders(self) -> list[Path]:
        if not self._folder.exists():
            return []
        return [each for each in self._folder.iterdir() if not each.name.startswith(".")]

    def _sweep(self) -> None:
        for each in self._folder.iterdir():
            if each.name.startswith((_MAKING, _GOING)):
                shutil.rmtree(each, ignore_errors=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process makes, forgets or sweeps meanwhile."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        lock = os.open(self._folder / _LOCK_FILE, flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _refuse_to_read_only(self) -> None:
        if self._read_only:
            raise NotAllowedError(
                "this process reads collections only", advice="write through the PoP"
            )


def _spec_in(folder: Path, name: str) -> CollectionSpec:
    path = folder / _SPEC_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=CollectionSpec)
    except FileNotFoundError:
        raise _not_found(name) from None
    except (OSError, msgspec.MsgspecError) as error:
        raise StoreError(
            f"{path} can't be read ({error})", advice="restore it from a backup"
        ) from None


def _not_found(name: str) -> NotFoundError:
    return NotFoundError(f"there is no collection {name[:128]}")


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the disk refuses, as an operator can mend it."""
    try:
        yield
    except OSError as error:
        if error.errno == _DISK_FULL:
            raise DiskShortError(f"the disk is full: {path} can't be written") from None
        raise HomeUnwritableError(f"{path} can't be written ({error.strerror})") from None
