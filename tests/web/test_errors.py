"""An error is said in the words that each API's clients decide by."""

import json
from math import inf

import pytest

from littoral.terms import errors
from littoral.terms.errors import (
    BadRequestError,
    BodyTooLargeError,
    BudgetExhaustedError,
    ContextLengthError,
    DrainingError,
    EngineLostError,
    InternalError,
    KeyMissingError,
    LittoralError,
    LoadingError,
    MethodNotAllowedError,
    NotAllowedError,
    QueueFullError,
    RateLimitedError,
    UnknownModelError,
    UpstreamTimeoutError,
)
from littoral.web.errors import Shape, error_answer, error_event, shape_of

LEAVES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type)
    and issubclass(value, LittoralError)
    and value not in (ContextLengthError, LittoralError)
]


@pytest.mark.parametrize(
    ("error", "status", "openai", "anthropic"),
    [
        (BadRequestError("x"), 400, "invalid_request_error", "invalid_request_error"),
        (KeyMissingError("x"), 401, "authentication_error", "authentication_error"),
        (NotAllowedError("x"), 403, "permission_error", "permission_error"),
        (UnknownModelError("x"), 404, "not_found_error", "not_found_error"),
        (BodyTooLargeError("x"), 413, "invalid_request_error", "request_too_large"),
        (RateLimitedError("x"), 429, "rate_limit_error", "rate_limit_error"),
        (BudgetExhaustedError("x"), 429, "insufficient_quota", "rate_limit_error"),
        (QueueFullError("x"), 503, "server_error", "overloaded_error"),
        (LoadingError("x"), 503, "server_error", "overloaded_error"),
        (DrainingError("x"), 503, "server_error", "overloaded_error"),
        (InternalError("x"), 500, "server_error", "api_error"),
        (EngineLostError("x"), 503, "server_error", "api_error"),
        (UpstreamTimeoutError("x"), 504, "server_error", "api_error"),
    ],
    ids=lambda value: value.code if isinstance(value, LittoralError) else None,
)
def test_status_and_type_are_the_apis_own_words(
    error: LittoralError, status: int, openai: str, anthropic: str
) -> None:
    for shape, word in ((Shape.OPENAI, openai), (Shape.ANTHROPIC, anthropic)):
        said, _, body = error_answer(error, shape)
        assert (said, json.loads(body)["error"]["type"]) == (status, word)


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_every_error_has_a_code_a_message_and_a_fault_in_both_shapes(
    leaf: type[LittoralError],
) -> None:
    for shape in Shape:
        _, headers, body = error_answer(leaf("what happened"), shape, "req_1")
        error = json.loads(body)["error"]
        assert headers["content-type"] == "application/json"
        assert error["code"] == leaf.code
        assert error["message"].startswith("what happened")
        assert error["fault"] in ("caller", "peer", "operator", "node")


def test_openai_errors_name_the_field_at_fault_and_carry_the_counts() -> None:
    error = ContextLengthError(prompt_tokens=9000, context_tokens=8192)
    _, _, body = error_answer(error, Shape.OPENAI)
    said = json.loads(body)["error"]
    assert said["code"] == "context_length_exceeded"
    assert (said["prompt_tokens"], said["context_tokens"]) == (9000, 8192)
    _, _, body = error_answer(BadRequestError("x", param="model"), Shape.OPENAI)
    assert json.loads(body)["error"]["param"] == "model"


def test_anthropic_errors_carry_the_request_id() -> None:
    _, _, body = error_answer(BadRequestError("x"), Shape.ANTHROPIC, "req_7")
    said = json.loads(body)
    assert (said["type"], said["request_id"]) == ("error", "req_7")


def test_retry_after_is_whole_seconds_rounded_up_and_never_negative() -> None:
    for given_s, said in ((0.2, "1"), (2.0, "2"), (59.01, "60"), (-1.0, "0"), (inf, "86400")):
        _, headers, _ = error_answer(QueueFullError("x", retry_after_s=given_s), Shape.OPENAI)
        assert headers["retry-after"] == said
    assert "retry-after" not in error_answer(QueueFullError("x"), Shape.OPENAI)[1]


@pytest.mark.parametrize("shape", Shape)
def test_words_that_no_text_may_hold_are_replaced(shape: Shape) -> None:
    _, _, body = error_answer(BadRequestError("half a pair: \ud83d"), shape)
    assert json.loads(body)["error"]["message"].startswith("half a pair: ?")


@pytest.mark.parametrize("shape", Shape)
def test_a_limit_says_whose_it_is(shape: Shape) -> None:
    def message(error: LittoralError) -> str:
        return str(json.loads(error_answer(error, shape)[2])["error"]["message"])

    assert "your key's limit" in message(RateLimitedError("x"))
    assert "your key's limit" in message(BudgetExhaustedError("x"))
    assert "this machine's limit" in message(QueueFullError("x"))
    assert "this machine's limit" in message(LoadingError("x"))


def test_a_loading_model_says_its_progress() -> None:
    details: dict[str, object] = {"stage": "reading", "progress": 0.4, "eta_s": 3.0}
    _, _, body = error_answer(LoadingError("x", details=details), Shape.OPENAI)
    assert json.loads(body)["error"]["loading"] == details


def test_a_detail_never_replaces_a_member_of_the_api() -> None:
    details: dict[str, object] = {"code": "mine", "type": "mine", "also": 1}
    for shape in Shape:
        error = json.loads(error_answer(BadRequestError("x", details=details), shape)[2])["error"]
        assert (error["code"], error["also"]) == ("invalid_request", 1)
        assert error["type"] == "invalid_request_error"


def test_who_may_not_come_in_is_told_how_and_a_wrong_method_which_is_right() -> None:
    assert error_answer(KeyMissingError("x"), Shape.OPENAI)[1]["www-authenticate"] == "Bearer"
    error = MethodNotAllowedError("x", details={"allow": ["GET", "HEAD"]})
    assert error_answer(error, Shape.OPENAI)[1]["allow"] == "GET, HEAD"


def test_an_error_event_is_one_event_of_each_apis_kind() -> None:
    openai = error_event(EngineLostError("x"), Shape.OPENAI)
    assert openai.startswith(b'data: {"error":{')
    anthropic = error_event(EngineLostError("x"), Shape.ANTHROPIC, "req_1")
    assert anthropic.startswith(b'event: error\ndata: {"type":"error"')
    for event in (openai, anthropic):
        assert event.endswith(b"\n\n")
        assert event.count(b"\n\n") == 1


@pytest.mark.parametrize(
    ("path", "headers", "shape"),
    [
        ("/v1/messages", {}, Shape.ANTHROPIC),
        ("/v1/messages/count_tokens", {}, Shape.ANTHROPIC),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, Shape.ANTHROPIC),
        ("/v1/models", {}, Shape.OPENAI),
        ("", {}, Shape.OPENAI),
    ],
)
def test_the_shape_follows_the_path_or_the_version_header(
    path: str, headers: dict[str, str], shape: Shape
) -> None:
    assert shape_of(path, headers) is shape
