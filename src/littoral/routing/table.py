"""All candidates for one model, prepared for a choice: done once for many requests.

What a request weighs at a PoP is linear in the tokens of its prompt and of its answer, so a
candidate becomes three numbers, and many can be ordered by a lower bound of their weight.
"""

from collections.abc import Mapping
from typing import Final

from littoral.routing.candidates import (
    Candidate,
    Needs,
    Priors,
    candidate_of,
    fresh_until,
    model_of,
    priors_of,
    rtt_of,
)
from littoral.routing.fleet import Fleet, Tier
from littoral.routing.holders import Holders
from littoral.routing.prefix import decoded
from littoral.routing.prices import UNIT_WORTH_S
from littoral.terms import limits
from littoral.terms.ids import ModelName, PopId
from littoral.terms.values import SECOND, Instant
from littoral.trust.members import Member

__all__ = ["EXACT", "FRESH", "Row", "Table", "View", "read_since_s", "row_of"]

STREAM: Final = 0.1
"""What a second of a streamed answer weighs: it is read while it comes."""
TIER_S: Final = 0.01
"""What a tier more of proof than is needed is worth."""
FRESH: Final = 10 * SECOND
"""A PoP says something every few seconds. What it said longer ago is discounted."""
AHEAD: Final = int(limits.TABLE_S * SECOND)
"""How long an order of candidates serves; mostly their table is a new one before."""
EXACT: Final = 48
"""Candidates that are all weighed, for each request."""

_TIER_MAX: Final = max(Tier)

Row = tuple[float, float, float, Instant, PopId, Candidate, float]
"""Weight of a request without tokens; of a prompt's token; of an answer's; end of freshness; the
PoP; all of it; and of the first, the seconds that prompts take which were waiting to be read."""


class View:
    """The candidates that satisfy certain needs, and orders of them for many."""

    __slots__ = ("begins_per_s", "by_pop", "context_least", "ordered_at", "orders", "rows")

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.by_pop = {row[4]: row for row in rows} if len(rows) > EXACT else {}
        contexts = (row[5].model.context_tokens for row in rows)
        self.context_least = min((each for each in contexts if each > 0), default=2**62)
        self.begins_per_s = sum([row[5].begins_per_s for row in rows])
        """Requests a second that come to all of them, from everywhere, by what they say."""
        self.orders: dict[tuple[int, int], tuple[list[float], list[Row]]] = {}
        self.ordered_at: Instant | None = None

    def order(self, prompt: int, answer: int, now: Instant) -> tuple[list[float], list[Row]]:
        """Lower bounds of all weights for at least so many tokens, ascending, and their rows.

        Queues become shorter as time passes: a bound holds for AHEAD, and is made anew then.
        """
        least = _floor(prompt), _floor(answer)
        if self.ordered_at is None or not 0 <= now - self.ordered_at <= AHEAD:
            self.orders.clear()
            self.ordered_at = now
        made = self.orders.get(least)
        if made is None:
            if len(self.orders) >= limits.ROUTE_ORDERS_MAX:
                self.orders.clear()
            read, written = least
            end = Instant((self.ordered_at or now) + AHEAD)
            bounds = [
                (row[0] - read_since_s(row, end) + read * row[1] + written * row[2], -row[3], row)
                for row in self.rows
            ]
            bounds.sort()  # of equal ones, those heard of last come first
            made = self.orders[least] = [each[0] for each in bounds], [each[2] for each in bounds]
        return made


class Table:
    """All candidates for one model, kept in step with the fleet.

    An update, with the first request after it, takes some 0.1 ms with 10 PoPs and 5 ms with 1,000:
    with hundreds, make it a few times a second and not with every record.
    """

    def __init__(self, model: ModelName, here: Member, unit_worth_s: float = UNIT_WORTH_S) -> None:
        """No candidates yet.

        Args:
            model: its name.
            here: this PoP.
            unit_worth_s: how much later an answer may come to cost one unit less.
        """
        self.model = model
        self.here = here
        self.unit_worth_s = unit_worth_s
        self.candidates: dict[PopId, Candidate] = {}
        self.priors = Priors()
        self.holders = Holders()
        self._views: dict[Needs, View] = {}

    def update(self, fleet: Fleet, links: Mapping[PopId, float]) -> None:
        """Take over what is known now.

        Args:
            fleet: all PoPs, this one among them if it has the model.
            links: seconds of a round trip to each, as measured here.
        """
        found = [(known, model_of(known, self.model)) for known in fleet.pops.values()]
        having = [(known, model) for known, model in found if model is not None]
        priors = priors_of(model for _, model in having)
        before, self.candidates = self.candidates, {}
        for known, model in having:
            pop = known.state.pop
            rtt_s = rtt_of(known, fleet, self.here, links)
            old = before.get(pop)
            if not (old and old.known is known and old.link_s == rtt_s and priors == self.priors):
                same = old is not None and old.model.prefixes == model.prefixes
                kept = old.kept if old and same else decoded(model.prefixes)
                here = pop == self.here.pop
                old = candidate_of(known, model, rtt_s, priors, here=here, kept=kept)
            self.candidates[pop] = old
        self.priors = priors
        self.holders.update({pop: each.kept for pop, each in self.candidates.items()})
        self._views.clear()

    def view(self, needs: Needs) -> View:
        """Those that satisfy what a request needs."""
        view = self._views.get(needs)
        if view is None:
            if len(self._views) >= limits.ROUTE_VIEWS_MAX:
                self._views.clear()
            fit = (each for each in self.candidates.values() if not each.out(needs))
            rows = [row_of(each, needs, self.unit_worth_s) for each in fit]
            view = self._views[needs] = View(rows)
        return view


def row_of(candidate: Candidate, needs: Needs, unit_worth_s: float = UNIT_WORTH_S) -> Row:
    """A candidate as numbers, for requests with these needs."""
    base = (candidate.link_s or 0.0) + candidate.load_s + candidate.queue_s()
    return (
        base + TIER_S * (_TIER_MAX - candidate.known.state.tier),
        candidate.prefill_s + unit_worth_s * candidate.price_in,
        (STREAM if needs.stream else 1.0) * candidate.decode_s + unit_worth_s * candidate.price_out,
        fresh_until(candidate, FRESH),
        candidate.pop,
        candidate,
        0.0 if candidate.here else candidate.queued_tokens * candidate.prefill_s,
    )


def read_since_s(row: Row, now: Instant) -> float:
    """How much shorter its queue is by now: it has gone on reading since it was heard of."""
    return min(row[6], (now - row[3] + FRESH) / SECOND) if row[6] else 0.0


def _floor(tokens: int) -> int:
    """The number with all but its two highest bits zero: more than two thirds of it."""
    shift = max(0, tokens.bit_length() - 2)
    return tokens >> shift << shift
