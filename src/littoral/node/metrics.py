"""The metrics of a PoP: what each is called and says, and how workers' counts become one text.

Metric names follow the field: the OpenTelemetry GenAI conventions in Prometheus form for what they
name (`gen_ai_server_time_to_first_token_seconds`), `littoral_` for what is ours. docs/metrics.md
lists them all. Labels are bounded: models of this PoP, error codes, kinds; never a key or a text.

Counters and histograms of all workers are added up, dead ones included. Of gauges, some say what
a process does now: those of living workers are added up. Others say how a thing is that all
share: then the word that came last counts, whoever said it.
"""

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from littoral.adapters.shared import OTHER, Series, series_words

__all__ = [
    "LATENCY_S",
    "METERED",
    "METERS_RESERVED_WORDS",
    "PER_TOKEN_S",
    "BREAKER_STATE",
    "CACHE_ANSWERS",
    "CACHE_CHANGED_BYTES",
    "CACHE_CHANGES",
    "FABRIC_POPS",
    "FABRIC_REJECTED",
    "FABRIC_STRANGERS",
    "FALLBACKS",
    "FILE_BYTES",
    "FILES",
    "FIRST_TOKEN",
    "LOAD",
    "LOADED",
    "LOST",
    "MEMBERSHIP",
    "PER_TOKEN",
    "PULLED_BYTES",
    "PULLS",
    "QUEUE",
    "RECEIPTS_HALTED",
    "RECEIPTS_LOST",
    "REFUSED",
    "REQUESTS",
    "REQUEST_DURATION",
    "REUSE",
    "REUSE_CHECKS",
    "RUNNING",
    "STEPS",
    "TOKENS",
    "UPSTREAM_ATTEMPTS",
    "UPSTREAM_HEDGES",
    "WAITING",
    "WORKER_DEATHS",
    "Form",
    "Metered",
    "exposed",
    "WRONG_CHUNKS",
]

LATENCY_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
PER_TOKEN_S: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
_LOAD_S: Final = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)


class Form(enum.Enum):
    """What the cells of a series hold, and how those of several workers become one."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    """How many were in each bucket, and in none of them; then the sum of all."""
    PRESENT = "gauge of a process"
    LATEST = "gauge of what is shared"
    """The value, and the monotonic moment at which it was said."""


@dataclass(frozen=True, slots=True)
class Metered:
    """One metric. A counter's name is scraped with `_total` at its end."""

    name: str
    form: Form
    says: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()

    @property
    def cells(self) -> int:
        """How many numbers one series of it is."""
        match self.form:
            case Form.HISTOGRAM:
                return len(self.buckets) + 2
            case Form.LATEST:
                return 2
            case Form.COUNTER | Form.PRESENT:
                return 1


def _counter(name: str, says: str, *labels: str) -> Metered:
    return Metered(name, Form.COUNTER, says, labels)


