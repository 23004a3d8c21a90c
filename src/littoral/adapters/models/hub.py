"""Files of a model from the Hugging Face Hub, or anything that speaks its protocol.

Rules
- The SHA-256 (or git's name) comes from the Hub and is checked over the bytes as they are written.
  Without one nothing is fetched. Bytes that lack it are dropped, and a later add begins anew.
- A connection that breaks is taken up again where it broke, some times in a row.

What the Hub says and how it is read is the origin's (`origins/hub`).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Final, TypeVar

from littoral.adapters.models.cross_names import cross_files, has_onnx
from littoral.adapters.models.digests import Progress, check_disk, feed
from littoral.adapters.models.hub_names import choose
from littoral.adapters.origins.asking import Asker, Patience
from littoral.adapters.origins.hub import DEFAULT_ENDPOINT, HubOrigin
from littoral.adapters.origins.promises import WholeFile
from littoral.adapters.origins.references import HubReference
from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import (
    DigestMismatchError,
    OriginBrokeError,
    OriginChangedError,
    OriginRefusedError,
)
from littoral.terms.ids import Digest
from littoral.terms.ports import Origin
from littoral.terms.values import ModelFile

__all__ = ["Hub", "HubFetch", "part_name"]

TRIES_MAX: Final = 5
"""In a row without one new byte; then the add ends, and the next one goes on from there."""

TRY_AGAIN_WAIT_S: Final = 1.0
"""Times the number of tries so far."""

RETRY_AFTER_MAX_S: Final = 30.0
"""Longest that a person who looks on is kept waiting because the Hub asks for it."""

_GGUF: Final = ".gguf"
_LOOKED_FOR: Final = (_GGUF, ".onnx", ".onnx_data", ".onnx.data", "config.json", "tokenizer.json")
"""How the names of files end that are, or belong to, models which can be served here."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hub:
    """One endpoint, the token for it, and how patient to be with it."""

    endpoint: str = DEFAULT_ENDPOINT
    token: str | None = field(default=None, repr=False)
    try_again_wait_s: float = TRY_AGAIN_WAIT_S
    patience: Patience = field(default_factory=Patience)

    @contextmanager
    def opened(self, progress: Progress) -> Iterator["HubFetch"]:
        """Ask it; its connections are closed at the end."""
        asker = Asker(self.patience)
        try:
            origin = HubOrigin(asker, self.endpoint, self.token)
            yield HubFetch(self, origin, progress)
        finally:
            asker.close()


