"""Telemetry: every fact has its number, and streams alone say something of time per token."""

import pytest

from littoral.node.telemetry import Telemetry
from littoral.terms.facts import (
    FirstToken,
    ModelReady,
    ModelUnloaded,
    ReceiptLost,
    RequestEnded,
    RequestRefused,
    ReuseChecked,
    ReuseJudged,
    WorkerDied,
)
from littoral.terms.ids import KeyId, ModelName, ReceiptId
from littoral.terms.values import Finish, Kind, Source, Usage

M = ModelName("m")


def ended(first_token_s: float | None) -> RequestEnded:
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
    )


def told(telemetry: Telemetry) -> str:
    return telemetry.exposition({M: (3, 2)}).decode()


def test_an_exchange_counts_once_with_its_tokens_and_without_its_key() -> None:
    telemetry = Telemetry()
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
    telemetry = Telemetry()
    telemetry.observe(ended(first_token_s))
    name = "gen_ai_server_time_per_output_token_seconds"
    sums = [line for line in told(telemetry).splitlines() if line.startswith(f"{name}_sum")]
    assert sums == ([f'{name}_sum{{gen_ai_request_model="m"}} 0.1'] if count else [])


def test_what_goes_wrong_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    telemetry.observe(ReceiptLost(M, "disk_short"))
    telemetry.observe(WorkerDied(M, -9, 8))
    telemetry.observe(RequestRefused("messages", "machine_overloaded", 503))
    text = told(telemetry)
    assert 'littoral_receipts_lost_total{code="disk_short"} 1.0' in text
    assert 'littoral_requests_lost_total{model="m"} 8.0' in text
    assert 'littoral_requests_refused_total{api="messages",code="machine_overloaded"} 1.0' in text
    assert len(caplog.records) == 3


def test_gauges_say_how_it_is_now() -> None:
    telemetry = Telemetry()
    telemetry.observe(ModelReady(M, 1.0, "build"))
    telemetry.observe(FirstToken(M, 0.2))
    assert 'littoral_model_loaded{model="m"} 1.0' in told(telemetry)
    assert 'littoral_requests_running{model="m"} 3.0' in told(telemetry)
    assert 'littoral_requests_waiting{model="m"} 2.0' in told(telemetry)
    telemetry.observe(ModelUnloaded(M, "idle"))
    assert 'littoral_model_loaded{model="m"} 0.0' in told(telemetry)


def test_reuse_by_meaning_is_counted_with_what_could_be_served_apart() -> None:
    telemetry = Telemetry()
    telemetry.observe(ReuseJudged(M, "explored", shadow=True))
    telemetry.observe(ReuseChecked(M, right=False, certified=True, shadow=True))
    text = told(telemetry)
    assert 'littoral_reuse_total{model="m",outcome="explored",shadow="true"} 1.0' in text
    labels = 'certified="true",model="m",right="false",shadow="true"'
    assert f"littoral_reuse_checks_total{{{labels}}} 1.0" in text
