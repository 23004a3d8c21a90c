"""Wishes: where an artifact is to be, as an operator says it once and the network keeps true.

A wish names sites, PoPs, a number of copies, or some of these. Each PoP works out for itself, from
what all say, whether it is one of those who fulfil it (`chosen`), and pulls if it is and has it
not.

Rules
- Who has it already counts first, so that a wish that is fulfilled moves nothing.
- Then the order is that of a hash over wish and PoP, among those with room: the same for everybody,
  another for every wish, and hardly changed by one PoP more or less.
- Copies are spread: no site has two while another has none.
- Views differ for a moment, and then there may be a copy too many; never one too few for long.
- A later wish of the same name replaces the earlier; a withdrawn one is kept, so that it stays so.

It does not know how wishes travel, and takes nothing away: a copy that no wish names any more goes
when room is needed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from blake3 import blake3

from littoral.terms.errors import BadRequestError, RecordRejectedError
from littoral.terms.ids import PopId, SiteName
from littoral.terms.limits import WISH_REPLICAS_MAX, WISH_SITES_MAX
from littoral.trust.decoding import UNREADABLE, PopName

__all__ = ["Candidate", "Wish", "chosen", "decoded", "encoded", "later", "made"]

_REFERENCE: Final = msgspec.Meta(min_length=1, max_length=1_024, pattern=r"\A[\x21-\x7e]*\Z")
_SITE: Final = msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,31}\Z")


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That copies of something are somewhere."""

    reference: Annotated[str, _REFERENCE]
    """What, as for a pull. It is the wish's name: there is one for each."""
    sites: Annotated[
        tuple[Annotated[SiteName, _SITE], ...], msgspec.Meta(max_length=WISH_SITES_MAX)
    ]
    """A copy in each of these, at least; empty: in any."""
    pops: Annotated[tuple[PopName, ...], msgspec.Meta(max_length=WISH_SITES_MAX)]
    """A copy at each of these."""
    replicas: Annotated[int, msgspec.Meta(ge=0, le=WISH_REPLICAS_MAX)]
    """Copies in all, at least."""
    size_bytes: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    """Of all of it, so that whoever is to have it knows whether there is room."""
    made_unix_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    """By the clock of the PoP that it was said to."""
    withdrawn: bool = False

    @property
    def name(self) -> str:
        """32 hexadecimal digits."""
        return blake3(self.reference.encode()).hexdigest(16)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A PoP that may fulfil wishes."""

    pop: PopId
    site: SiteName
    has_it: bool
    """All of it, or it is pulling it."""
    has_room: bool


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Wish)


def made(
    reference: str,
    sites: Iterable[str] = (),
    pops: Iterable[str] = (),
    replicas: int = 0,
    *,
    size_bytes: int,
    unix_ms: int,
) -> Wish:
    """A wish that makes sense.

    Raises:
        BadRequestError: it says nothing, or is out of bounds.
    """
    named = tuple(sorted({SiteName(site) for site in sites}))
    wanted = tuple(sorted({PopId(pop) for pop in pops}))
    if not named and not wanted and not replicas:
        raise BadRequestError(
            "the wish says neither where nor how many",
            advice="give sites, PoPs, or a number of copies",
        )
    wish = Wish(reference, named, wanted, replicas, size_bytes, unix_ms)
    try:
        return decoded(encoded(wish))
    except RecordRejectedError as error:
        raise BadRequestError(str(error), advice="mend what it names") from None


def encoded(wish: Wish) -> bytes:
    """As it travels and is kept."""
    return _ENCODER.encode(wish)


def decoded(data: bytes) -> Wish:
    """The wish in these bytes.

    Raises:
        RecordRejectedError: they are none, or it is out of bounds.
    """
    try:
        return _DECODER.decode(data)
    except UNREADABLE as error:
        raise RecordRejectedError(f"a wish can't be used ({str(error)[:200]})") from None


def later(one: Wish, other: Wish) -> Wish:
    """Of two wishes of one name, the one that everybody keeps."""
    return max(one, other, key=lambda wish: (wish.made_unix_ms, wish.withdrawn, encoded(wish)))


def chosen(wish: Wish, candidates: Sequence[Candidate]) -> frozenset[PopId]:
    """Who is to have a copy, as far as there are PoPs that can.

    Args:
        wish: what is wished.
        candidates: all PoPs that are there, this one among them.
    """
    if wish.withdrawn:
        return frozenset()
    order = sorted(
        (each for each in candidates if each.has_it or each.has_room),
        key=lambda each: (not each.has_it, _weight(wish.name, each.pop)),
    )
    firsts: dict[SiteName, PopId] = {}
    for each in order:
        firsts.setdefault(each.site, each.pop)
    found = {each.pop: each.site for each in order if each.pop in wish.pops}
    there = set(found.values())
    for site in wish.sites:
        if site in firsts and site not in there:
            found[firsts[site]] = site
    rest = [each for each in order if not wish.sites or each.site in wish.sites]
    while len(found) < wish.replicas:
        free = [each for each in rest if each.pop not in found]
        if not free:
            break
        copies: Mapping[SiteName, int] = Counter(found.values())
        nearest = min(free, key=lambda each: (not each.has_it, copies.get(each.site, 0)))
        found[nearest.pop] = nearest.site
    return frozenset(found)


def _weight(name: str, pop: PopId) -> bytes:
    return blake3(f"{name} {pop}".encode()).digest(8)
