"""Failures: whose fault an answer is."""

import pytest

from littoral.routing.failures import Cause, Failure, breakage, failure_of_status


@pytest.mark.parametrize("status", [400, 402, 405, 409, 413, 415, 422, 431])
def test_a_4xx_is_the_callers_and_ends_the_request(status: int) -> None:
    failure = failure_of_status(status)
    assert failure.cause is Cause.CALLER
    assert failure.final
    assert breakage(failure) == 0


@pytest.mark.parametrize("status", [403, 404])
def test_what_a_client_may_have_brought_about_is_no_breakage(status: int) -> None:
    failure = failure_of_status(status)
    assert breakage(failure) == 0
    assert failure.lasting
    assert not failure.final


def test_a_rejected_key_is_breakage_for_only_we_send_it() -> None:
    assert breakage(failure_of_status(401)) == 1


@pytest.mark.parametrize(("status", "after"), [(429, None), (429, 3.0), (503, 3.0), (529, None)])
def test_a_limit_is_no_breakage(status: int, after: float | None) -> None:
    failure = failure_of_status(status, after)
    assert failure.cause is Cause.LIMITED
    assert breakage(failure) == 0
    assert not failure.lasting


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_server_that_fails_is_breakage_and_worth_another_try(status: int) -> None:
    failure = failure_of_status(status)
    assert failure.outcome == "5xx"
    assert breakage(failure) == 1
    assert not failure.final


@pytest.mark.parametrize("status", [100, 204, 302, 600])
def test_what_is_no_answer_is_malformed(status: int) -> None:
    assert failure_of_status(status).cause is Cause.MALFORMED


def test_a_failure_says_what_happened_without_the_targets_words() -> None:
    assert Failure(Cause.CONNECT_TIMEOUT).words() == "connect timeout"
    assert failure_of_status(500).words() == "answered 500"
    assert failure_of_status(429, 7).words() == "answered 429, to be asked again in 7 s"
