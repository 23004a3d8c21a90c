"""Telemetry: every fact has its number, and streams alone say something of time per token."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from littoral.adapters.clock import SystemClock
from littoral.adapters.shared import Meters, meters
from littoral.node.metrics import LATENCY_S, METERED, METERS_RESERVED_WORDS, Form
from littoral.node.telemetry import Telemetry, own_meters
from littoral.terms.facts import (
    BreakerMoved,
    CacheChanged,
    FellBack,
    FirstToken,
    ModelReady,
    ModelUnloaded,
    PopBack,
    PopChanged,
    PopGone,
    PopSeen,
    ReceiptLost,
    ReceiptsHalted,
    RecordRejected,
    RecordSaid,
    RequestEnded,
    RequestRefused,
    ReuseChecked,
    ReuseJudged,
    UpstreamTried,
    WorkerDied,
)
from littoral.terms.ids import KeyId, ModelName, OwnerId, PopId, ReceiptId, SiteName, ZoneName
from littoral.terms.limits import READY_SHOWN_S
from littoral.terms.values import SECOND, Finish, Instant, Kind, Source, Usage

M = ModelName("m")


def fresh() -> Telemetry:
    return Telemetry(Meters.private(reserved_words=METERS_RESERVED_WORDS), SystemClock())


def ended(first_token_s: float | None, cache: str = "") -> RequestEnded:
    return RequestEnded(
        receipt_id=ReceiptId("rcpt_1"),
        api="chat.completions",
        kind=Kind.CHAT,
        model=M,
        key_id=KeyId("ksecretid"),
        source=Source.COMPUTED,
        finish=Finish.STOP,
        usage=Usage(10, 11, 4),
        queue_s=0.0,
        first_token_s=first_token_s,
        total_s=2.0,
        cache=cache,
    )


def told(telemetry: Telemetry) -> str:
    return telemetry.exposition({M: (3, 2)}).decode()


def sample(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    """One sample, as a Prometheus server reads it."""
    for family in text_string_to_metric_families(told(telemetry)):
        for each in family.samples:
            if each.name == name and each.labels == labels:
                return each.value
    return None


def test_an_exchange_counts_once_with_its_tokens_and_without_its_key() -> None:
    telemetry = fresh()
    telemetry.observe(ended(1.0))
    text = told(telemetry)
    assert 'finish="stop",model="m",source="computed"} 1.0' in text
    for kind, count in (("input", 10), ("output", 11), ("cached", 4)):
        assert f'gen_ai_token_type="{kind}"}} {count}.0' in text
    assert "ksecretid" not in text


@pytest.mark.parametrize(("first_token_s", "count"), [(1.0, 1), (None, 0)])
def test_time_per_token_is_taken_from_streams_alone(
    first_token_s: float | None, count: int
) -> None:
    telemetry = fresh()
    telemetry.observe(ended(first_token_s))
    name = "gen_ai_server_time_per_output_token_seconds"
    sums = [line for line in told(telemetry).splitlines() if line.startswith(f"{name}_sum")]
    assert sums == ([f'{name}_sum{{gen_ai_request_model="m"}} 0.1'] if count else [])


def test_what_goes_wrong_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = fresh()
    telemetry.observe(ReceiptLost(M, "disk_short"))
    telemetry.observe(WorkerDied(M, -9, 8))
    telemetry.observe(RequestRefused("messages", "machine_overloaded", 503))
    text = told(telemetry)
    assert 'littoral_receipts_lost_total{code="disk_short"} 1.0' in text
    assert 'littoral_requests_lost_total{model="m"} 8.0' in text
    assert 'littoral_requests_refused_total{api="messages",code="machine_overloaded"} 1.0' in text
    assert len(caplog.records) == 3


def test_gauges_say_how_it_is_now() -> None:
    telemetry = fresh()
    telemetry.observe(ModelReady(M, 1.0, "build"))
    telemetry.observe(FirstToken(M, 0.2))
    assert 'littoral_model_loaded{model="m"} 1.0' in told(telemetry)
    assert 'littoral_requests_running{model="m"} 3.0' in told(telemetry)
    assert 'littoral_requests_waiting{model="m"} 2.0' in told(telemetry)
    telemetry.observe(ModelUnloaded(M, "idle"))
    assert 'littoral_model_loaded{model="m"} 0.0' in told(telemetry)


def test_the_text_is_what_prometheus_reads_with_every_metric_in_it() -> None:
    telemetry = fresh()
    telemetry.observe(ended(1.0, "miss"))
    families = {family.name: family for family in text_string_to_metric_families(told(telemetry))}
    assert list(families) == [each.name for each in METERED]
    for metered in METERED:
        kind = metered.form.value.split()[0]
        assert (families[metered.name].type, families[metered.name].documentation) == (
            kind,
            metered.says,
        )


def test_a_histogram_counts_each_value_in_the_bucket_that_holds_it() -> None:
    telemetry, name = fresh(), "gen_ai_server_time_to_first_token_seconds"
    for seconds in (0.0, 0.005, 0.0051, 120.0, 500.0):
        telemetry.observe(FirstToken(M, seconds))
    bounds = [*map(float, LATENCY_S), float("inf")]
    at_most = {0.005: 2.0, 0.01: 3.0, 60.0: 3.0, 120.0: 4.0, float("inf"): 5.0}
    for bound, count in at_most.items():
        assert bound in bounds
        le = "+Inf" if bound == float("inf") else str(bound)
        assert sample(telemetry, f"{name}_bucket", gen_ai_request_model="m", le=le) == count
    assert sample(telemetry, f"{name}_count", gen_ai_request_model="m") == 5
    total = sample(telemetry, f"{name}_sum", gen_ai_request_model="m")
    assert total == pytest.approx(620.0101)


def test_what_became_of_an_answer_at_the_cache_is_counted() -> None:
    telemetry, name = fresh(), "littoral_cache_answers_total"
    for cache in ("hit", "hit", "joined", "miss", ""):
        telemetry.observe(ended(None, cache))
    counts = {
        result: sample(telemetry, name, model="m", result=result)
        for result in ("hit", "joined", "miss", "")
    }
    assert counts == {"hit": 2, "joined": 1, "miss": 1, "": None}
    telemetry.observe(CacheChanged(3, 3000))
    telemetry.observe(CacheChanged(-1, -1000))
    assert sample(telemetry, "littoral_cache_changes_total", change="stored") == 3
    assert sample(telemetry, "littoral_cache_changed_bytes_total", change="dropped") == 1000


def test_attempts_fallbacks_and_breakers_are_shown(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = fresh()
    telemetry.observe(UpstreamTried(M, "one", "timeout"))
    telemetry.observe(UpstreamTried(M, "two", "answered", hedged=True))
    telemetry.observe(FellBack(ModelName("large"), M))
    name = "littoral_upstream_attempts_total"
    assert sample(telemetry, name, model="m", target="one", outcome="timeout") == 1
    assert sample(telemetry, "littoral_upstream_hedges_total", model="m", target="two") == 1
    assert sample(telemetry, "littoral_fallbacks_total", asked="large", model="m") == 1
    for state, value in (("open", 2), ("half_open", 1), ("closed", 0)):
        telemetry.observe(BreakerMoved(M, "one", state))
        shown = sample(telemetry, "littoral_upstream_breaker_state", model="m", target="one")
        assert shown == value
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_workers_add_up_and_what_a_dead_one_did_last_is_over(tmp_path: Path) -> None:
    with ExitStack() as lives:
        clock = SystemClock()
        first = Telemetry(lives.enter_context(own_meters(tmp_path, 0)), clock)
        with own_meters(tmp_path, 1) as its_meters:
            second = Telemetry(its_meters, clock)
            second.observe(ended(1.0))
            second.observe(BreakerMoved(M, "one", "open"))
            second.show({M: (5, 1)})
            first.observe(ended(1.0))
            first.observe(BreakerMoved(M, "one", "closed"))
            second.observe(ModelReady(M, 1.0, "build"))
            assert sample(first, "littoral_requests_running", model="m") == 8
        assert sample(first, "littoral_requests_running", model="m") == 3
        labels = {"api": "chat.completions", "source": "computed", "finish": "stop"}
        assert sample(first, "littoral_requests_total", model="m", **labels) == 2
        assert sample(first, "littoral_upstream_breaker_state", model="m", target="one") == 0
        assert sample(first, "littoral_model_loaded", model="m") == 1
        Telemetry(lives.enter_context(own_meters(tmp_path, 1)), clock)
        assert sample(first, "littoral_requests_running", model="m") == 3


class Standing(SystemClock):
    """Time that goes on when a test says so."""

    at = Instant(0)

    def now(self) -> Instant:
        return self.at


def test_that_a_worker_can_keep_no_receipts_is_known_to_all_while_it_lives(tmp_path: Path) -> None:
    clock = Standing()
    with own_meters(tmp_path, 0) as meters:
        telemetry = Telemetry(meters, clock)

        def halted() -> list[str]:
            clock.at = Instant(clock.at + 2 * int(READY_SHOWN_S * SECOND))
            return list(telemetry.receipts_halted())

        with own_meters(tmp_path, 1) as its_meters:
            its = Telemetry(its_meters, clock)
            its.observe(ReceiptsHalted("held"))
            its.observe(ReceiptsHalted("held", over=True))
            assert halted() == []
            its.observe(ReceiptsHalted("full"))
            assert telemetry.receipts_halted() == []
            assert halted() == ["full"]
            assert sample(telemetry, "littoral_receipts_halted", reason="full") == 1
        assert halted() == []


def test_more_models_than_there_is_room_for_are_counted_as_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(meters, "METERS_BYTES_MAX", 32 * 1024)
    telemetry = fresh()
    for number in range(200):
        telemetry.observe(FirstToken(ModelName(f"model-{number}"), 0.2))
    name = "gen_ai_server_time_to_first_token_seconds_count"
    assert sample(telemetry, name, gen_ai_request_model="model-0") == 1
    others = sample(telemetry, name, gen_ai_request_model="other") or 0
    shown = [
        each.value
        for family in text_string_to_metric_families(told(telemetry))
        for each in family.samples
        if each.name == name
    ]
    assert others > 50
    assert sum(shown) == 200
    telemetry.observe(ended(1.0))
    assert "littoral_requests_total{" in told(telemetry)


def test_no_metric_has_a_label_for_keys() -> None:
    labels = {label for each in METERED for label in each.labels}
    assert not {label for label in labels if "key" in label or "text" in label}
    assert {each.form for each in METERED} == set(Form)


def test_reuse_by_meaning_is_counted_with_what_could_be_served_apart() -> None:
    telemetry = fresh()
    telemetry.observe(ReuseJudged(M, "explored", shadow=True))
    telemetry.observe(ReuseChecked(M, right=False, certified=True, shadow=True))
    text = told(telemetry)
    assert 'littoral_reuse_total{model="m",outcome="explored",shadow="true"} 1.0' in text
    labels = 'certified="true",model="m",right="false",shadow="true"'
    assert f"littoral_reuse_checks_total{{{labels}}} 1.0" in text


def test_what_is_seen_of_other_pops_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    telemetry, pop = fresh(), PopId("pop-0123456789abcdef")
    site = SiteName("attic")
    telemetry.observe(PopSeen(pop, OwnerId("own-0000000000000001"), ZoneName("eu"), site))
    telemetry.observe(PopChanged(pop, site, (M,)))
    telemetry.observe(PopGone(pop, "left"))
    telemetry.observe(PopBack(pop))
    telemetry.observe(RecordRejected("state/\n", "signature", 3))
    for change in ("seen", "changed", "gone", "back"):
        assert sample(telemetry, "littoral_fabric_pop_changes_total", change=change) == 1
    for size_bytes in (600, 500):
        telemetry.observe(RecordSaid("state", size_bytes))
    assert sample(telemetry, "littoral_fabric_said_bytes_total", kind="state") == 1_100
    name = "littoral_fabric_records_rejected_total"
    assert sample(telemetry, name, reason="signature") == 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert not any("\n" in record.getMessage() for record in caplog.records)
