"""What an operator asks and tells of delivery: the JSON of `/v1/delivery`, on all of its ends.

It is asked of the PoP, which passes it on to its mover (`node/delivery/`).
"""

import enum

import msgspec

from littoral.terms.ids import ArtifactId, Digest, ModelName, PopId

__all__ = [
    "ArtifactRow",
    "Freed",
    "ListedFile",
    "ListingShown",
    "ListingWanted",
    "Nothing",
    "PinWanted",
    "PlanShown",
    "PullShown",
    "PullStage",
    "PullWanted",
    "PullsShown",
    "SourceRow",
    "StoreShown",
    "Verified",
    "WishRow",
    "WishWanted",
    "WishesShown",
]


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """There is nothing to say."""


class PullWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something is to be here."""

    reference: str
    """What, as an origin knows it (`hf:owner/name`, …), or an artifact's name (`blake3:…`)."""
    name: str | None = None
    """What the model is to be called; its own name when None."""
    base: str | None = None
    """What it is derived from, as a reference or an artifact's name: if that is here, neighbours
    send what differs. None: what is said of it where it comes from."""


class PullStage(enum.Enum):
    """Where a pull is."""

    ASKING = "asking"
    """What the reference means, and who has it."""
    READING = "reading headers"
    """Nobody has it: how it is to be cut stands in the headers of its files."""
    FETCHING = "fetching"
    CHECKING = "checking"
    """All is here: whole files are compared with what the origin promises."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Nothing more comes of it."""
        return self in {PullStage.DONE, PullStage.FAILED, PullStage.CANCELLED}


class SourceRow(msgspec.Struct, frozen=True):
    """Where bytes come from."""

    source: str
    """`origin`, or the name of a PoP."""
    fetched_bytes: int
    bytes_per_s: float
    """Over the last seconds."""


class PullShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """A pull, as it is now."""

    id: str
    reference: str
    stage: PullStage
    artifact: ArtifactId | None = None
    size_bytes: int = 0
    here_bytes: int = 0
    """Of these, what is here and checked."""
    reused_bytes: int = 0
    """What was here before, in this or another artifact, and so was not fetched."""
    origin_bytes: int = 0
    """Fetched from the origin; so `neighbour_bytes`."""
    neighbour_bytes: int = 0
    spared_bytes: int = 0
    """Of what was fetched from neighbours: it came in so many bytes less."""
    bytes_per_s: float = 0.0
    left_s: float | None = None
    """Until its end, at the present rate; None when that can't be told."""
    sources: tuple[SourceRow, ...] = ()
    error: str = ""
    advice: str = ""
    model: ModelName | None = None
    """What it can be asked for as, if it can be served here: from when that is known."""


class WishWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Copies of something are to be somewhere, from now on."""

    reference: str
    """What, as for a pull."""
    sites: tuple[str, ...] = ()
    """A copy in each of these, at least."""
    pops: tuple[str, ...] = ()
    """A copy at each of these."""
    replicas: int = 0
    """Copies in all, at least."""
    withdrawn: bool = False
    """No longer. Copies that are there stay until room is needed."""


class WishRow(msgspec.Struct, frozen=True):
    """A wish, and what has come of it."""

    reference: str
    sites: tuple[str, ...]
    pops: tuple[PopId, ...]
    replicas: int
    size_bytes: int
    chosen: tuple[PopId, ...]
    """Who is to have it."""
    having: tuple[PopId, ...]
    """Who has all of it."""


class WishesShown(msgspec.Struct, frozen=True):
    """All wishes that this PoP knows."""

    wishes: tuple[WishRow, ...]


class PullsShown(msgspec.Struct, frozen=True):
    """All pulls under way, and the last that ended."""

    pulls: tuple[PullShown, ...]


class ListingWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a reference means at its origin."""

    reference: str


class ListedFile(msgspec.Struct, frozen=True):
    """A file at an origin; see OriginFile."""

    path: str
    size_bytes: int
    digest: Digest | None
    git_oid: str | None


class ListingShown(msgspec.Struct, frozen=True):
    """What an origin says that a reference means now; see OriginListing."""

    reference: str
    files: tuple[ListedFile, ...]
    private: bool


class PlanShown(msgspec.Struct, frozen=True):
    """What a pull would fetch from where, if it began now."""

    reference: str
    artifact: ArtifactId | None
    """None: no PoP that can be reached has it, so its name is not known yet."""
    size_bytes: int
    here_bytes: int
    """Here already: nothing is fetched for these."""
    origin_bytes: int
    sources: tuple[tuple[PopId, int], ...]
    """Bytes that would come from each neighbour."""
    files: tuple[tuple[str, int], ...]
    estimated_s: float | None
    """At rates seen before; None when none were."""
    neighbours_least_bytes: int = 0
    """In how few bytes what comes from neighbours may travel, over uplinks that are slower than
    packing it: as numbers of its kinds usually do. What a base has that is here counts nothing, as
    it may differ that little; the neighbours must have that base too."""


class ArtifactRow(msgspec.Struct, frozen=True):
    """An artifact in the store."""

    artifact: ArtifactId
    reference: str
    size_bytes: int
    here_bytes: int
    files: int
    pinned: bool
    in_use: bool
    """An engine has one of its files open."""
    asked: int
    """How often it was asked for, as far as that counts for what makes room."""


class StoreShown(msgspec.Struct, frozen=True):
    """What the store has."""

    path: str
    artifacts: tuple[ArtifactRow, ...]
    disk_bytes: int
    """What it takes on the disk: chunks that artifacts share count once."""
    shared_bytes: int
    """What it would take more if they did not share."""
    bytes_max: int


class PinWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An artifact is to stay, or need not any more."""

    artifact: ArtifactId
    pinned: bool = True


class Verified(msgspec.Struct, frozen=True):
    """Every byte of the store was hashed again."""

    checked_bytes: int
    rotten: tuple[str, ...]
    """A line for each damaged chunk; it is dropped, and fetched again when it is needed."""


class Freed(msgspec.Struct, frozen=True):
    """What was removed."""

    files: int
    freed_bytes: int
