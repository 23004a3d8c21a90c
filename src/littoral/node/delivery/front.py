"""What clients of the Hub's API find on this PoP (`terms/ports.py::Shelf`): all of the Hub.

What is here is given from here: models of the catalogue, and what was pulled. What is not is looked
up at the origin and pulled, file by file, when a client asks for its bytes.

Rules
- A file of which somebody has a manifest is given while it arrives, each chunk checked. One that
  nobody has yet is given once it is whole and has the digest that the origin promises: until then
  nobody can tell whether its first byte is right.
- Where the origin is away, what was pulled from it is what there is.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from littoral.adapters.artifacts import Shelf as StoreShelf
from littoral.adapters.identity import verify
from littoral.adapters.shelves import LocalShelf
from littoral.delivery.access import check_may_read
from littoral.delivery.claims import Claim, opened_claim
from littoral.delivery.git_names import stand_in_commit
from littoral.delivery.tables import Table
from littoral.node.delivery.office import Office
from littoral.terms.artifacts import OriginFile, Shelved
from littoral.terms.delivery import ListingShown, ListingWanted, PullShown, PullStage, PullWanted
from littoral.terms.errors import (
    LittoralError,
    NotFoundError,
    OriginError,
    RecordRejectedError,
)
from littoral.terms.ids import ArtifactId
from littoral.terms.limits import LISTING_KEPT_S, LISTINGS_KEPT_MAX
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Caller, Instant

__all__ = ["PullThrough"]

_LOOK_S: Final = 0.1
_FROM_ORIGIN: Final = "pull:"
"""What `place` of a file begins with that is to be pulled; the rest is its reference."""


@dataclass(frozen=True, slots=True)
class _Listed:
    shelved: Shelved
    at: Instant


class PullThrough:
    """See `terms/ports.py::Shelf`."""

    def __init__(
        self,
        folder: Path,
        models: Callable[[], Iterable[Shelved]],
        office: Office,
        clock: Clock,
    ) -> None:
        """Give nothing yet.

        Args:
            folder: of the store.
            models: those of the catalogue, as repositories.
            office: pulls.
            clock: for how long a listing is good.
        """
        self._store = StoreShelf(folder)
        self._office = office
        self._clock = clock
        self._models = models
        self._pulled: tuple[int, tuple[Shelved, ...]] = (-1, ())
        """As of this number of what the mover says."""
        self._listed: dict[tuple[str, str], _Listed] = {}
        self._local = LocalShelf(lambda: (*models(), *self._pulled[1]))

    async def find(self, repository: str, revision: str, caller: Caller) -> Shelved:
        """What a revision of a repository is now; see the port."""
        await self._look()
        named = any(each.repository == repository for each in self._models())
        if named:
            return await self._local.find(repository, revision, caller)
        try:
            found = await self._at_origin(repository, revision)
        except OriginError:
            return await self._local.find(repository, revision, caller)
        check_may_read(caller, found)
        return found

    async def revisions(self, repository: str, caller: Caller) -> Sequence[Shelved]:
        """All revisions of a repository, the present one first; see the port."""
        present = await self.find(repository, "main", caller)
        try:
            known = await self._local.revisions(repository, caller)
        except NotFoundError:
            known = ()
        return [present, *(each for each in known if each.commit != present.commit)]

    def repositories(self, caller: Caller) -> Sequence[str]:
        """Names of what is here; see the port."""
        return self._local.repositories(caller)

    @asynccontextmanager
    async def open(
        self, file: OriginFile, start: int, end: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The checked bytes of a file; see the port."""
        if not file.place.startswith(_FROM_ORIGIN):
            async with self._local.open(file, start, end) as pieces:
                yield pieces
            return
        reference = file.place.removeprefix(_FROM_ORIGIN)
        async with aclosing(self._arriving(file, reference, start, end)) as pieces:
            yield pieces

    async def _arriving(
        self, file: OriginFile, reference: str, start: int, end: int
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of a file that is pulled meanwhile."""
        pull = await self._office.pull(PullWanted(reference))
        while not pull.stage.over:
            if pull.artifact is not None:
                for piece in self._committed(pull.artifact, start, end):
                    yield piece
                    start += len(piece)
                if start >= end:
                    return
            await asyncio.sleep(_LOOK_S)
            pull = await self._office.pulled(pull.id)
        if pull.artifact is None or pull.stage is not PullStage.DONE:
            raise _failed(pull)
        with self._store.hold(pull.artifact) as held:
            whole = replace(file, place=str(held.paths[0]), digest=held.manifest.files[0].sha256)
            async with self._local.open(whole, start, end) as pieces:
                async for piece in pieces:
                    yield piece

    def _committed(self, artifact: ArtifactId, start: int, end: int) -> Iterable[bytes]:
        """What is here of the bytes from `start` on, without a gap; each chunk is checked."""
        try:
            table: Table = self._store.table(artifact)
            held = self._store.held(artifact)
            first, last = table.run_over(0, start, end)
            for number in range(first, last):
                if number not in held:
                    return
                chunk = table[number]
                data = self._store.read(artifact, number)
                yield data[max(0, start - chunk.start) : end - chunk.start]
        except NotFoundError:  # it is not laid out yet, or has just become whole
            return

    # --- what there is --------------------------------------------------------------------------

    async def _at_origin(self, repository: str, revision: str) -> Shelved:
        """What the origin says, or said a moment ago."""
        now = self._clock.now()
        known = self._listed.get((repository, revision))
        if known is not None and now - known.at < LISTING_KEPT_S * SECOND:
            return self._with_places(known.shelved)
        wanted = ListingWanted(f"hf:{repository}@{revision}")
        listing = await self._office.listing(wanted)
        shelved = _shelved(repository, revision, listing)
        if len(self._listed) >= LISTINGS_KEPT_MAX:
            del self._listed[next(iter(self._listed))]
        self._listed[repository, revision] = _Listed(shelved, now)
        return self._with_places(shelved)

    def _with_places(self, listed: Shelved) -> Shelved:
        """The same, with the files that are here given from here."""
        here = {
            (file.path, file.size_bytes, file.digest, file.git_oid): file
            for each in self._pulled[1]
            if each.repository == listed.repository and each.commit == listed.commit
            for file in each.files
        }
        files = (
            here.get((each.path, each.size_bytes, each.digest, each.git_oid), each)
            for each in listed.files
        )
        return replace(listed, files=tuple(files))

    async def _look(self) -> None:
        """See what was pulled, if that has changed."""
        said = self._office.said
        number = 0 if said is None else said.number
        if number != self._pulled[0]:
            shelved = await asyncio.to_thread(self._look_through)
            self._pulled = number, shelved

    def _look_through(self) -> tuple[Shelved, ...]:
        """All that was pulled from the Hub, as repositories. Blocks."""
        found: dict[tuple[str, str], dict[str, OriginFile]] = {}
        private: set[tuple[str, str]] = set()
        latest: dict[str, tuple[int, str]] = {}
        for claim in self._claims():
            repository, commit = _hub_parts(claim.reference)
            if not commit or not self._store.complete(claim.artifact):
                continue
            key = repository, commit
            found.setdefault(key, {}).update(self._files(claim.artifact))
            if claim.private:
                private.add(key)
            latest[repository] = max(latest.get(repository, (0, "")), (claim.unix_s, commit))
        return tuple(
            Shelved(
                repository=repository,
                commit=commit,
                files=tuple(file for _, file in sorted(files.items())),
                names=("main",) if latest[repository][1] == commit else (),
                private=(repository, commit) in private,
            )
            for (repository, commit), files in sorted(found.items())
        )

    def _files(self, artifact: ArtifactId) -> dict[str, OriginFile]:
        with self._store.hold(artifact) as held:
            return {
                row.path: OriginFile(row.path, row.size_bytes, row.sha256, str(path))
                for row, path in zip(held.manifest.files, held.paths, strict=True)
            }

    def _claims(self) -> Iterable[Claim]:
        for artifact in self._store.artifacts():
            for envelope in self._store.claims(artifact):
                try:
                    claim = opened_claim(envelope, verify)
                except RecordRejectedError:
                    continue
                if claim.artifact == artifact and claim.reference.startswith("hf:"):
                    yield claim


def _shelved(repository: str, revision: str, listing: ListingShown) -> Shelved:
    """A listing of the Hub as a repository whose files are to be pulled."""
    name, commit = _hub_parts(listing.reference)
    files = tuple(
        OriginFile(
            path=each.path,
            size_bytes=each.size_bytes,
            digest=each.digest,
            place=f"{_FROM_ORIGIN}hf:{name}@{commit}:{each.path}",
            git_oid=each.git_oid,
        )
        for each in listing.files
    )
    names = () if revision == commit else (revision,)
    return Shelved(repository, commit or stand_in_commit(files), files, names, listing.private)


def _hub_parts(reference: str) -> tuple[str, str]:
    """Repository and commit of a pinned reference; empty where it has none."""
    repository, _, rest = reference.removeprefix("hf:").partition("@")
    return repository, rest.partition(":")[0]


def _failed(pull: PullShown) -> LittoralError:
    reason = pull.error or "it was cancelled"
    return OriginError(f"{pull.reference} could not be had: {reason}", advice=pull.advice)
