"""Ways to choose where a request goes. All know the same: what a gateway has heard and has sent.

- `predicted`: the product's own (routing/predict.py): who will answer soonest.
- `least-loaded`: fewest requests for each slot; of equals, one by chance.
- `prefix-only`: who has most of the prompt's beginning; of equals, the least loaded.
- `round-robin`: one after the other, each gateway by itself, from a place of its own.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar, Final, Protocol

from littoral.routing import predict, table
from littoral.routing.candidates import Needs, Priors, candidate_of, priors_of
from littoral.routing.fleet import Known
from littoral.routing.holders import Holders
from littoral.sim.chance import Random
from littoral.sim.gateway import Record, View, instant
from littoral.sim.workload import Request
from littoral.terms.ids import ModelName, OwnerId, PopId, SiteName, ZoneName
from littoral.terms.values import Instant, Kind
from littoral.trust.members import Member

__all__ = ["POLICIES", "Policy"]

_NEEDS: Final = Needs(Kind.CHAT, "chat.completions", stream=True)
_USUAL_S: Final = 60.0
"""How often it is worked out what is usual for a model: it moves slowly."""
_ANYBODY: Final = Member(
    OwnerId("own-0000000000000000"), ZoneName("z"), SiteName("s"), PopId("pop-0000000000000000")
)
"""Whoever made a record: its own name is in the record."""


class Policy(Protocol):
    """Chooses a machine."""

    wants_prefixes: ClassVar[bool]
    """It looks at what PoPs keep; to tell of that is left out otherwise."""

    def choose(
        self,
        view: View,
        asked: Request,
        prefixes: Sequence[int],
        tried: Collection[int],
        now: float,
    ) -> int | None:
        """The place in `view.pops` of who gets a request; None if nobody is left.

        Args:
            view: what is known here now.
            asked: the request. Its `answer_tokens` are not known yet: they must not be looked at.
            prefixes: the hashes of its prompt's beginnings.
            tried: places of those that were full.
            now: the moment, in seconds.
        """


class RoundRobin:
    """See the module docstring."""

    wants_prefixes: ClassVar[bool] = False

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self._next: dict[int, int] = {}

    def choose(
        self,
        view: View,
        asked: Request,
        prefixes: Sequence[int],
        tried: Collection[int],
        now: float,
    ) -> int | None:
        """One after the other."""
        del asked, prefixes, now
        count = len(view.pops)
        if len(tried) >= count:
            return None
        place = self._next.get(view.number)
        if place is None:
            place = self._draw.randrange(count)
        while place in tried:
            place = (place + 1) % count
        self._next[view.number] = (place + 1) % count
        return place


class LeastLoaded:
    """See the module docstring."""

    wants_prefixes: ClassVar[bool] = False

    def __init__(self, draw: Random) -> None:
        self._draw = draw

    def choose(
        self,
        view: View,
        asked: Request,
        prefixes: Sequence[int],
        tried: Collection[int],
        now: float,
    ) -> int | None:
        """Who has least to do for its slots."""
        del asked, prefixes, now
        places = [place for place in range(len(view.pops)) if place not in tried]
        return _least_loaded(view, places, self._draw)


class PrefixOnly:
    """See the module docstring."""

    wants_prefixes: ClassVar[bool] = True

    def __init__(self, draw: Random) -> None:
        self._draw = draw

    def choose(
        self,
        view: View,
        asked: Request,
        prefixes: Sequence[int],
        tried: Collection[int],
        now: float,
    ) -> int | None:
        """Who keeps most of the prompt."""
        del asked, now
        places = [place for place in range(len(view.pops)) if place not in tried]
        kept = [view.known[place].kept for place in places]
        for prefix in reversed(prefixes):
            found = [place for place, has in zip(places, kept, strict=True) if prefix in has]
            if found:
                return _least_loaded(view, found, self._draw)
        return _least_loaded(view, places, self._draw)


def _least_loaded(view: View, places: Sequence[int], draw: Random) -> int | None:
    if not places:
        return None
    own, known, pops = view.sends.own, view.known, view.pops
    loads = []
    for place in places:
        pop = pops[place][1]
        busy = known[place].busy
        sent = own.get(pop.member.pop)
        if sent is not None:
            busy += sent.requests
        loads.append(busy / pop.engine.spec.slots)
    least = min(loads)
    equals = [place for place, load in zip(places, loads, strict=True) if load == least]
    return equals[0] if len(equals) == 1 else equals[int(draw.random() * len(equals))]


class _Holders(Holders):
    """Looks a prompt up in all sketches at once: each view is asked too rarely to keep an index."""

    def hear(self, kept: dict[PopId, frozenset[int]]) -> None:
        """What all PoPs keep now."""
        self._kept = kept

    def of(self, prefixes: Sequence[int], most: int | None = None) -> tuple[dict[PopId, int], int]:
        """As the product's, of an index of this prompt's beginnings alone."""
        asked = frozenset(prefixes)
        few = Holders()
        few.update({pop: both for pop, kept in self._kept.items() if (both := kept & asked)})
        return few.of(prefixes, most)


class _Heard(table.Table):
    """The product's table of candidates, kept for many gateways at once.

    A record makes the same numbers on every gateway but for its link, so they are made once.
    """

    def __init__(self, view: View) -> None:
        super().__init__(view.known[0].state.models[0].name, view.here)
        self.places = {pop.member.pop: place for place, (_, pop) in enumerate(view.pops)}
        self._view = table.View([])
        self._holders = self.holders = _Holders()

    def hear(self, view: View, now: float) -> None:
        """Take over what a gateway knows now."""
        again_s = view.again_s
        kept: dict[PopId, frozenset[int]] = {}
        rows: list[table.Row] = []
        for record, one_way_s in zip(view.known, view.one_way_s, strict=True):
            base, read, written, _, pop, candidate, queued = record.row or _row(record)
            told_again = int((now - one_way_s - record.at) / again_s) * again_s
            read_by_then = min(queued, told_again)
            fresh = instant(record.at + told_again + one_way_s) + table.FRESH
            base += 2 * one_way_s - read_by_then
            left = queued - read_by_then
            rows.append((base, read, written, Instant(fresh), pop, candidate, left))
            kept[pop] = record.kept
        self._holders.hear(kept)
        self._view = table.View(rows)

    def view(self, needs: Needs) -> table.View:
        """All of them: in a simulated network everybody satisfies every need."""
        del needs
        return self._view


def _row(record: Record) -> table.Row:
    known = Known(_ANYBODY, record.state, instant(record.at))
    model = record.state.models[0]
    candidate = candidate_of(known, model, 0.0, Priors(), here=False, kept=record.kept)
    record.row = table.row_of(candidate, _NEEDS)
    return record.row


class Predicted:
    """See the module docstring."""

    wants_prefixes: ClassVar[bool] = True

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self._tables: dict[int, _Heard] = {}
        self._priors: dict[ModelName, tuple[float, Priors]] = {}

    def choose(
        self,
        view: View,
        asked: Request,
        prefixes: Sequence[int],
        tried: Collection[int],
        now: float,
    ) -> int | None:
        """Who answers soonest, as far as can be known."""
        heard = self._tables.get(view.number)
        if heard is None:
            heard = self._tables[view.number] = _Heard(view)
        heard.hear(view, now)
        heard.priors = self._usual(view, heard.model, now)
        wanted = predict.Wanted(_NEEDS, asked.prompt_tokens, tuple(prefixes))
        spin = self._draw.getrandbits(64)
        ordered = predict.choose(heard, wanted, view.sends, instant(now), spin)
        places = map(heard.places.__getitem__, ordered)
        return next((place for place in places if place not in tried), None)

    def _usual(self, view: View, model: ModelName, now: float) -> Priors:
        """How long answers of a model are lately, and what else is usual."""
        made_at, priors = self._priors.get(model, (-_USUAL_S, Priors()))
        if now >= made_at + _USUAL_S:
            priors = priors_of(record.state.models[0] for record in view.known)
            self._priors[model] = now, priors
        return priors


POLICIES: Final[Mapping[str, Callable[[Random], Policy]]] = {
    "predicted": Predicted,
    "least-loaded": LeastLoaded,
    "prefix-only": PrefixOnly,
    "round-robin": RoundRobin,
}
