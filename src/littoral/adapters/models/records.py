"""How a model is written down: `entry.json` in the model's directory.

Rules
- The file is replaced whole (written beside, synced, renamed), so it is always one or the other.
- Nothing in it is trusted when it is read: types, the name, and every path are checked, and a file
  that fails is a `ModelDamagedError` that names it.
- Paths of files in the model's own directory are plain names, so a state directory can be moved;
  files used in place have absolute paths.
- An entry that names one `upstream`, as the first version wrote it, is read as one that has it.
"""

import errno
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from littoral.adapters.models.digests import FileMark, mark_of, sync
from littoral.adapters.models.upstreams import check_upstreams
from littoral.terms.errors import BadRequestError, HomeUnwritableError, ModelDamagedError
from littoral.terms.ids import ModelName, model_name
from littoral.terms.values import EngineKind, ModelEntry, ModelFile, UpstreamTarget

__all__ = [
    "ENTRY_FILE",
    "Record",
    "directory_name",
    "name_of",
    "read_record",
    "rewrite_record",
    "write_record",
]

ENTRY_FILE: Final = "entry.json"
ENTRY_BYTES_MAX: Final = 1024 * 1024
"""An entry is about 1 KB; what is a thousand times that is none."""

FORMAT: Final = 1
_NOT_NOW: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What says nothing of the file: a model must not be gone because descriptors were."""

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Record:
    """An entry and how its files looked when they were hashed, in the same order."""

    entry: ModelEntry
    marks: tuple[FileMark, ...]
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class _FormerEntry:
    """What the first version said otherwise."""

    upstream: UpstreamTarget | None = None


@dataclass(frozen=True, slots=True)
class _FormerRecord:
    entry: _FormerEntry


_decode_record: Final = msgspec.json.Decoder(Record).decode
_decode_former: Final = msgspec.json.Decoder(_FormerRecord).decode


def directory_name(name: ModelName) -> str:
    """The name as one safe path component; no two names share one."""
    return name.replace("/", "%2F").replace(":", "%3A")


def name_of(component: str) -> str:
    """The name that `directory_name` made this of."""
    return component.replace("%2F", "/").replace("%3A", ":")


def write_record(entry: ModelEntry, directory: Path) -> Record:
    """Write down an entry whose files were just hashed, and say what was written.

    Files inside `directory` may be given by their plain names.
    """
    own = _portable(entry, directory)
    marks = tuple(mark_of(directory / file.path) for file in own.files)
    return _put(Record(own, marks), directory)


def rewrite_record(record: Record, directory: Path) -> None:
    """Write down a changed entry of the same files, which keep their marks."""
    changed = replace(record, entry=_portable(record.entry, directory))
    _check(changed, directory)
    _put(changed, directory)


def _put(record: Record, directory: Path) -> Record:
    beside = directory / f".{ENTRY_FILE}.new"
    with beside.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(directory / ENTRY_FILE)
    sync(directory)
    return record


def read_record(directory: Path) -> Record:
    """Read an entry back, with the paths of its files made absolute.

    Raises:
        ModelDamagedError: there is no readable entry in the directory.
        HomeUnwritableError: this process can't open it now, whatever is in it.
    """
    path = directory / ENTRY_FILE
    try:
        with path.open("rb") as file:
            record = _decoded(file.read(ENTRY_BYTES_MAX))
        _check(record, directory)
    except (OSError, ValueError, msgspec.MsgspecError, BadRequestError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        if isinstance(error, OSError) and error.errno in _NOT_NOW:
            raise HomeUnwritableError(
                f"{path} can't be read now ({reason})",
                advice="try again; its operator can allow it more open files (ulimit -n)",
            ) from error
        raise ModelDamagedError(
            f"{path} is damaged ({reason})",
            advice=f"`littoral models remove {name_of(directory.name)}` and add it again",
        ) from error
    files = tuple(replace(file, path=str(directory / file.path)) for file in record.entry.files)
    return replace(record, entry=replace(record.entry, files=files))


def _decoded(data: bytes) -> Record:
    record = _decode_record(data)
    if record.entry.engine is not EngineKind.UPSTREAM or record.entry.upstreams:
        return record
    former = _decode_former(data).entry.upstream
    if former is None:
        raise ValueError("it names no upstream")
    return replace(record, entry=replace(record.entry, upstreams=(former,)))


def _check(record: Record, directory: Path) -> None:
    entry = record.entry
    if record.format != FORMAT:
        raise ValueError(f"its format is {record.format}; {FORMAT} is read here")
    if directory_name(model_name(entry.name)) != directory.name:
        raise ValueError(f"it is the entry of {entry.name!r}")
    if not entry.kinds or entry.context_tokens < 0:
        raise ValueError("its kinds or context_tokens make no sense")
    if len(record.marks) != len(entry.files):
        raise ValueError("files and marks differ in number")
    digests = (entry.digest, entry.tokenizer_digest, entry.template_digest)
    for digest in (*digests, *(file.digest for file in entry.files)):
        if digest is not None and not _DIGEST.fullmatch(digest):
            raise ValueError("a digest is malformed")
    for file in entry.files:
        _check_path(file)
    check_upstreams(entry)


def _check_path(file: ModelFile) -> None:
    """A file is either in the model's own directory or at an absolute path; never `../`."""
    path = Path(file.path)
    if not path.is_absolute() and (len(path.parts) != 1 or path.name in {"", ".", ".."}):
        raise ValueError(f"{file.path!r} is not a plain file name")


def _portable(entry: ModelEntry, directory: Path) -> ModelEntry:
    """The entry with plain names for the files that lie in its own directory."""
    return replace(entry, files=tuple(_named(file, directory) for file in entry.files))


def _named(file: ModelFile, directory: Path) -> ModelFile:
    path = Path(file.path)
    return replace(file, path=path.name) if path.parent == directory else file
