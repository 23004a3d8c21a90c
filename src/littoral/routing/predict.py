"""Which PoP answers a request soonest, as far as can be known. Pure arithmetic, some 10 µs.

A candidate is weighed in seconds, and the least wins:

    first token = link + load + queue + prompt tokens that it does not keep / rate of reading
    weight      = first token + answer tokens / rate of writing (x STREAM if they are streamed)
                  + price x seconds that a unit is worth + TIER_S for each tier below the highest
                  + discount of an old view

The queue is what its record says and what this PoP has sent since (sends.py). Conversations return
to where their past is because of the term of the prompt, for as long as the queue allows.

Rules
- What a request needs decides first, and fails closed: who does not satisfy it is never chosen.
- What a PoP said that it had to read, it has gone on reading since.
- Others choose by the same records and know no more: one of near-equals is drawn, by tide.py. So
  gateways with one view do not all go to one place.
- Of up to EXACT candidates each is weighed. Of more, those that keep a beginning of the prompt, and
  then others in the order of a lower bound of their weight, until no bound is below the best's: the
  result is the same. It stops after WEIGHED_MAX; then one that was not weighed is better than
  the best by no more than its bound is too low: a third of the prompt and the answer at most, and
  beginnings of the prompt that more than COVERED_MAX PoPs keep, where it keeps none.
- The hot path makes no words: explain.py does, from `predicted`.

It sends nothing and keeps no time: `now` and the random number are given.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from littoral.routing.candidates import Candidate, Needs, Out
from littoral.routing.prefix import tokens_at
from littoral.routing.sends import Own, Sends
from littoral.routing.table import EXACT, Row, Table, View, read_since_s, row_of
from littoral.routing.tide import Tide, Weighed, drawn, level_s
from littoral.terms import limits
from littoral.terms.ids import PopId
from littoral.terms.kinds import writes
from littoral.terms.values import SECOND, Instant

__all__ = [
    "Predicted",
    "Wanted",
    "choose",
    "chosen",
    "predicted",
    "predicted_as",
    "weighed_at",
    "weights",
    "why_out",
]

STALE_S_PER_S: Final = 0.05
STALE_S_MAX: Final = 5.0

BEST: Final = 4
"""Of many candidates, at least so many of the best are said, in order."""
WEIGHED_MAX: Final = 112
_CHUNK: Final = 16
COVERED_MAX: Final = 48


class Wanted(msgspec.Struct, frozen=True, gc=False):
    """One request."""

    needs: Needs
    prompt_tokens: int
    """About (`prefix.tokens_of`)."""
    prefixes: tuple[int, ...] = ()
    """`prefix.prefixes_of` the prompt."""
    answer_tokens: float = 0.0
    """Most that it asked for; 0 is not said. No more than answers have lately is expected."""
    context_tokens: int = 0
    """Room that it needs for certain; 0 is not known, and rules out nobody."""
    via: tuple[PopId, ...] = ()
    """PoPs that it came through, this one not among them."""


def choose(table: Table, wanted: Wanted, sends: Sends, now: Instant, spin: int) -> list[PopId]:
    """The PoPs to ask, best first: as `chosen`, without what they were chosen by."""
    return [row[4] for _, row, _ in chosen(table, wanted, sends, now, spin)]


def chosen(
    table: Table, wanted: Wanted, sends: Sends, now: Instant, spin: int
) -> Sequence[Weighed]:
    """The PoPs to ask and what they weigh, best first; none if nobody may have it.

    Args:
        table: the model's candidates.
        wanted: the request.
        sends: what was sent from here for this model.
        now: the moment.
        spin: a random number of 64 bits, another one each time.

    Returns:
        All that may have it; of more than EXACT, at least the BEST best.
    """
    answer = _answer_tokens(table, wanted)
    view = table.view(wanted.needs)
    found = _weighed(table, view, wanted, answer, sends, now)
    if len(found) > 1:
        tide = Tide(view.begins_per_s, wanted.prompt_tokens, answer, now)
        found.insert(0, found.pop(drawn(found, tide, spin)))
    return found


def weights(table: Table, wanted: Wanted, sends: Sends, now: Instant) -> list[tuple[float, PopId]]:
    """What `choose` weighs, before the draw: seconds and the PoP, the least first."""
    answer = _answer_tokens(table, wanted)
    found = _weighed(table, table.view(wanted.needs), wanted, answer, sends, now)
    return [(weight, row[4]) for weight, row, _ in found]


def _weighed(
    table: Table, view: View, wanted: Wanted, answer: float, sends: Sends, now: Instant
) -> list[Weighed]:
    """Those that may have it, sorted; of many, the best."""
    rows = view.rows
    if len(rows) > EXACT:
        return _search(table, view, wanted, answer, sends, now)
    if wanted.via or wanted.context_tokens > view.context_least:
        rows = [row for row in rows if not _barred(row[5], wanted)]
    covered, _ = table.holders.of(wanted.prefixes)
    found = _weigh(rows, wanted.prompt_tokens, answer, covered, sends.own, now)
    found.sort()
    return found


def _weigh(
    rows: Iterable[Row],
    prompt: int,
    answer: float,
    covered: Mapping[PopId, int],
    own: Mapping[PopId, Own],
    now: Instant,
) -> list[Weighed]:
    """What each weighs."""
    weighed = []
    for row in rows:
        base, each_read, each_written, fresh, pop, candidate, queued_s = row
        weight = base + prompt * each_read + answer * each_written
        kept = 0
        if pop in covered:
            kept = min(covered[pop], prompt)
            weight -= kept * each_read
        if queued_s:
            weight -= read_since_s(row, now)
        if now > fresh:
            weight += _stale_s(now - fresh)
        if pop in own:
            sent = own[pop]
            weight += candidate.delay_s(sent.requests, sent.tokens)
        weighed.append((weight, row, kept))
    return weighed


def _search(
    table: Table, view: View, wanted: Wanted, answer: float, sends: Sends, now: Instant
) -> list[Weighed]:
    """The best of many, sorted: those that keep something, then by their bounds."""
    prompt, prefixes, own = wanted.prompt_tokens, wanted.prefixes, sends.own
    covered, rest = table.holders.of(prefixes, COVERED_MAX)
    odd = bool(wanted.via) or wanted.context_tokens > view.context_least
    keeping = [view.by_pop[pop] for pop in covered if pop in view.by_pop]
    if odd:
        keeping = [row for row in keeping if not _barred(row[5], wanted)]
    weighed = _weigh(keeping, prompt, answer, covered, own, now)
    common = tokens_at(rest - 1) if rest else 0
    bounds, rows = view.order(max(0, prompt - common), int(answer), now)
    tide = Tide(view.begins_per_s, prompt, answer, now)
    beginnings = prefixes[:rest]
    place = 0
    while place < len(rows) and len(weighed) < WEIGHED_MAX:
        if len(weighed) >= BEST:
            weighed.sort()
            cut = max(weighed[BEST - 1][0], level_s(weighed, tide))
            if bounds[place] > cut:
                break
            end = min(place + max(_CHUNK, len(weighed)), bisect_left(bounds, cut, place) + 1)
        else:
            end = place + _CHUNK
        chunk = rows[place:end]
        if covered:
            chunk = [row for row in chunk if row[4] not in covered]
        if odd:
            chunk = [row for row in chunk if not _barred(row[5], wanted)]
        shared = table.holders.each(beginnings, [row[4] for row in chunk]) if rest else {}
        weighed += _weigh(chunk, prompt, answer, shared, own, now)
        place = end
    weighed.sort()
    return weighed


def _answer_tokens(table: Table, wanted: Wanted) -> float:
    """How many tokens its answer probably has."""
    if not writes(wanted.needs.kind):
        return 0.0
    usual = table.priors.answer_tokens
    return min(wanted.answer_tokens, usual) if wanted.answer_tokens else usual


def _barred(candidate: Candidate, wanted: Wanted) -> Out | None:
    """Why it may not have this request, though it has what it needs."""
    if candidate.pop in wanted.via:
        return Out.LOOP
    if len(wanted.via) >= limits.FABRIC_HOPS_MAX and not candidate.here:
        return Out.HOPS
    return Out.CONTEXT if wanted.context_tokens > candidate.model.context_tokens > 0 else None


def _stale_s(over: int) -> float:
    """The discount of a record that is so much older than is usual, in nanoseconds."""
    return min(STALE_S_MAX, STALE_S_PER_S * over / SECOND)


# --- for whoever asks ---------------------------------------------------------------------------


class Predicted(msgspec.Struct, frozen=True):
    """The parts of what a candidate weighs. Times are seconds."""

    candidate: Candidate
    weight: float
    link_s: float
    load_s: float
    queue_s: float
    prompt_s: float
    answer_s: float
    price: float
    stale_s: float
    age_s: float
    kept_tokens: int
    own_requests: int

    @property
    def first_token_s(self) -> float:
        """To the first token."""
        return self.link_s + self.load_s + self.queue_s + self.prompt_s

    @property
    def whole_s(self) -> float:
        """To the end of the answer."""
        return self.first_token_s + self.answer_s


def why_out(candidate: Candidate, wanted: Wanted) -> Out | None:
    """Why it may not have the request; None if it may."""
    return candidate.out(wanted.needs) or _barred(candidate, wanted)


def predicted(table: Table, wanted: Wanted, sends: Sends, now: Instant) -> list[Predicted]:
    """What `choose` weighs, in parts, for all that may have the request; the least weight first."""
    candidates = [each for each in table.candidates.values() if not why_out(each, wanted)]
    weighed = sorted(_weigh_each(table, candidates, wanted, sends, now))
    return [predicted_as(each, table, wanted, sends, now) for each in weighed]


def weighed_at(
    table: Table, wanted: Wanted, sends: Sends, now: Instant, pop: PopId
) -> Weighed | None:
    """What one PoP weighs, whether or not it may have the request; None if it has not the model."""
    candidate = table.candidates.get(pop)
    return None if candidate is None else _weigh_each(table, [candidate], wanted, sends, now)[0]


def _weigh_each(
    table: Table, candidates: Sequence[Candidate], wanted: Wanted, sends: Sends, now: Instant
) -> list[Weighed]:
    kept = table.holders.each(wanted.prefixes, [each.pop for each in candidates])
    rows = [row_of(each, wanted.needs, table.unit_worth_s) for each in candidates]
    answer = _answer_tokens(table, wanted)
    return _weigh(rows, wanted.prompt_tokens, answer, kept, sends.own, now)


def predicted_as(
    weighed: Weighed, table: Table, wanted: Wanted, sends: Sends, now: Instant
) -> Predicted:
    """The parts of what one weighs."""
    weight, row, kept_tokens = weighed
    candidate, answer = row[5], _answer_tokens(table, wanted)
    own = sends.own.get(candidate.pop, Own())
    to_read = wanted.prompt_tokens - kept_tokens
    return Predicted(
        candidate=candidate,
        weight=weight,
        link_s=candidate.link_s or 0.0,
        load_s=candidate.load_s,
        queue_s=candidate.queue_s(own.requests, own.tokens) - read_since_s(row, now),
        prompt_s=to_read * candidate.prefill_s,
        answer_s=answer * candidate.decode_s,
        price=to_read * candidate.price_in + answer * candidate.price_out,
        stale_s=_stale_s(now - row[3]) if now > row[3] else 0.0,
        age_s=0.0 if candidate.here else (now - candidate.known.heard_at) / SECOND,
        kept_tokens=kept_tokens,
        own_requests=own.requests,
    )
