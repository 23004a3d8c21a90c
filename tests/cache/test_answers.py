"""What the cache keeps, and how people name it."""

import pytest

from littoral.cache.answers import answer_key_of, tags_of
from littoral.terms.errors import BadRequestError
from littoral.terms.limits import CACHE_TAG_CHARS_MAX, CACHE_TAGS_MAX


def test_tags_are_read_from_one_field() -> None:
    assert tags_of(None) == ()
    assert tags_of("b, a,b") == ("a", "b")
    assert tags_of("release:2025-11") == ("release:2025-11",)


@pytest.mark.parametrize(
    "field",
    [
        "a,,b",
        "two words",
        "naïve",
        "a\x1fb",
        "a" * (CACHE_TAG_CHARS_MAX + 1),
        ",".join(map(str, range(CACHE_TAGS_MAX + 1))),
    ],
)
def test_a_tag_that_can_not_be_kept_is_refused(field: str) -> None:
    with pytest.raises(BadRequestError):
        tags_of(field)


def test_a_key_is_written_in_hexadecimal() -> None:
    assert answer_key_of("AB" * 20) == b"\xab" * 20
    for text in ("", "ab", "zz" * 20, "ab" * 21):
        with pytest.raises(BadRequestError, match="not the key of an answer"):
            answer_key_of(text)
