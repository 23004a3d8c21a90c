"""What of the index is on disk: one folder that is whole, or is not there.

    current            the name of the generation that counts
    g-…/meta.json      what is in it, up to which change of the truth, and digests; then its own
    g-…/rows.i64       row numbers of the truth, ascending
    g-…/vectors.f32    the vectors, in the same order
    g-…/codes.u8       their codes          g-…/values.f32     what the codes mean

Rules
- Everything but the vectors is hashed when it is opened. Vectors are gigabytes: of them the size is
  looked at, and the digest of rows spread over the file. Whatever is not as it was written makes
  the generation damaged, and damaged is absent: the truth makes another.
- Vectors, rows and codes are mapped. In memory is the index of the codes alone.
- A generation that was replaced is unlinked at once. Who has it mapped goes on with it.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from blake3 import blake3

from littoral.adapters.memory.scan.kernels import Floats, Places
from littoral.adapters.memory.scan.quantiser import Bytes, Quantiser, sample_places
from littoral.memory.planner import Codes
from littoral.terms.memory import Metric

__all__ = [
    "CODES",
    "CURRENT",
    "META",
    "PREFIX",
    "ROWS",
    "VALUES",
    "VECTORS",
    "Generation",
    "Meta",
    "current_name",
    "digest_of",
    "empty",
    "encoded_meta",
    "load",
    "spread_digest",
    "through_of",
]

CURRENT: Final = "current"
PREFIX: Final = "g-"
META: Final = "meta.json"
ROWS: Final = "rows.i64"
VECTORS: Final = "vectors.f32"
CODES: Final = "codes.u8"
VALUES: Final = "values.f32"

_FORMAT: Final = 1
_META_BYTES_MAX: Final = 64 * 1024
_SPREAD_ROWS: Final = 64
_TRIES: Final = 3
"""Another process may replace a generation while it is opened."""


class Meta(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a generation says of itself."""

    format: int = _FORMAT
    dimensions: int
    metric: Metric
    rows: int
    through: int
    """It has what the truth had after this change."""
    hardness: float = 0.0
    error: float = 0.0
    """Mean squared distance of its vectors from what their codes say."""
    digests: dict[str, str]


_decode: Final = msgspec.json.Decoder(Meta).decode


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation, opened. `codes`, `quantiser` and `index` are None where vectors are few."""

    name: str
    meta: Meta
    rows: Places
    vectors: Floats
    codes: Bytes | None = None
    quantiser: Quantiser | None = None
    index: Any = None
    """faiss.IndexPQFastScan."""
    ranking: Codes | None = None
    """What a plan has to know of the codes."""

    @property
    def through(self) -> int:
        """It has what the truth had after this change."""
        return self.meta.through


def empty(dimensions: int, metric: Metric) -> Generation:
    """What there is before the first."""
    meta = Meta(dimensions=dimensions, metric=metric, rows=0, through=0, digests={})
    return Generation("", meta, np.empty(0, np.int64), np.empty((0, dimensions), np.float32))


def load(folder: Path, dimensions: int, metric: Metric) -> Generation | None:
    """Open the generation that counts; None where there is none, or it is not whole."""
    for _ in range(_TRIES):
        name = current_name(folder)
        if not name:
            return None
        with suppress(OSError, ValueError, msgspec.MsgspecError):
            return _opened(folder / name, dimensions, metric)
        if current_name(folder) == name:
            return None
    return None


def current_name(folder: Path) -> str:
    """The name of the generation that counts, or nothing."""
    try:
        with (folder / CURRENT).open("rb") as file:
            name = file.read(256).decode("ascii", "replace").strip()
    except OSError:
        return ""
    return name if name.startswith(PREFIX) and "/" not in name else ""


def through_of(folder: Path, dimensions: int, metric: Metric) -> int:
    """Up to which change the generation goes that counts; -1 where there is none to read."""
    try:
        return _meta(folder / current_name(folder), dimensions, metric).through
    except (OSError, ValueError, msgspec.MsgspecError):
        return -1


def _opened(folder: Path, dimensions: int, metric: Metric) -> Generation:
    meta = _meta(folder, dimensions, metric)
    rows = _mapped(folder / ROWS, np.dtype("<i8"), (meta.rows,))
    vectors = _mapped(folder / VECTORS, np.dtype("<f4"), (meta.rows, dimensions))
    digests = {ROWS: digest_of(rows), VECTORS: spread_digest(vectors)}
    if CODES not in meta.digests:
        _compare(digests, meta)
        return Generation(folder.name, meta, rows, vectors)
    untrained = Quantiser(dimensions, metric, np.empty(0, np.float32))
    values = _mapped(folder / VALUES, np.dtype("<f4"), (untrained.padded * 16,))
    codes = _mapped(folder / CODES, np.dtype("u1"), (meta.rows, untrained.code_bytes))
    digests |= {VALUES: digest_of(values), CODES: digest_of(codes)}
    _compare(digests, meta)
    quantiser = Quantiser(dimensions, metric, np.array(values))
    index = quantiser.index(codes)
    ranking = Codes(quantiser.parts, meta.hardness)
    return Generation(folder.name, meta, rows, vectors, codes, quantiser, index, ranking)


def _compare(digests: dict[str, str], meta: Meta) -> None:
    if digests != meta.digests:
        raise ValueError(META)


def _mapped(path: Path, kind: "np.dtype[Any]", shape: tuple[int, ...]) -> Any:  # noqa: ANN401
    """A file of exactly this shape, mapped.

    Raises:
        ValueError: it has another size.
    """
    wanted = int(np.prod(shape)) * kind.itemsize
    if path.stat().st_size != wanted:
        raise ValueError(path.name)
    if not wanted:
        return np.empty(shape, kind)
    return np.asarray(np.memmap(path, kind, "r", shape=shape))


def digest_of(array: "np.ndarray[Any, Any]") -> str:
    """Of all bytes."""
    return blake3(np.ascontiguousarray(array).reshape(-1).data.cast("B")).hexdigest()


def spread_digest(vectors: Floats) -> str:
    """Of rows spread over all, the first and the last among them."""
    return digest_of(
        vectors[sample_places(len(vectors), _SPREAD_ROWS)] if len(vectors) else vectors
    )


def encoded_meta(meta: Meta) -> bytes:
    """A line, and its digest as another."""
    return _sealed(msgspec.json.encode(meta))


def _sealed(line: bytes) -> bytes:
    return line + b"\n" + blake3(line).hexdigest().encode() + b"\n"


def _meta(folder: Path, dimensions: int, metric: Metric) -> Meta:
    with (folder / META).open("rb") as file:
        raw = file.read(_META_BYTES_MAX)
    line = raw.partition(b"\n")[0]
    if raw != _sealed(line):
        raise ValueError(META)
    meta = _decode(line)
    if (meta.format, meta.dimensions, meta.metric) != (_FORMAT, dimensions, metric):
        raise ValueError(META)
    return meta
