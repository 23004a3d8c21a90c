"""Digests of an exchange: of exact bytes, and of the text in them."""

import hashlib
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.terms.ids import Digest
from littoral.terms.limits import RECEIPT_TEXT_PARTS_MAX, RECEIPT_UNREAD_BYTES_MAX
from littoral.trust.digests import AnswerDigests, Digests, KnownTexts, WholeDigests
from tests.trust.made import REQUEST, SALT, STREAM, delta, event


def taken(api: str, *pieces: bytes) -> Digests:
    digests = AnswerDigests(salt=SALT, api=api, request=REQUEST)
    for piece in pieces:
        digests.sent(piece)
    return digests.finish()


def taken_whole(api: str, response: bytes, known: KnownTexts | None = None) -> Digests:
    digests = WholeDigests(salt=SALT, api=api, request=REQUEST, known=known)
    digests.sent(response)
    return digests.finish()


def by_hand(data: bytes) -> Digest:
    return Digest("sha256:" + hashlib.sha256(SALT + data).hexdigest())


def named_event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\n".encode() + event({"type": kind, **fields})


MESSAGES_STREAM = (
    named_event("message_start", message={"content": []})
    + named_event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + named_event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Par"})
    + named_event("ping")
    + named_event("content_block_delta", index=0, delta={"type": "text_delta", "text": "is."})
    + named_event(
        "content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": "{"}
    )
    + named_event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2})
    + named_event("message_stop")
)
RESPONSES_STREAM = (
    named_event("response.created", response={"output": []})
    + named_event("response.output_text.delta", output_index=0, content_index=0, delta="Paris")
    + named_event("response.other.delta", output_index=1, delta={"not": "a text"})
    + named_event("response.output_text.delta", output_index=0, content_index=0, delta=".")
    + named_event("response.completed", response={"output": []})
)
STREAMS = {
    "chat.completions": STREAM,
    "completions": event({"choices": [{"index": 0, "text": "Par"}]})
    + event({"choices": [{"index": 0, "text": "is."}]}),
    "messages": MESSAGES_STREAM,
    "responses": RESPONSES_STREAM,
}
BODIES = {
    "chat.completions": {"choices": [{"index": 0, "message": {"content": "Paris."}}]},
    "completions": {"choices": [{"index": 0, "text": "Paris."}]},
    "messages": {"content": [{"type": "text", "text": "Paris."}, {"type": "tool_use", "id": "1"}]},
    "responses": {"output": [{"content": [{"type": "output_text", "text": "Paris."}]}, {}]},
}


def test_request_and_response_are_hashed_byte_for_byte_under_the_salt() -> None:
    digests = taken("chat.completions", STREAM)
    assert digests.request == by_hand(REQUEST)
    assert digests.response == by_hand(STREAM)
    assert digests.response_bytes == len(STREAM)


@pytest.mark.parametrize("api", STREAMS)
def test_the_text_is_what_a_person_reads_whether_streamed_or_whole(api: str) -> None:
    assert taken(api, STREAMS[api]).text == by_hand(b"Paris.")
    assert taken(api, json.dumps(BODIES[api], indent=1).encode()).text == by_hand(b"Paris.")


@pytest.mark.parametrize("api", STREAMS)
@given(cuts=st.lists(st.integers(0, 900), max_size=12))
def test_digests_do_not_depend_on_how_the_bytes_were_cut(api: str, cuts: list[int]) -> None:
    for whole in (STREAMS[api], json.dumps(BODIES[api]).encode()):
        edges = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
        pieces = [whole[start:end] for start, end in pairwise(edges)]
        assert taken(api, *pieces) == taken(api, whole)


@given(pieces=st.lists(st.text(max_size=300), max_size=60), size=st.integers(1, 6000))
def test_a_long_stream_has_the_digests_of_its_whole_however_it_was_cut(
    pieces: list[str], size: int
) -> None:
    stream = b"".join(map(delta, pieces)) + b"data: [DONE]\n\n"
    cut = [stream[start : start + size] for start in range(0, len(stream), size)]
    digests = taken("chat.completions", *cut)
    assert digests == taken("chat.completions", stream)
    assert digests.text == by_hand("".join(pieces).encode())
    assert digests.response == by_hand(stream)


def test_several_choices_have_the_digest_of_their_digests_in_order() -> None:
    mixed = delta("b", 1) + delta("a", 0) + delta("B", 1)
    parts = (hashlib.sha256(SALT + text).digest() for text in (b"a", b"bB"))
    assert taken("chat.completions", mixed).text == by_hand(b"".join(parts))


def test_an_answer_without_text_has_the_digest_of_the_empty_text() -> None:
    call = event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0}]}}]})
    assert taken("chat.completions", call).text == by_hand(b"")
    assert taken("chat.completions").text is None


@pytest.mark.parametrize(
    ("api", "response"),
    [
        ("embeddings", b'{"data":[]}'),
        ("chat.completions", b"data: {not json}\n\n"),
        ("chat.completions", b'{"choices":[{"index":0,"message":'),
        ("chat.completions", event({"choices": "none"})),
        ("chat.completions", b"".join(delta("x", n) for n in range(RECEIPT_TEXT_PARTS_MAX + 1))),
        ("chat.completions", b"data: " + b"x" * RECEIPT_UNREAD_BYTES_MAX),
    ],
    ids=["no text", "not JSON", "cut off", "another shape", "too many parts", "too long a line"],
)
def test_a_response_that_cannot_be_read_has_no_text_digest(api: str, response: bytes) -> None:
    digests = taken(api, response)
    assert digests.text is None
    assert digests.response == by_hand(response)
    assert taken_whole(api, response) == digests


@pytest.mark.parametrize("api", STREAMS)
def test_an_answer_in_one_piece_and_given_again_has_the_same_digests(api: str) -> None:
    known = KnownTexts()
    for response in (STREAMS[api], json.dumps(BODIES[api]).encode()):
        assert taken_whole(api, response) == taken(api, response)
        for _ in range(2):
            assert taken_whole(api, response, known) == taken(api, response)


def test_the_same_bytes_of_another_api_are_read_anew() -> None:
    known = KnownTexts()
    body = json.dumps(BODIES["messages"]).encode()
    assert taken_whole("messages", body, known).text == by_hand(b"Paris.")
    assert taken_whole("chat.completions", body, known).text == by_hand(b"")


def test_what_is_remembered_of_answers_given_again_is_bounded() -> None:
    answers = [json.dumps({"choices": [{"text": f"{n}" * 100}]}).encode() for n in range(9)]
    size = len(answers[0]) + 100
    known = KnownTexts(bytes_max=3 * size)
    for answer in answers * 2:
        assert taken_whole("completions", answer, known) == taken("completions", answer)
        assert 0 < known.size_bytes <= 3 * size
    longer = json.dumps({"choices": [{"text": "long" * 3 * size}]}).encode()
    assert taken_whole("completions", longer, known) == taken("completions", longer)
    assert known.size_bytes <= 3 * size
