"""One GGUF file from the Hugging Face Hub, or anything that speaks its protocol, for the catalogue.

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
from pathlib import Path
from typing import IO, Final, TypeVar

from littoral.adapters.models.digests import Progress, feed
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

__all__ = ["Hub", "HubFetch"]

TRIES_MAX: Final = 5
"""In a row without one new byte; then the add ends, and the next one goes on from there."""

TRY_AGAIN_WAIT_S: Final = 1.0
"""Times the number of tries so far."""

RETRY_AFTER_MAX_S: Final = 30.0
"""Longest that a person who looks on is kept waiting because the Hub asks for it."""

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
    """A hub that is asked for one file."""

    hub: Hub
    origin: HubOrigin
    progress: Progress

    def find(self, reference: HubReference) -> tuple[OriginFile, str]:
        """Resolve a reference to one file, and to how the catalogue names its origin.

        Raises:
            OriginError: the Hub can't be reached, refuses, or has no such repository or file.
            BadRequestError: several files match; the message lists them.
        """
        listing = self._patiently(lambda: self.origin.look_up(reference, ".gguf"))
        file = choose(reference, listing.files)
        if file.digest is None and file.git_oid is None:
            raise OriginRefusedError(
                f"{self.hub.endpoint} does not say which SHA-256 {file.path} has",
                advice="fetch it another way and add the local file",
            )
        commit = listing.reference.partition("@")[2].partition(":")[0]
        return file, f"hf:{reference.repository}:{file.path}@{commit}"

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
