"""Folds the one stream of facts into metrics and log lines. There is no second path.

What each metric is, and how the counts of several workers become one text, is in node/metrics.py.

A relayed request may cost some 35 µs in all, so counting one is a few additions to cells of a
memory-mapped file (adapters/shared/meters.py): the series of a set of labels is looked up once and
remembered. What is counted is in the file at once, and so survives this process.
"""

import logging
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, assert_never

from littoral.adapters.shared import Meters
from littoral.node import metrics
from littoral.node.metrics import LATENCY_S, METERED, METERS_RESERVED_WORDS, PER_TOKEN_S, Metered
from littoral.terms.facts import (
    BreakerMoved,
    CacheChanged,
    CacheMissed,
    Fact,
    FellBack,
    FileSent,
    FirstToken,
    JoinRefused,
    MemberJoined,
    MemberRenewed,
    ModelLoading,
    ModelReady,
    ModelUnloaded,
    PopBack,
    PopChanged,
    PopGone,
    PopHeld,
    PopSeen,
    PullEnded,
    ReceiptLost,
    ReceiptsHalted,
    RecordRejected,
    RecordSaid,
    RequestEnded,
    RequestQueued,
    RequestRefused,
    RequestRelayed,
    ReuseChecked,
    ReuseJudged,
    StandingChanged,
    StepEnded,
    StrangersRefused,
    ThreadsStepped,
    UpstreamTried,
    WorkerDied,
)
from littoral.terms.ids import ModelName
from littoral.terms.kinds import writes
from littoral.terms.limits import READY_SHOWN_S, SERIES_MAX
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Instant

__all__ = ["Telemetry", "own_meters"]

log = logging.getLogger("littoral")

_LATENCY_SUM: Final = len(LATENCY_S) + 1
_PER_TOKEN_SUM: Final = len(PER_TOKEN_S) + 1
_GONE: Final = {
    "left": "it left, or nothing reaches it",
    "expired": "its certificate has run out, by this machine's clock",
    "early": "its certificate is of the future: is a clock wrong?",
    "not_admitted": "it is not admitted any more",
}
"""Why a PoP is gone, in words."""
_BREAKER: Final = {"closed": 0.0, "half_open": 1.0, "open": 2.0}


def own_meters(run: Path, worker: int = 0) -> Meters:
    """The file in which this worker counts, in HOME/run; what an earlier one counted stays.

    Raises:
        DiskShortError, HomeUnwritableError, StoreError: it can't be used.
    """
    return Meters.own(run, worker, reserved_words=METERS_RESERVED_WORDS)


class _Ended(NamedTuple):
    """The cells that a request with certain labels counts in when it ends."""

    requests: int
    prompt: int
    output: int
    cached: int
    duration: int
    queue: int
    per_token: int
    cache: int


