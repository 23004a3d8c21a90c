"""Fetches one GGUF file from the Hugging Face Hub, or anything that speaks its protocol.

Rules
- A revision is resolved to a commit once; everything after is asked of that commit.
- The SHA-256 comes from the Hub (its listing, or `X-Linked-Etag`) and is checked over the bytes as
  they are written. Without one, or with two that differ, nothing is fetched. Bytes that do not have
  it are dropped, and a later add begins anew.
- A broken connection is taken up again where it broke, with `Range`, at the Hub's own address: the
  addresses that it redirects to expire.
- The token goes to the endpoint itself and to nobody that it redirects to.
"""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

from littoral.adapters.models.digests import Hash, Progress, digest_of, feed
from littoral.adapters.models.hub_http import Answer, BrokenError, get
from littoral.adapters.models.hub_names import (
    Candidate,
    HubReference,
    choose,
    commit_of,
    sha256_of_etag,
)
from littoral.terms.errors import DigestMismatchError, OriginError
from littoral.terms.ids import Digest, digest_of_hex

__all__ = ["DEFAULT_ENDPOINT", "Hub", "HubFile"]

DEFAULT_ENDPOINT: Final = "https://huggingface.co"

TRIES_MAX: Final = 5
"""In a row without one new byte; then the add ends, and the next one goes on from there."""

TRY_AGAIN_WAIT_S: Final = 1.0
"""Times the number of tries so far."""

LISTING_BYTES_MAX: Final = 32 * 1024 * 1024
"""Repositories have up to 100,000 files, and one takes about 300 bytes here."""

_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class HubFile:
    """One exact file at one commit."""

    repository: str
    commit: str
    path: str
    size_bytes: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Hub:
    """One endpoint, and the token for it."""

    endpoint: str = DEFAULT_ENDPOINT
    token: str | None = field(default=None, repr=False)
    try_again_wait_s: float = TRY_AGAIN_WAIT_S

    def find(self, reference: HubReference, progress: Progress) -> HubFile:
        """Resolve a reference to one file.

        Raises:
            OriginError: the Hub can't be reached, refuses, or has no such repository or file.
            BadRequestError: several files match; the message lists them.
        """
        listing = self._listing(reference, progress)
        commit = commit_of(listing.get("sha"), reference.repository)
        chosen = choose(reference, listing.get("siblings"))
        if chosen.sha256 is None or chosen.size_bytes is None:
            chosen = self._ask_digest(reference, commit, chosen.path, progress)
        if chosen.sha256 is None or chosen.size_bytes is None:
            raise OriginError(
                f"{self.endpoint} does not say which SHA-256 {chosen.path} has",
                advice="fetch it another way and add the local file",
            )
        digest = digest_of_hex(chosen.sha256)
        return HubFile(reference.repository, commit, chosen.path, chosen.size_bytes, digest)

    def download(self, file: HubFile, target: Path, progress: Progress) -> None:
        """Fetch a file to `target`, going on from what is there already.

        Raises:
            OriginError: it could not be had in full; what came is kept for another try.
            DigestMismatchError: the bytes are not the ones named; they are removed.
        """
        target.touch()
        with target.open("r+b") as written:
            download = _Download(self, file, written, progress)
            download.recall()
            self._with_patience(download.go_on, progress)
        if digest_of(download.hashed) != file.digest:
            target.unlink()
            raise DigestMismatchError(
                f"{file.path} from {self.endpoint} does not have the SHA-256 that was named",
                advice="nothing was kept; run this again, and report it if it stays so",
                details={"expected": file.digest, "found": digest_of(download.hashed)},
            )

    def open(self, repository: str, commit: str, path: str, start: int) -> Answer:
        """Ask for the bytes of a file from `start` on."""
        url = f"{self.endpoint}/{repository}/resolve/{commit}/{quote(path)}"
        headers = {"Range": f"bytes={start}-"} if start else {}
        return get(url, self.token, headers, what=f"{path} in {repository}")

    def _listing(self, reference: HubReference, progress: Progress) -> Mapping[str, object]:
        revision = quote(reference.revision, safe="")
        url = f"{self.endpoint}/api/models/{reference.repository}/revision/{revision}?blobs=true"
        found: list[bytes] = []

        def ask() -> bool:
            what = f"{reference.repository} at {reference.revision}"
            with get(url, self.token, {}, what=what) as answer:
                found.append(answer.read(LISTING_BYTES_MAX))
            return False

        self._with_patience(ask, progress)
        try:
            listing = json.loads(found[0])
        except (ValueError, RecursionError):
            listing = None
        if not isinstance(listing, dict):
            raise OriginError(
                f"{self.endpoint} did not answer with a listing of {reference.repository}",
                advice="check that the endpoint speaks the Hub's protocol",
            )
        return listing

    def _ask_digest(
        self, reference: HubReference, commit: str, path: str, progress: Progress
    ) -> Candidate:
        """What the file's own headers say, for servers whose listings have no digests."""
        found: list[Candidate] = []

        def ask() -> bool:
            with self.open(reference.repository, commit, path, 0) as answer:
                found.append(Candidate(path, answer.linked_size(), _linked_sha256(answer)))
            return False

        self._with_patience(ask, progress)
        return found[0]

    def _with_patience(self, attempt: Callable[[], bool], progress: Progress) -> None:
        """Attempt until it succeeds, or fails `TRIES_MAX` times in a row without progress.

        An attempt raises BrokenError for what another may mend; it returns whether there is more
        to do, after having got further.
        """
        failures = 0
        while True:
            try:
                if not attempt():
                    return
                failures = 0
            except BrokenError as broken:
                failures += 1
                if failures == TRIES_MAX:
                    raise OriginError(
                        f"{self.endpoint} broke off {TRIES_MAX} times: {broken}",
                        advice="run this again later; it goes on from what has come so far",
                    ) from broken
                progress(f"trying again ({broken})", 0, None)
                wait_s = max(self.try_again_wait_s * failures, broken.retry_after_s)
                threading.Event().wait(wait_s)


