"""What a pull would fetch from where, if it began now (`pull --plan`). Nothing is fetched for it.

Where nobody has the artifact, its chunks are not known: only whole files that are here count.
"""

from collections.abc import Mapping

from littoral.adapters.artifacts import ArtifactStore
from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.foresee import Foreseen, Offer, foresee
from littoral.delivery.resemblance import Tensors, least_bytes
from littoral.delivery.sizes import Sizes
from littoral.delivery.tables import Table
from littoral.delivery.words import ORIGIN
from littoral.node.delivery.finding import FoundManifest
from littoral.node.delivery.others import Others
from littoral.node.delivery.sealing import sizes_of
from littoral.node.delivery.whole import Whole
from littoral.terms.artifacts import OriginFile, OriginListing
from littoral.terms.delivery import PlanShown
from littoral.terms.ids import ArtifactId, PopId

__all__ = ["plan_of_listing", "plan_of_manifest", "plan_of_whole"]


def plan_of_whole(store: ArtifactStore, artifact: ArtifactId, reference: str) -> PlanShown:
    """Of what is here already."""
    manifest = store.shelf.manifest(artifact)
    return PlanShown(
        reference=reference,
        artifact=artifact,
        size_bytes=manifest.size_bytes,
        here_bytes=manifest.size_bytes,
        origin_bytes=0,
        sources=(),
        files=tuple((file.path, file.size_bytes) for file in manifest.files),
        estimated_s=0.0,
    )


def plan_of_listing(
    store: ArtifactStore, listing: OriginListing, rates: Mapping[PopId, int]
) -> PlanShown:
    """Of what nobody has, and of which some files may be here; see plan_of_manifest. Blocks."""
    size = sum(file.size_bytes for file in listing.files)
    known = (file for file in listing.files if _is_here(store, file))
    here = sum(file.size_bytes for file in known)
    return PlanShown(
        reference=listing.reference,
        artifact=None,
        size_bytes=size,
        here_bytes=here,
        origin_bytes=size - here,
        sources=(),
        files=tuple((file.path, file.size_bytes) for file in listing.files),
        estimated_s=round((size - here) / rates[ORIGIN], 1) if ORIGIN in rates else None,
    )


def plan_of_manifest(
    store: ArtifactStore,
    found: FoundManifest,
    others: Others,
    reference: str,
    base: Whole | None,
    rates: Mapping[PopId, int],
) -> PlanShown:
    """Of what somebody has, and of which some chunks may be here. Blocks.

    Args:
        store: has what is here.
        found: what is wanted.
        others: may have it.
        reference: what it is called.
        base: what it is derived from, if that is here.
        rates: bytes in a second that sources have given.
    """
    table = Table(found.tables)
    sizes = Sizes(sizes_of(table))
    everything = ChunkSet.of_runs([(0, table.chunks)])
    mates = others.with_group(found.artifact)
    having = (pop for pop, mate in mates.items() if mate.whole)
    offers = [Offer(pop, everything, rates.get(pop, 0.0)) for pop in having]
    here, own = _here(store, table), Tensors(found.lists)
    foreseen = foresee(sizes, here, offers, rates.get(ORIGIN, 0.0))
    parts = {part.source: part.bytes for part in foreseen.parts}
    lacking = everything - here if offers else ChunkSet()  # all of it comes from those that have it
    before = None if base is None else base.tensors
    least = sum(least_bytes(table[number], own, before) for number in lacking)
    return PlanShown(
        reference=reference,
        artifact=found.artifact,
        size_bytes=table.size_bytes,
        here_bytes=foreseen.held_bytes,
        origin_bytes=parts.pop(ORIGIN, 0),
        sources=tuple(parts.items()),
        files=tuple((file.path, file.size_bytes) for file in found.manifest.files),
        estimated_s=_seconds(foreseen),
        neighbours_least_bytes=least,
    )


def _seconds(foreseen: Foreseen) -> float | None:
    return None if foreseen.seconds is None else round(foreseen.seconds, 1)


def _is_here(store: ArtifactStore, file: OriginFile) -> bool:
    return store.shelf.like(file.size_bytes, file.digest, file.git_oid) is not None


def _here(store: ArtifactStore, wanted: Table) -> ChunkSet:
    """Which of its chunks are in the store, in whatever artifact."""
    known: set[bytes] = set()
    for artifact in store.shelf.artifacts():
        held, hashes = store.shelf.held(artifact), store.shelf.table(artifact).hashes()
        known.update(hashed for number, hashed in enumerate(hashes) if number in held)
    return ChunkSet.of(number for number, hashed in enumerate(wanted.hashes()) if hashed in known)