class Telemetry:
    """What this worker does, counted; and what its PoP has done, as text."""

    def __init__(self, meters: Meters, clock: Clock) -> None:
        """Count in these meters. What an earlier owner of them did at its end is over."""
        self._meters = meters
        self._cells = meters.cells
        self._clock = clock
        self._known: dict[tuple[str, ...], int] = {}
        self._ended_known: dict[tuple[str, ...], _Ended] = {}
        self._halted: tuple[Instant, Sequence[str]] | None = None
        present = {each.name for each in METERED if each.form is metrics.Form.PRESENT}
        for series in meters.own_series():
            if series.name in present:
                self._cells[meters.series(series.name, series.labels, 1)] = 0.0

    def observe(self, fact: Fact) -> None:  # noqa: C901, PLR0912, PLR0915 - one case a fact
        """Count it, and log it if a person would want to know."""
        match fact:
            case RequestEnded():
                self._ended(fact)
            case UpstreamTried(model, target, outcome, hedged):
                self._count(metrics.UPSTREAM_ATTEMPTS, model, target, outcome)
                if hedged:
                    self._count(metrics.UPSTREAM_HEDGES, model, target)
            case FirstToken(model, seconds):
                self._time(metrics.FIRST_TOKEN, seconds, model)
            case CacheMissed(model, result):
                self._count(metrics.CACHE_ANSWERS, model, result)
            case CacheChanged(entries, size):
                change = "stored" if entries > 0 else "dropped"
                self._count(metrics.CACHE_CHANGES, change, amount=abs(entries))
                self._count(metrics.CACHE_CHANGED_BYTES, change, amount=abs(size))
            case ReuseJudged() | ReuseChecked():
                self._reused(fact)
            case StepEnded(does, outcome, seconds):
                self._time(metrics.STEPS, seconds, does, outcome)
            case RequestQueued():
                pass  # the gauges are read from the pool when they are asked for
            case RequestRefused(api, code, status):
                self._count(metrics.REFUSED, api, code)
                if status >= 500:
                    log.warning("%s refused: %s (%d)", api, code, status)
            case FellBack(asked, model):
                self._count(metrics.FALLBACKS, asked, model)
            case BreakerMoved(model, target, state):
                self._say(metrics.BREAKER_STATE, _BREAKER[state], model, target)
                level = logging.WARNING if state == "open" else logging.INFO
                log.log(level, "%s: the breaker of upstream %s is %s", model, target, state)
            case ReceiptLost() | ReceiptsHalted():
                self._unkept(fact)
            case FileSent(api, count, outcome):
                self._count(metrics.FILES, api, outcome)
                self._count(metrics.FILE_BYTES, api, amount=count)
            case PullEnded():
                self._pulled(fact)
            case MemberJoined() | JoinRefused() | MemberRenewed() | StandingChanged():
                self._belonged(fact)
            case (
                PopSeen()
                | PopChanged()
                | PopGone()
                | PopBack()
                | PopHeld()
                | RequestRelayed()
                | RecordSaid()
            ):
                self._met(fact)
            case RecordRejected() | StrangersRefused():
                self._turned_away(fact)
            case _:
                self._lived(fact)

    def _pulled(self, fact: PullEnded) -> None:
        self._count(metrics.PULLS, fact.outcome)
        self._count(metrics.PULLED_BYTES, "origin", amount=fact.origin_bytes)
        self._count(metrics.PULLED_BYTES, "neighbours", amount=fact.neighbour_bytes)
        self._count(metrics.PULLED_BYTES, "here", amount=fact.reused_bytes)
        self._count(metrics.WRONG_CHUNKS, amount=fact.wrong_chunks)

    def _reused(self, fact: ReuseJudged | ReuseChecked) -> None:
        """What became of a request that was looked up by meaning."""
        match fact:
            case ReuseJudged(model, outcome, shadow):
                self._count(metrics.REUSE, model, outcome, _flag(shadow))
            case ReuseChecked(model, right, certified, shadow):
                flags = map(_flag, (right, certified, shadow))
                self._count(metrics.REUSE_CHECKS, model, *flags)

    def _belonged(self, fact: MemberJoined | JoinRefused | MemberRenewed | StandingChanged) -> None:
        """Who came into the fabric, stayed, or may not."""
        match fact:
            case MemberJoined(pop, zone, site, issuer):
                self._count(metrics.MEMBERSHIP, "joined", "")
                may = ", and may issue" if issuer else ""
                log.info("%s joined in zone %s, site %s%s", pop, zone, site, may)
            case JoinRefused(asked, reason):
                self._count(metrics.MEMBERSHIP, "refused", reason)
                log.warning("a PoP was refused a certificate (%s: %s)", asked, reason)
            case MemberRenewed(pop, returned):
                self._count(metrics.MEMBERSHIP, "returned" if returned else "renewed", "")
                if returned:
                    log.info("%s is back: its certificate had run out", pop)
            case StandingChanged(pop, standing):
                log.warning("%s is %s from now on", pop, standing)

    def _met(
        self,
        fact: PopSeen | PopChanged | PopGone | PopBack | PopHeld | RequestRelayed | RecordSaid,
    ) -> None:
        """What is seen of other PoPs, passed on to them, and said to them."""
        match fact:
            case PopSeen(pop, owner, zone, site):
                self._count(metrics.FABRIC_POPS, "seen")
                log.info("%s: is in the fabric, at %s/%s of %s", pop, zone, site, owner)
            case PopChanged(pop, site, models):
                self._count(metrics.FABRIC_POPS, "changed")
                log.info("%s: at %s, with %s", pop, site, ", ".join(models) or "no model")
            case PopGone(pop, reason):
                self._count(metrics.FABRIC_POPS, "gone")
                log.warning("%s: is gone (%s)", pop, _GONE.get(reason, reason))
            case PopBack(pop):
                self._count(metrics.FABRIC_POPS, "back")
                log.info("%s: is back", pop)
            case PopHeld(pop, held):
                how = "holds connections to this PoP" if held else "holds no connection any more"
                log.info("%s: %s", pop, how)
            case RequestRelayed(_, outcome):
                self._count(metrics.FABRIC_RELAYED, outcome)
            case RecordSaid(kind, size_bytes):
                self._count(metrics.FABRIC_SAID, kind, amount=size_bytes)

    def _unkept(self, fact: ReceiptLost | ReceiptsHalted) -> None:
        """Receipts that could not be kept."""
        match fact:
            case ReceiptLost(model, code):
                self._count(metrics.RECEIPTS_LOST, code)
                log.error(
                    "%s: an answer has no receipt, for it could not be kept (%s)", model, code
                )
            case ReceiptsHalted(reason, over):
                self._cells[self._at(metrics.RECEIPTS_HALTED, reason)] = 0 if over else 1
                log.warning(
                    "receipts can %s (%s)", "be kept again" if over else "not be kept", reason
                )

    def _turned_away(self, fact: RecordRejected | StrangersRefused) -> None:
        """What others had to say and is not taken from them."""
        match fact:
            case RecordRejected(topic, reason, records):
                self._count(metrics.FABRIC_REJECTED, reason, amount=records)
                log.warning("%d records on %r rejected (%s)", records, topic, reason)
            case StrangersRefused(reason, connections):
                self._count(metrics.FABRIC_STRANGERS, amount=connections)
                said = "connections refused that no trusted owner vouches for: %d (%s)"
                log.warning(said, connections, reason)

    def _lived(
        self, fact: ModelLoading | ModelReady | ModelUnloaded | WorkerDied | ThreadsStepped
    ) -> None:
        """What happens in the life of a model."""
        match fact:
            case ModelLoading(model, reason):
                log.info("%s: loading (%s)", model, reason)
            case ModelReady(model, seconds, build):
                self._time(metrics.LOAD, seconds, model)
                self._say(metrics.LOADED, 1, model)
                log.info("%s: ready after %.1f s on %s", model, seconds, build)
            case ModelUnloaded(model, reason):
                self._say(metrics.LOADED, 0, model)
                log.info("%s: unloaded (%s)", model, reason)
            case WorkerDied(model, exit_status, lost):
                self._count(metrics.WORKER_DEATHS, model)
                self._count(metrics.LOST, model, amount=lost)
                self._say(metrics.LOADED, 0, model)
                log.error(
                    "%s: its engine died (exit %d), %d requests lost", model, exit_status, lost
                )
            case ThreadsStepped(model, before, after):
                log.info("%s: %d threads instead of %d", model, after, before)
            case _:
                assert_never(fact)

    def _ended(self, fact: RequestEnded) -> None:
        cells, usage, total_s, queue_s = self._cells, fact.usage, fact.total_s, fact.queue_s
        # Enum members hash slowly and `.value` is a call; their texts are fast.
        key = (fact.api, fact.model, fact.source._value_, fact.finish._value_, fact.cache)
        at = self._ended_known.get(key) or self._ended_at(*key)
        requests, prompt, output, cached, duration, queue, per_token, cache = at
        cells[requests] += 1
        cells[prompt] += usage.prompt_tokens
        cells[output] += usage.completion_tokens
        if usage.cached_tokens:
            cells[cached] += usage.cached_tokens
        cells[duration + bisect_left(LATENCY_S, total_s)] += 1
        cells[duration + _LATENCY_SUM] += total_s
        if queue_s:
            cells[queue + bisect_left(LATENCY_S, queue_s)] += 1
            cells[queue + _LATENCY_SUM] += queue_s
        else:  # as always of what is relayed
            cells[queue] += 1
        if fact.cache:
            cells[cache] += 1
        rest, first_s = usage.completion_tokens - 1, fact.first_token_s
        if first_s is not None and rest > 0 and writes(fact.kind):
            per_token_s = (total_s - first_s) / rest
            cells[per_token + bisect_left(PER_TOKEN_S, per_token_s)] += 1
            cells[per_token + _PER_TOKEN_SUM] += per_token_s

    def _ended_at(self, api: str, model: str, source: str, finish: str, cache: str) -> _Ended:
        """Where a request with these labels is counted, remembered."""
        at = _Ended(
            requests=self._at(metrics.REQUESTS, api, model, source, finish),
            prompt=self._at(metrics.TOKENS, model, "input"),
            output=self._at(metrics.TOKENS, model, "output"),
            cached=self._at(metrics.TOKENS, model, "cached"),
            duration=self._at(metrics.REQUEST_DURATION, model),
            queue=self._at(metrics.QUEUE, model),
            per_token=self._at(metrics.PER_TOKEN, model),
            cache=self._at(metrics.CACHE_ANSWERS, model, cache) if cache else 0,
        )
        if len(self._ended_known) < SERIES_MAX:
            self._ended_known[api, model, source, finish, cache] = at
        return at

    def _at(self, metric: Metered, *labels: str) -> int:
        """Where a series' cells begin, remembered."""
        key = (metric.name, *labels)
        at = self._known.get(key)
        if at is None:
            at = self._meters.series(metric.name, labels, metric.cells)
            if len(self._known) < SERIES_MAX:
                self._known[key] = at
        return at

    def _count(self, metric: Metered, *labels: str, amount: float = 1) -> None:
        self._cells[self._at(metric, *labels)] += amount

    def _time(self, metric: Metered, seconds: float, *labels: str) -> None:
        at = self._at(metric, *labels)
        self._cells[at + bisect_left(metric.buckets, seconds)] += 1
        self._cells[at + metric.cells - 1] += seconds

    def _say(self, metric: Metered, value: float, *labels: str) -> None:
        """Of what all workers share: how it is from now on."""
        at = self._at(metric, *labels)
        self._cells[at] = value
        self._cells[at + 1] = self._clock.now()

    def show(self, loads: Mapping[ModelName, tuple[int, int]]) -> None:
        """Say what this worker has under way now, for whichever worker is asked for metrics.

        Args:
            loads: model -> (requests in flight, requests waiting).
        """
        for model, (in_flight, waiting) in loads.items():
            self._cells[self._at(metrics.RUNNING, model)] = in_flight
            self._cells[self._at(metrics.WAITING, model)] = waiting

    def receipts_halted(self) -> Sequence[str]:
        """Why a process of this PoP can keep no receipts, as of limits.READY_SHOWN_S ago."""
        now = self._clock.now()
        if self._halted is None or now - self._halted[0] > READY_SHOWN_S * SECOND:
            reasons = {
                each.labels[0]
                for each in self._meters.everyone()
                if each.name == metrics.RECEIPTS_HALTED.name and each.alive and each.cells[0]
            }
            self._halted = now, sorted(reasons)
        return self._halted[1]

    def asked(self) -> Mapping[ModelName, float]:
        """How often each model was asked for since the PoP started, in all of its processes."""
        counts: dict[ModelName, float] = {}
        for each in self._meters.everyone():
            if each.name == metrics.REQUESTS.name:
                model = ModelName(each.labels[1])
                counts[model] = counts.get(model, 0.0) + each.cells[0]
        return counts

    def exposition(self, loads: Mapping[ModelName, tuple[int, int]]) -> bytes:
        """Prometheus text of all workers, with this one's queues as they are now.

        Args:
            loads: as for `show`.
        """
        self.show(loads)
        return metrics.exposed(self._meters.everyone())


def _flag(value: bool) -> str:
    return "true" if value else "false"