REQUESTS: Final = _counter(
    "littoral_requests",
    "Exchanges that reached an engine, by how they ended.",
    *("api", "model", "source", "finish"),
)
REFUSED: Final = _counter(
    "littoral_requests_refused",
    "Requests that ended before an engine saw them, by error code.",
    *("api", "code"),
)
TOKENS: Final = _counter(
    "gen_ai_client_token_usage",
    "Tokens, by type: input, output, and cached (the part of input that was reused).",
    *("gen_ai_request_model", "gen_ai_token_type"),
)
FIRST_TOKEN: Final = Metered(
    "gen_ai_server_time_to_first_token_seconds",
    Form.HISTOGRAM,
    "From the request to the first bytes of its answer.",
    ("gen_ai_request_model",),
    LATENCY_S,
)
PER_TOKEN: Final = Metered(
    "gen_ai_server_time_per_output_token_seconds",
    Form.HISTOGRAM,
    "Mean time between tokens after the first.",
    ("gen_ai_request_model",),
    PER_TOKEN_S,
)
REQUEST_DURATION: Final = Metered(
    "gen_ai_server_request_duration_seconds",
    Form.HISTOGRAM,
    "From the request to the end of its answer.",
    ("gen_ai_request_model",),
    LATENCY_S,
)
QUEUE: Final = Metered(
    "littoral_queue_time_seconds",
    Form.HISTOGRAM,
    "Time a request waited for its model to load and for a slot.",
    ("model",),
    LATENCY_S,
)
LOAD: Final = Metered(
    "littoral_model_load_seconds",
    Form.HISTOGRAM,
    "Time from starting an engine until it takes calls.",
    ("model",),
    _LOAD_S,
)
LOADED: Final = Metered(
    "littoral_model_loaded",
    Form.LATEST,
    "1 while the model's engine takes calls.",
    ("model",),
)
RUNNING: Final = Metered(
    "littoral_requests_running", Form.PRESENT, "Requests at an engine now.", ("model",)
)
WAITING: Final = Metered(
    "littoral_requests_waiting", Form.PRESENT, "Requests that wait for a slot now.", ("model",)
)
RECEIPTS_LOST: Final = _counter(
    "littoral_receipts_lost", "Answers whose receipt could not be kept, by error code.", "code"
)
RECEIPTS_HALTED: Final = Metered(
    "littoral_receipts_halted",
    Form.PRESENT,
    "Processes that can keep no receipts now, by why: full, held, damaged, or an error code.",
    ("reason",),
)
REUSE: Final = _counter(
    "littoral_reuse",
    "Requests looked up by meaning: hit, explored or none; in shadow no hit is served.",
    *("model", "outcome", "shadow"),
)
REUSE_CHECKS: Final = _counter(
    "littoral_reuse_checks",
    "Stored answers compared with the model's; `certified` are those that may be served.",
    *("model", "right", "certified", "shadow"),
)
MEMBERSHIP: Final = _counter(
    "littoral_membership",
    "PoPs and their certificates: joined, renewed, returned (the last had run out), or refused.",
    *("outcome", "reason"),
)
WORKER_DEATHS: Final = _counter(
    "littoral_worker_deaths", "Engine processes that ended by themselves.", "model"
)
LOST: Final = _counter(
    "littoral_requests_lost",
    "Requests that ended with an error because their engine's process died.",
    "model",
)
CACHE_ANSWERS: Final = _counter(
    "littoral_cache_answers",
    "Answers looked up in the cache: hit, reused (by meaning), partial (of a batch), joined (under "
    "way), or miss.",
    *("model", "result"),
)
CACHE_CHANGES: Final = _counter(
    "littoral_cache_changes",
    "Answers stored in the answer cache, and dropped from it to make room or as expired.",
    "change",
)
FILES: Final = _counter(
    "littoral_files_sent",
    "Files, or ranges of them, given to clients: whole, left (by the client) or failed.",
    *("api", "outcome"),
)
FILE_BYTES: Final = _counter("littoral_file_bytes_sent", "Bytes of files given to clients.", "api")
PULLS: Final = _counter(
    "littoral_pulls", "Pulls that are over: done, failed or cancelled.", "outcome"
)
PULLED_BYTES: Final = _counter(
    "littoral_pulled_bytes",
    "Bytes of what was pulled: from its origin, from neighbours, or here already.",
    "source",
)
WRONG_CHUNKS: Final = _counter(
    "littoral_wrong_chunks", "Chunks that came with other bytes than they were to have."
)
CACHE_CHANGED_BYTES: Final = _counter(
    "littoral_cache_changed_bytes", "Bytes of the answers stored and dropped.", "change"
)
UPSTREAM_ATTEMPTS: Final = _counter(
    "littoral_upstream_attempts",
    "Attempts at an upstream, by how they ended: answered, or why not.",
    *("model", "target", "outcome"),
)
UPSTREAM_HEDGES: Final = _counter(
    "littoral_upstream_hedges",
    "Those of the attempts that were made beside a slow one.",
    *("model", "target"),
)
BREAKER_STATE: Final = Metered(
    "littoral_upstream_breaker_state",
    Form.LATEST,
    "0: takes requests as usual; 1: is tried again; 2: is left alone for a while.",
    ("model", "target"),
)
FALLBACKS: Final = _counter(
    "littoral_fallbacks",
    "Requests that another model answered than the one asked for.",
    *("asked", "model"),
)
FABRIC_POPS: Final = _counter(
    "littoral_fabric_pop_changes",
    "What this PoP saw of others: seen, changed, gone or back.",
    "change",
)
FABRIC_SAID: Final = _counter(
    "littoral_fabric_said_bytes",
    "Records that this PoP said to all others, each once, however many hear it.",
    "kind",
)
FABRIC_REJECTED: Final = _counter(
    "littoral_fabric_records_rejected",
    "Records of other PoPs that were dropped, by why.",
    "reason",
)
FABRIC_STRANGERS: Final = _counter(
    "littoral_fabric_strangers",
    "Connections refused whose certificate no trusted owner has signed.",
)
FABRIC_RELAYED: Final = _counter(
    "littoral_fabric_relayed",
    "Requests passed to PoPs that can't be dialled, by how they ended: answered, lost or left.",
    "outcome",
)
STEPS: Final = Metered(
    "littoral_answer_step_seconds",
    Form.HISTOGRAM,
    "Steps of answers from memory: recall before a chat, and each step of a pipeline.",
    ("does", "outcome"),
    LATENCY_S,
)

