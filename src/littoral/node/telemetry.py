"""Folds the one stream of facts into metrics and log lines. There is no second path.

Metric names follow the field: the OpenTelemetry GenAI conventions in Prometheus form for what they
name (`gen_ai_server_time_to_first_token_seconds`), `littoral_` for what is ours. docs/metrics.md
lists them all. Labels are bounded: models of this PoP, error codes, kinds; never a key or a text.
"""

import logging
from typing import Final, assert_never

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from littoral.terms.facts import (
    BreakerMoved,
    CacheChanged,
    Fact,
    FellBack,
    FirstToken,
    ModelLoading,
    ModelReady,
    ModelUnloaded,
    ReceiptLost,
    RequestEnded,
    RequestQueued,
    RequestRefused,
    ReuseChecked,
    ReuseJudged,
    ThreadsStepped,
    UpstreamTried,
    WorkerDied,
)
from littoral.terms.values import Kind

__all__ = ["Telemetry"]

log = logging.getLogger("littoral")

_LATENCY_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_PER_TOKEN_S: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)


class Telemetry:
    """What this PoP has done, countable."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "littoral_requests",
            "Exchanges that reached an engine, by how they ended.",
            ["api", "model", "source", "finish"],
            registry=registry,
        )
        self._refused = Counter(
            "littoral_requests_refused",
            "Requests that ended before an engine saw them, by error code.",
            ["api", "code"],
            registry=registry,
        )
        self._tokens = Counter(
            "gen_ai_client_token_usage",
            "Tokens, by type: input, output, and cached (the part of input that was reused).",
            ["gen_ai_request_model", "gen_ai_token_type"],
            registry=registry,
        )
        self._first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From the request to the first bytes of its answer.",
            ["gen_ai_request_model"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        self._per_token = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Mean time between tokens after the first.",
            ["gen_ai_request_model"],
            buckets=_PER_TOKEN_S,
            registry=registry,
        )
        self._duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "From the request to the end of its answer.",
            ["gen_ai_request_model"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        self._queue = Histogram(
            "littoral_queue_time_seconds",
            "Time a request waited for its model to load and for a slot.",
            ["model"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        self._loads = Histogram(
            "littoral_model_load_seconds",
            "Time from starting an engine until it takes calls.",
            ["model"],
            buckets=(0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128),
            registry=registry,
        )
        self._loaded = Gauge(
            "littoral_model_loaded",
            "1 while the model's engine takes calls.",
            ["model"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "littoral_requests_running",
            "Requests at an engine now.",
            ["model"],
            registry=registry,
        )
        self._waiting = Gauge(
            "littoral_requests_waiting",
            "Requests that wait for a slot now.",
            ["model"],
            registry=registry,
        )
        self._receipts_lost = Counter(
            "littoral_receipts_lost",
            "Answers whose receipt could not be kept, by error code.",
            ["code"],
            registry=registry,
        )
        self._reuse = Counter(
            "littoral_reuse",
            "Requests looked up by meaning: hit, explored or none; in shadow no hit is served.",
            ["model", "outcome", "shadow"],
            registry=registry,
        )
        self._reuse_checks = Counter(
            "littoral_reuse_checks",
            "Stored answers compared with the model's; `certified` are those that may be served.",
            ["model", "right", "certified", "shadow"],
            registry=registry,
        )
        self._deaths = Counter(
            "littoral_worker_deaths",
            "Engine processes that ended by themselves.",
            ["model"],
            registry=registry,
        )
        self._lost = Counter(
            "littoral_requests_lost",
            "Requests that ended with an error because their engine's process died.",
            ["model"],
            registry=registry,
        )

    def observe(self, fact: Fact) -> None:  # noqa: C901, PLR0912 - one case a fact
        """Count it, and log it if a person would want to know."""
        match fact:
            case RequestEnded():
                self._ended(fact)
            case RequestRefused(api, code, status):
                self._refused.labels(api, code).inc()
                if status >= 500:
                    log.warning("%s refused: %s (%d)", api, code, status)
            case ReceiptLost(model, code):
                self._receipts_lost.labels(code).inc()
                log.error(
                    "%s: an answer has no receipt, for it could not be kept (%s)", model, code
                )
            case ReuseJudged(model, outcome, shadow):
                self._reuse.labels(model, outcome, _flag(shadow)).inc()
            case ReuseChecked(model, right, certified, shadow):
                flags = map(_flag, (right, certified, shadow))
                self._reuse_checks.labels(model, *flags).inc()
            case FirstToken(model, seconds):
                self._first_token.labels(model).observe(seconds)
            case RequestQueued() | UpstreamTried() | BreakerMoved() | FellBack() | CacheChanged():
                pass  # the gauges are read from the pool when they are asked for
            case ModelLoading(model, reason):
                log.info("%s: loading (%s)", model, reason)
            case ModelReady(model, seconds, build):
                self._loads.labels(model).observe(seconds)
                self._loaded.labels(model).set(1)
                log.info("%s: ready after %.1f s on %s", model, seconds, build)
            case ModelUnloaded(model, reason):
                self._loaded.labels(model).set(0)
                log.info("%s: unloaded (%s)", model, reason)
            case WorkerDied(model, exit_status, lost):
                self._deaths.labels(model).inc()
                self._lost.labels(model).inc(lost)
                self._loaded.labels(model).set(0)
                log.error(
                    "%s: its engine died (exit %d), %d requests lost", model, exit_status, lost
                )
            case ThreadsStepped(model, before, after):
                log.info("%s: %d threads instead of %d", model, after, before)
            case _:
                assert_never(fact)

    def _ended(self, fact: RequestEnded) -> None:
        self._requests.labels(fact.api, fact.model, fact.source.value, fact.finish.value).inc()
        usage = fact.usage
        for kind, count in (
            ("input", usage.prompt_tokens),
            ("output", usage.completion_tokens),
            ("cached", usage.cached_tokens),
        ):
            self._tokens.labels(fact.model, kind).inc(count)
        self._duration.labels(fact.model).observe(fact.total_s)
        self._queue.labels(fact.model).observe(fact.queue_s)
        if fact.kind is not Kind.EMBED and fact.first_token_s is not None:
            rest = usage.completion_tokens - 1
            if rest > 0:
                per_token_s = (fact.total_s - fact.first_token_s) / rest
                self._per_token.labels(fact.model).observe(per_token_s)

    def exposition(self, loads: dict[str, tuple[int, int]]) -> bytes:
        """Prometheus text, with the queues as they are now.

        Args:
            loads: model -> (requests in flight, requests waiting).
        """
        for model, (in_flight, waiting) in loads.items():
            self._in_flight.labels(model).set(in_flight)
            self._waiting.labels(model).set(waiting)
        return generate_latest(self.registry)


def _flag(value: bool) -> str:
    return "true" if value else "false"