@dataclass(slots=True)
class _Download:
    """A file that grows: `done` bytes of it are written and hashed."""

    hub: Hub
    file: HubFile
    written: IO[bytes]
    progress: Progress
    hashed: Hash = field(default_factory=hashlib.sha256)
    done: int = 0

    def recall(self) -> None:
        """Take up what an earlier try left."""
        stage = "checking what is there already"
        size = self.file.size_bytes
        self.done = feed(
            self.written, self.hashed.update, lambda done: self.progress(stage, done, size), size
        )
        self.written.truncate()

    def go_on(self) -> bool:
        """One request for what is missing; says whether more is missing after it."""
        file = self.file
        if self.done == file.size_bytes:
            return False
        before = self.done
        try:
            with self.hub.open(file.repository, file.commit, file.path, self.done) as answer:
                self._agree(answer)
                self._begin_at(answer)
                feed(answer, self._take, self._tell, file.size_bytes - self.done)
        except BrokenError:
            if self.done > before:
                return True
            raise
        if self.done < file.size_bytes and self.done <= before:
            raise BrokenError("the connection was closed")
        return self.done < file.size_bytes

    def _agree(self, answer: Answer) -> None:
        """See before the first byte that this is still the file that was asked for."""
        sha256 = _linked_sha256(answer)
        commit = answer.headers.get("x-repo-commit", self.file.commit)
        if (
            (sha256 is not None and digest_of_hex(sha256) != self.file.digest)
            or answer.linked_size() not in (None, self.file.size_bytes)
            or commit != self.file.commit
        ):
            raise DigestMismatchError(
                f"{self.hub.endpoint} lists one {self.file.path} and serves another",
                advice="nothing was fetched; run this again, and report it if it stays so",
            )

    def _begin_at(self, answer: Answer) -> None:
        """Go on where the answer goes on; a server that ignores ranges begins anew."""
        start = 0
        if answer.status == 206:
            found = _RANGE.fullmatch(answer.last.get("content-range", ""))
            if found is None or int(found[1]) != self.done:
                raise BrokenError("another range came than was asked for")
            start = self.done
        if start != self.done:
            self.hashed, self.done = hashlib.sha256(), 0
            self.written.seek(0)
            self.written.truncate()

    def _take(self, piece: bytes) -> None:
        self.hashed.update(piece)
        self.written.write(piece)
        self.done += len(piece)

    def _tell(self, _: int) -> None:
        stage = f"fetching {self.file.repository} {self.file.path}"
        self.progress(stage, self.done, self.file.size_bytes)


def _linked_sha256(answer: Answer) -> str | None:
    """The digest in the headers; a plain `ETag` counts only where it can be nothing else."""
    return sha256_of_etag(answer.headers.get("x-linked-etag") or answer.headers.get("etag"))