METERED: Final = (
    *(REQUESTS, REFUSED, TOKENS, FIRST_TOKEN, PER_TOKEN, REQUEST_DURATION, QUEUE, LOAD, LOADED),
    *(
        RUNNING,
        WAITING,
        RECEIPTS_LOST,
        RECEIPTS_HALTED,
        WORKER_DEATHS,
        LOST,
        CACHE_ANSWERS,
        CACHE_CHANGES,
    ),
    *(CACHE_CHANGED_BYTES, UPSTREAM_ATTEMPTS, UPSTREAM_HEDGES, BREAKER_STATE, FALLBACKS),
    *(
        FILES,
        FILE_BYTES,
        PULLS,
        PULLED_BYTES,
        WRONG_CHUNKS,
        REUSE,
        REUSE_CHECKS,
        MEMBERSHIP,
        FABRIC_POPS,
        FABRIC_SAID,
        FABRIC_REJECTED,
        FABRIC_STRANGERS,
        FABRIC_RELAYED,
        STEPS,
    ),
)
"""Every metric, in the order of the text."""

METERS_RESERVED_WORDS: Final = sum(
    series_words(each.name, (OTHER,) * len(each.labels), each.cells) for each in METERED
)
"""Room for one series of each metric that stands for those without room."""

_Merged = dict[tuple[str, tuple[str, ...]], list[float]]


def exposed(series: Iterable[Series]) -> bytes:
    """Prometheus text of what all workers counted."""
    registry = CollectorRegistry()
    registry.register(_Collected(_merged(series)))
    return generate_latest(registry)


class _Collected(Collector):
    """Merged series, as prometheus_client wants to be given them."""

    def __init__(self, merged: _Merged) -> None:
        self._merged = merged

    def collect(self) -> Iterator[Metric]:
        by_name: dict[str, list[tuple[tuple[str, ...], list[float]]]] = {}
        for (name, labels), cells in self._merged.items():
            by_name.setdefault(name, []).append((labels, cells))
        for metered in METERED:
            yield _family(metered, sorted(by_name.get(metered.name, ())))


def _merged(series: Iterable[Series]) -> _Merged:
    forms = {each.name: each.form for each in METERED}
    merged: _Merged = {}
    for each in series:
        key, form = (each.name, each.labels), forms.get(each.name)
        if form is None or (form is Form.PRESENT and not each.alive):
            continue
        before = merged.get(key)
        if before is None:
            merged[key] = each.cells
        elif form is Form.LATEST:
            merged[key] = max(before, each.cells, key=lambda cells: cells[1])
        else:
            merged[key] = [one + other for one, other in zip(before, each.cells, strict=True)]
    return merged


def _family(
    metered: Metered, series: Sequence[tuple[tuple[str, ...], list[float]]]
) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    name, says, names = metered.name, metered.says, metered.labels
    match metered.form:
        case Form.COUNTER:
            counter = CounterMetricFamily(name, says, labels=names)
            for labels, cells in series:
                counter.add_metric(labels, cells[0])
            return counter
        case Form.PRESENT | Form.LATEST:
            gauge = GaugeMetricFamily(name, says, labels=names)
            for labels, cells in series:
                gauge.add_metric(labels, cells[0])
            return gauge
        case Form.HISTOGRAM:
            histogram = HistogramMetricFamily(name, says, labels=names)
            bounds = [*(str(float(bound)) for bound in metered.buckets), "+Inf"]
            for labels, cells in series:
                if not any(cells):
                    continue  # its place is known, and nothing was timed yet
                counts = list(zip(bounds, accumulate(cells[:-1]), strict=True))
                histogram.add_metric(labels, counts, cells[-1])
            return histogram
