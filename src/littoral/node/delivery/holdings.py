"""What is in the store, by what it was pulled as; and what others may have of it.

Rules
- What a reference means here, the claims in the store say; of several for one, the last.
- What is private (its origin gave it only because of a credential) goes to PoPs of the same owner
  only. An artifact is private until a claim says that it is not.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from littoral.adapters.artifacts import ArtifactStore
from littoral.adapters.identity import verify
from littoral.adapters.models import Catalogue
from littoral.delivery.claims import Claim, Known, opened_claim, signed_claim
from littoral.node.delivery.finding import FoundManifest, mark_of
from littoral.node.delivery.others import group_of
from littoral.routing.fleet import Delivery
from littoral.terms.artifacts import OriginListing
from littoral.terms.errors import NotFoundError, RecordRejectedError
from littoral.terms.ids import ArtifactId, Digest
from littoral.terms.ports import Signer
from littoral.terms.values import SECOND

__all__ = ["Holdings"]

log = logging.getLogger("littoral")


@dataclass(slots=True)
class _Known:
    """Of one artifact."""

    reference: str = ""
    private: bool = True
    claims: list[Claim] = field(default_factory=list)


class Holdings:
    """Of one store. Called on one thread."""

    def __init__(self, store: ArtifactStore, catalogue: Catalogue) -> None:
        """Read every claim. Blocks."""
        self.store = store
        self._catalogue = catalogue
        self._names_at = -1
        """As the catalogue was when names were last looked up."""
        self._names: Mapping[Digest, str] = {}
        """What models are called, by the SHA-256 of their weights."""
        self._models: dict[ArtifactId, tuple[int, str]] = {}
        self._known: dict[ArtifactId, _Known] = {}
        self._meant: dict[str, ArtifactId] = {}
        for artifact in store.shelf.artifacts():
            for envelope in store.shelf.claims(artifact):
                self._take(artifact, envelope)

    def claimed(self, artifact: ArtifactId, envelope: bytes) -> None:
        """Keep a claim, and heed it."""
        self.store.claim(artifact, envelope)
        self._take(artifact, envelope)

    def claim(
        self, listing: OriginListing, artifact: ArtifactId, signer: Signer, unix_ns: int
    ) -> None:
        """Say, for everybody who asks, that what the listing is of is this artifact."""
        promised = all(each.digest or each.git_oid for each in listing.files)
        envelope = signed_claim(
            signer,
            reference=listing.reference,
            artifact=artifact,
            known=Known.ORIGIN if promised else Known.FIRST,
            private=listing.private,
            base=listing.base,
            unix_s=unix_ns // SECOND,
        )
        self.claimed(artifact, envelope)

    def made(self, reference: str, artifact: ArtifactId, signer: Signer, unix_ns: int) -> None:
        """Say, for PoPs of this owner, that this PoP has made this artifact and calls it so."""
        envelope = signed_claim(
            signer,
            reference=reference,
            artifact=artifact,
            known=Known.FIRST,
            private=True,
            base=None,
            unix_s=unix_ns // SECOND,
        )
        self.claimed(artifact, envelope)

    def meant(self, reference: str) -> ArtifactId | None:
        """What a pinned reference means, if that was ever known here."""
        return self._meant.get(reference)

    def whole(self, reference: str) -> ArtifactId | None:
        """The same, if all of it is here."""
        artifact = self._meant.get(reference)
        if artifact is None or not self.store.shelf.complete(artifact):
            return None
        return artifact

    def known(self, artifact: ArtifactId) -> FoundManifest | None:
        """The manifest of an artifact that is here in part, or was and has rotted."""
        shelf = self.store.shelf
        try:
            return FoundManifest(artifact, shelf.manifest(artifact), shelf.tables(artifact))
        except NotFoundError:
            return None

    def resembling(self, reference: str) -> ArtifactId | None:
        """What is here whole under a reference that need not be pinned, or under its own name."""
        if reference.startswith("blake3:"):
            artifact = ArtifactId(reference)
            return artifact if self.store.shelf.complete(artifact) else None
        for pinned in reversed(self._meant):
            named = pinned == reference or pinned.startswith((f"{reference}@", f"{reference}#"))
            found = self.whole(pinned) if named else None
            if found is not None:
                return found
        return None

    def reference(self, artifact: ArtifactId) -> str:
        """What it was pulled as last; empty where nobody says."""
        known = self._known.get(artifact)
        return "" if known is None else known.reference

    def private(self, artifact: ArtifactId) -> bool:
        """Whether it may go to PoPs of this owner only."""
        known = self._known.get(artifact)
        return known is None or known.private

    def claims(self, artifact: ArtifactId) -> tuple[Claim, ...]:
        """What is claimed of it."""
        known = self._known.get(artifact)
        return () if known is None else tuple(known.claims)

    def deliveries(self) -> list[Delivery]:
        """What others may be told is here whole."""
        said = list[Delivery]()
        for row in self.store.shelf.rows():
            if row.complete:
                with suppress(NotFoundError):  # it has just been dropped
                    said.append(self.delivery(row.artifact, "", whole=True))
        return said

    def delivery(self, name: str, reference: str, *, whole: bool) -> Delivery:
        """What this PoP says of an artifact, a draft, or a reference that it wants.

        Args:
            name: of the artifact (or draft, or wish).
            reference: pinned; empty where the claims on the artifact say it.
            whole: all of it is here.
        """
        artifact = ArtifactId(name)
        size, model = self._model(artifact) if name.startswith("blake3:") and whole else (0, "")
        mark = mark_of(reference or self.reference(artifact))
        return Delivery(group_of(name), mark, whole, size, model)

    def _model(self, artifact: ArtifactId) -> tuple[int, str]:
        """How large a whole artifact is, and what a model in it is called here."""
        changed = self._catalogue.changed_at()
        if self._names_at != changed:
            self._names_at, self._models = changed, {}
            self._names = {
                entry.digest: entry.name for entry in self._catalogue.entries() if entry.digest
            }
        found = self._models.get(artifact)
        if found is None:
            manifest = self.store.shelf.manifest(artifact)
            names = (self._names.get(file.sha256, "") for file in manifest.files)
            found = self._models[artifact] = manifest.size_bytes, next(filter(None, names), "")
        return found

    def _take(self, artifact: ArtifactId, envelope: bytes) -> None:
        try:
            claim = opened_claim(envelope, verify)
        except RecordRejectedError as error:
            log.warning("a claim on %s is no good: %s", artifact, error)
            return
        if claim.artifact != artifact:
            return
        known = self._known.setdefault(artifact, _Known())
        known.claims.append(claim)
        latest = max(known.claims, key=lambda each: each.unix_s)
        known.reference, known.private = latest.reference, latest.private
        self._meant[claim.reference] = artifact
