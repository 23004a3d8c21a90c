"""A choice among PoPs in words, for whoever asks: `littoral route explain`, or a response header.

pop-0123456789abcdef site paris: 0.31 s = link 0.02 + queue 0.1 + prompt 0.19 (1,200 of 1,600
tokens kept), then 3.2 s of answer
pop-89abcdef01234567 site oslo: not asked, its zone is not allowed
"""

from functools import lru_cache

from littoral.routing.candidates import Candidate, Out
from littoral.routing.predict import Predicted, Wanted, predicted, predicted_as, why_out
from littoral.routing.sends import Sends
from littoral.routing.table import Table
from littoral.routing.tide import Weighed
from littoral.terms import limits
from littoral.terms.values import Instant

__all__ = ["explain", "reason"]


def explain(table: Table, wanted: Wanted, sends: Sends, now: Instant) -> list[str]:
    """A line for each PoP that has the model: those that may be asked, best first, then the others.

    Args:
        table: the model's candidates.
        wanted: the request.
        sends: what was sent from here for this model.
        now: the moment.
    """
    standing = [_standing(each, wanted) for each in predicted(table, wanted, sends, now)]
    candidates = sorted(table.candidates.values(), key=lambda each: each.pop)
    reasons = [(each, why_out(each, wanted)) for each in candidates]
    return standing + [_excluded(each, out) for each, out in reasons if out is not None]


def reason(weighed: Weighed, table: Table, wanted: Wanted, sends: Sends, now: Instant) -> str:
    """Why one of them is asked, by what it weighed; short enough for a receipt."""
    one = predicted_as(weighed, table, wanted, sends, now)
    why = f"{_times(one, wanted)}{_price(one)}, of {len(table.candidates)} PoPs"
    return why[: limits.REASON_CHARS_MAX]


def _standing(one: Predicted, wanted: Wanted) -> str:
    line = f"{_name(one.candidate)}: {_times(one, wanted)}"
    if one.answer_s:
        line += f", then {_short(one.answer_s)} s of answer"
    line += _price(one)
    if one.stale_s:
        line += f"; not heard of for {one.age_s:.0f} s, which counts as {_short(one.stale_s)} s"
    return f"{line} (weighs {_short(one.weight)})"


def _price(one: Predicted) -> str:
    return f", for {one.price:.2g} units" if one.price else ""


def _times(one: Predicted, wanted: Wanted) -> str:
    """What its first token takes, in parts."""
    queue = f"queue {_short(one.queue_s)}"
    if one.own_requests:
        queue += f" ({one.own_requests:,} sent from here just now)"
    prompt = f"prompt {_short(one.prompt_s)}"
    if one.kept_tokens:
        prompt += f" ({one.kept_tokens:,} of {wanted.prompt_tokens:,} tokens kept)"
    load = [f"load {_short(one.load_s)}"] if one.load_s else []
    parts = [f"link {_short(one.link_s)}", *load, queue, prompt]
    return f"{_short(one.first_token_s)} s = {' + '.join(parts)}"


def _excluded(candidate: Candidate, out: Out) -> str:
    return f"{_name(candidate)}: not asked, {out.value}"


def _name(candidate: Candidate) -> str:
    return f"{candidate.pop} site {candidate.known.member.site}"


@lru_cache(limits.REASON_TIMES_MAX)
def _short(seconds: float) -> str:
    return f"{seconds:.2f}".rstrip("0").rstrip(".") if seconds >= 0.01 else f"{seconds:.2g}"
