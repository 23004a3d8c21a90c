"""What a pull would do, before it is begun: how much from where, and how long it may take.

It follows the rules of a pull: what somebody has comes from there, of what nobody has each of those
that pull brings in its part, and nothing that is held is asked for. It is a forecast: links are as
quick as they were, and nobody comes or goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from littoral.delivery.chunk_set import ChunkSet, Run
from littoral.delivery.sizes import Sizes
from littoral.delivery.state import union
from littoral.delivery.words import ORIGIN
from littoral.terms.ids import PopId

__all__ = ["Foreseen", "Offer", "Part", "foresee"]


@dataclass(frozen=True, slots=True)
class Offer:
    """A PoP that can be reached and has some of it, or pulls it too."""

    pop: PopId
    has: ChunkSet
    rate: float = 0.0
    """Bytes in a second that come from it; 0 is not known."""
    pulls: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What would come from one source."""

    source: PopId
    """`ORIGIN`, or a PoP."""
    chunks: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What would be fetched from where."""

    held_bytes: int
    """Here already."""
    parts: tuple[Part, ...]
    """The origin's first, then by size; sources of nothing are left out."""
    seconds: float | None
    """How long at least; None where no rate of a source that matters is known."""


def foresee(
    sizes: Sizes,
    has: ChunkSet,
    offers: Sequence[Offer],
    origin_rate: float = 0.0,
    downlink: float = 0.0,
) -> Foreseen:
    """See the module docstring.

    Args:
        sizes: of all chunks of the artifact.
        has: those that are here, or in other artifacts that are.
        offers: PoPs that can be reached, each once.
        origin_rate: bytes in a second that come from the origin, to all together; 0 is not known.
        downlink: bytes in a second that come in here at most; 0 is not known.
    """
    lacking = ChunkSet.of_runs([(0, sizes.count)]) - has
    shares = _shared(lacking, offers, sizes)
    nowhere = lacking - union(offer.has for offer in offers)
    pullers = [offer.pop for offer in offers if offer.pulls]
    for place, chunks in enumerate(_parted(nowhere, 1 + len(pullers), sizes)):
        source = ([ORIGIN, *pullers])[place]
        shares[source] = shares.get(source, ChunkSet()) | chunks
    parts = [
        Part(source, len(chunks), sizes.of_set(chunks))
        for source, chunks in shares.items()
        if chunks
    ]
    rates = {offer.pop: offer.rate for offer in offers}
    times = [part.bytes / rates[part.source] for part in parts if rates.get(part.source)]
    if nowhere and origin_rate:
        times.append(sizes.of_set(nowhere) / origin_rate)
    if downlink:
        times.append(sizes.of_set(lacking) / downlink)
    return Foreseen(
        held_bytes=sizes.total - sizes.of_set(lacking),
        parts=tuple(sorted(parts, key=lambda part: (part.source != ORIGIN, -part.bytes))),
        seconds=max(times) if times else (None if lacking else 0.0),
    )


def _shared(lacking: ChunkSet, offers: Sequence[Offer], sizes: Sizes) -> dict[PopId, ChunkSet]:
    """What comes from whoever has it: each as much of it as it is quick, as far as it can."""
    known = [offer.rate for offer in offers if offer.rate]
    usual = sum(known) / len(known) if known else 1.0
    shares: dict[PopId, ChunkSet] = {}
    left = lacking
    rest = sorted(offers, key=lambda offer: (len(offer.has & lacking), offer.pop))
    while rest:
        offer, *rest = rest
        alone = (left & offer.has) - union(other.has for other in rest)
        common = (left & offer.has) - alone
        quick = offer.rate or usual
        together = quick + sum(other.rate or usual for other in rest)
        wanted = sizes.of_set(left & union(each.has for each in (offer, *rest)))
        most = int(wanted * quick / together) - sizes.of_set(alone)
        shares[offer.pop] = alone | _first(common, most, sizes)
        left -= shares[offer.pop]
    return shares


def _parted(chunks: ChunkSet, count: int, sizes: Sizes) -> list[ChunkSet]:
    """A set in so many parts of about the same size."""
    parts: list[ChunkSet] = []
    for place in range(count, 0, -1):
        parts.append(_first(chunks, -(-sizes.of_set(chunks) // place), sizes))
        chunks -= parts[-1]
    return parts


def _first(chunks: ChunkSet, most: int, sizes: Sizes) -> ChunkSet:
    """The beginning of a set, of about so many bytes."""
    runs: list[Run] = []
    for run in chunks.runs():
        if most <= 0:
            break
        runs.append((run[0], sizes.reach(run, most)))
        most -= sizes.of_run(runs[-1])
    return ChunkSet.of_runs(runs)
