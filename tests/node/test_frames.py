"""What workers of a PoP say to each other about an answer."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.adapters.http.words import MalformedError
from littoral.node.relay.frames import Frames, Letter, error_of, frame, refused
from littoral.terms.errors import InternalError, RateLimitedError, UpstreamFailedError

LETTERS = st.sampled_from([Letter.BEGUN, Letter.DATA, Letter.ENDED, Letter.WHOLE, Letter.FAILED])


@given(st.lists(st.tuples(LETTERS, st.binary(max_size=50))), st.lists(st.integers(0, 400)))
def test_frames_are_the_same_however_their_bytes_are_cut(
    said: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    data = b"".join(frame(*each) for each in said)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    frames = Frames()
    pieces = [data[a:b] for a, b in pairwise(places)]
    assert [each for piece in pieces for each in frames.feed(piece)] == said


def test_a_frame_longer_than_any_answer_is_refused() -> None:
    with pytest.raises(MalformedError):
        list(Frames().feed(Letter.DATA + b"\xff\xff\xff\xff"))


@pytest.mark.parametrize("kind", [UpstreamFailedError, RateLimitedError])
def test_an_error_arrives_as_it_was(kind: type[UpstreamFailedError | RateLimitedError]) -> None:
    error = kind(
        "no", advice="do", param="model", retry_after_s=2.5, details={"upstream": {"status": 7}}
    )
    ((letter, payload),) = Frames().feed(refused(error))
    assert letter == Letter.FAILED
    told = error_of(payload)
    assert type(told) is kind
    assert vars(told) == vars(error)


def test_an_error_of_no_known_code_is_ours() -> None:
    ((_, payload),) = Frames().feed(refused(UpstreamFailedError("no")))
    assert isinstance(error_of(payload.replace(b"upstream_failed", b"unheard_of")), InternalError)