@dataclass(frozen=True, slots=True)
class HubFetch:
    """A hub that is asked for the files of one model."""

    hub: Hub
    origin: HubOrigin
    progress: Progress

    def find(self, reference: HubReference) -> tuple[tuple[OriginFile, ...], str]:
        """Resolve a reference to its files, and to how the catalogue names their origin.

        They are one GGUF file, or the weights, the tokenizer and the configuration of a model in
        ONNX; the first where a repository has both and nothing else is said.

        Raises:
            OriginError: the Hub can't be reached, refuses, or has no such repository or file.
            BadRequestError: several files match; the message lists them.
            UnsupportedError: the model is cut into several files, or lacks one.
        """
        listing = self._patiently(lambda: self.origin.look_up(reference, _LOOKED_FOR))
        found = {file.path: file for file in listing.files}
        if _is_onnx(reference, tuple(found)):
            three = cross_files(tuple(found), reference.file, reference.repository)
            files = tuple(found[each] for each in (three.weights, three.tokenizer, three.config))
        else:
            files = (choose(reference, listing.files),)
        for file in files:
            if file.digest is None and file.git_oid is None:
                raise OriginRefusedError(
                    f"{self.hub.endpoint} does not say which SHA-256 {file.path} has",
                    advice="fetch it another way and add the local file",
                )
        commit = listing.reference.partition("@")[2].partition(":")[0]
        return files, f"hf:{reference.repository}:{files[0].path}@{commit}"

    def grown(self, file: OriginFile, directory: Path) -> ModelFile:
        """Fetch a file into a directory, going on from what an earlier try left there.

        Raises:
            DiskShortError: there is no room for it.
            OriginError, DigestMismatchError: as `download`.
        """
        growing = directory / part_name(file)
        there = growing.stat().st_size if growing.exists() else 0
        check_disk(directory, file.size_bytes - there)
        digest = self.download(file, growing)
        target = growing.rename(directory / PurePosixPath(file.path).name)
        return ModelFile(str(target), file.size_bytes, digest)

    def download(self, file: OriginFile, target: Path) -> Digest:
        """Fetch a file to `target`, going on from what is there already; its SHA-256.

        Raises:
            OriginError: it could not be had in full; what came is kept for another try.
            DigestMismatchError: the bytes are not the ones named; they are removed.
        """
        target.touch()
        with target.open("r+b") as written:
            growing = _Growing(self.origin, file, written, self.progress)
            growing.recall()
            while growing.done < file.size_bytes:
                self._patiently(growing.go_on)
        if not growing.whole.is_promised:
            target.unlink()
            raise DigestMismatchError(
                f"{file.path} from {self.hub.endpoint} does not have the SHA-256 that was named",
                advice="nothing was kept; run this again, and report it if it stays so",
                details={"expected": file.digest or "", "found": growing.whole.digest},
            )
        return growing.whole.digest

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Attempt until it succeeds, or breaks `TRIES_MAX` times in a row."""
        failures = 0
        while True:
            try:
                return attempt()
            except OriginChangedError as changed:
                raise DigestMismatchError(
                    changed.message,
                    advice="nothing was fetched; run this again, and report it if it stays so",
                ) from changed
            except OriginBrokeError as broken:
                failures += 1
                if failures == TRIES_MAX:
                    raise OriginBrokeError(
                        f"{self.hub.endpoint} broke off {TRIES_MAX} times: {broken.message}",
                        advice="run this again later; it goes on from what has come so far",
                    ) from broken
                self.progress(f"trying again ({broken.message})", 0, None)
                asked_s = min(broken.retry_after_s or 0.0, RETRY_AFTER_MAX_S)
                threading.Event().wait(max(self.hub.try_again_wait_s * failures, asked_s))


def part_name(file: OriginFile) -> str:
    """What a file is called while it grows: its digest, so its bytes are never another's."""
    return f"{(file.digest or file.git_oid or '').removeprefix('sha256:')}.part"


def _is_onnx(reference: HubReference, paths: tuple[str, ...]) -> bool:
    """Whether a model in ONNX is meant."""
    named = (reference.file or "").lower()
    if any(path.lower().endswith(_GGUF) for path in paths):
        return "onnx" in named
    return has_onnx(paths)


class _Growing:
    """A file that grows: `done` bytes of it are written and hashed."""

    def __init__(
        self, origin: Origin, file: OriginFile, written: IO[bytes], progress: Progress
    ) -> None:
        self._origin = origin
        self._file = file
        self._written = written
        self._progress = progress
        self.whole = WholeFile(file)
        self.done = 0

    def recall(self) -> None:
        """Take up what an earlier try left."""
        stage = "checking what is there already"
        size = self._file.size_bytes
        self.done = feed(
            self._written,
            self.whole.update,
            lambda done: self._progress(stage, done, size),
            size,
        )
        self._written.truncate()

    def go_on(self) -> None:
        """One request for what is missing. Raises what `Origin.read` does if it brought nothing."""
        before, size = self.done, self._file.size_bytes
        stage = f"fetching {self._file.path}"
        try:
            with self._origin.read(self._file, self.done, size) as pieces:
                for piece in pieces:
                    self.whole.update(piece)
                    self._written.write(piece)
                    self.done += len(piece)
                    self._progress(stage, self.done, size)
        except OriginBrokeError:
            if self.done == before:
                raise
