"""Making a generation from the truth, beside the one that counts, and putting it in its place.

Rules
- It is written into a folder of its own, synced, and then named; `current` says which counts, and
  is replaced in one step. Whenever this process is killed, the one before or this one is whole.
- One process at a time makes one (a lock on the folder, which ends with its holder); another that
  wants to is told that somebody does.
- The truth gives rows ascending, in batches: vectors go to the file as they come, so that memory
  holds a batch, a sample and the codes.
- `through` never goes back: what another process has published meanwhile and knows more stays.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np

from littoral.adapters.files import write_whole
from littoral.adapters.memory.scan.generation import (
    CODES,
    CURRENT,
    META,
    PREFIX,
    ROWS,
    VALUES,
    VECTORS,
    Meta,
    current_name,
    digest_of,
    encoded_meta,
    spread_digest,
    through_of,
)
from littoral.adapters.memory.scan.kernels import Floats, Places, prepared
from littoral.adapters.memory.scan.quantiser import hardness_of, sample_places, trained
from littoral.memory.planner import CODED_ROWS_MIN
from littoral.terms.errors import DiskShortError, InternalError
from littoral.terms.memory import Metric

__all__ = ["Truth", "building_alone", "publish", "sweep"]

_DRAFT: Final = "new-"
_ENCODED_TOGETHER: Final = 16_384
_JUDGED_ERROR: Final = 4_096
"""Vectors by which the codes' error is told."""


@dataclass(frozen=True, slots=True)
class Truth:
    """All vectors as they were after one change. Rows ascend, over the batches too."""

    through: int
    batches: Iterable[tuple[Places, Floats]]


@contextmanager
def building_alone(folder: Path) -> Iterator[bool]:
    """Whether this process may build now; it alone may until the end."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Drop what killed ones have left, and what was replaced. Build alone meanwhile."""
    counts = current_name(folder)
    for each in folder.iterdir():
        if each.name.startswith((_DRAFT, PREFIX)) and each.name != counts:
            if each.is_dir():
                shutil.rmtree(each, ignore_errors=True)
            else:
                each.unlink(missing_ok=True)


def publish(folder: Path, truth: Truth, dimensions: int, metric: Metric) -> None:
    """Make a generation and let it count. Build alone meanwhile.

    Raises:
        DiskShortError: there is not room for it beside the one before.
        OSError: it can't be written.
    """
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=folder))
    try:
        meta = _written(draft, truth, dimensions, metric)
        if through_of(folder, dimensions, metric) > meta.through:
            return
        name = PREFIX + draft.name.removeprefix(_DRAFT)
        _sync_folder(draft)
        draft.rename(folder / name)
        _sync_folder(folder)
        write_whole(folder / CURRENT, name.encode(), mode=0o600)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskShortError(
                f"no room for the index of vectors in {folder}",
                advice="free some disk: a new index lies beside the old one while it is made",
            ) from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        sweep(folder)


def _written(draft: Path, truth: Truth, dimensions: int, metric: Metric) -> Meta:
    count, rows = _write_vectors(draft, truth, dimensions, metric)
    shape = (count, dimensions)
    vectors: Floats = (
        np.asarray(np.memmap(draft / VECTORS, "<f4", "r", shape=shape))
        if count
        else np.empty(shape, np.float32)
    )
    digests = {ROWS: digest_of(rows), VECTORS: spread_digest(vectors)}
    hardness = error = 0.0
    if count >= CODED_ROWS_MIN:
        found, hardness, error = _write_codes(draft, vectors, metric)
        digests |= found
    meta = Meta(
        dimensions=dimensions,
        metric=metric,
        rows=count,
        through=truth.through,
        hardness=hardness,
        error=error,
        digests=digests,
    )
    with (draft / META).open("wb") as file:
        file.write(encoded_meta(meta))
        _sync(file)
    return meta


def _write_vectors(
    draft: Path, truth: Truth, dimensions: int, metric: Metric
) -> tuple[int, Places]:
    kept = [np.empty(0, np.int64)]
    last = 0
    with (draft / VECTORS).open("wb") as vectors, (draft / ROWS).open("wb") as rows:
        for numbers, batch in truth.batches:
            if not len(numbers):
                continue
            ascending = np.ascontiguousarray(numbers, "<i8")
            if ascending[0] < last or (np.diff(ascending) < 0).any():
                raise InternalError("the truth gave rows that do not ascend")
            last = int(ascending[-1])
            fitted = prepared(batch, dimensions, metric)
            vectors.write(fitted.astype("<f4", copy=False).data.cast("B"))
            rows.write(ascending.data.cast("B"))
            kept.append(ascending)
        _sync(vectors)
        _sync(rows)
    together = np.concatenate(kept)
    return len(together), together


def _write_codes(
    draft: Path, vectors: Floats, metric: Metric
) -> tuple[dict[str, str], float, float]:
    quantiser = trained(vectors, metric)
    codes = np.empty((len(vectors), quantiser.code_bytes), np.uint8)
    for begin in range(0, len(vectors), _ENCODED_TOGETHER):
        part = slice(begin, begin + _ENCODED_TOGETHER)
        codes[part] = quantiser.encoded(vectors[part])
    for name, array in ((CODES, codes), (VALUES, quantiser.values)):
        with (draft / name).open("wb") as file:
            file.write(array.data.cast("B"))
            _sync(file)
    hardness = hardness_of(quantiser, codes, vectors)
    judged = sample_places(len(vectors), _JUDGED_ERROR)
    error = quantiser.error(vectors[judged], codes[judged])
    return {CODES: digest_of(codes), VALUES: digest_of(quantiser.values)}, hardness, error


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
