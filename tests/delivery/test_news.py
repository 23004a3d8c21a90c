"""News survives its way over a link, and whatever is not news does not get in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.delivery.chunk_set import ChunkSet
from littoral.delivery.news import Deal, News, Table, decoded, encoded
from littoral.terms.ids import PopId
from littoral.terms.limits import NEWS_BYTES_MAX

POP = PopId("pop-0123456789abcdef")
FULL = News(
    uplink=12_500_000,
    holds=ChunkSet.of([0, 7, 99]).encoded(),
    gained=((1, 2), (50, 60)),
    lost=((7, 8),),
    wrong=((7, 8),),
    hunger=1 << 20,
    heard=(3, 17),
    table=Table(epoch=3, number=18, deals=(Deal(10, 20, POP),), whole=True),
)


def test_news_comes_back_from_its_line() -> None:
    assert decoded(encoded(FULL), 100) == FULL
    assert decoded(encoded(News()), 1) == News()
    assert b"\n" not in encoded(FULL)


def test_news_without_anything_new_is_short() -> None:
    assert encoded(News()) == b"{}"


@pytest.mark.parametrize(
    "news",
    [
        News(gained=((5, 5),)),
        News(gained=((6, 5),)),
        News(lost=((90, 101),)),
        News(wrong=((90, 101),)),
        News(table=Table(0, 1, (Deal(99, 101, POP),))),
        News(holds=ChunkSet.of([100]).encoded()),
        News(holds=b"\x01\x00"),
        News(uplink=-1),
        News(hunger=1 << 60),
        News(table=Table(0, 1, (Deal(0, 1, PopId("somebody")),))),
        News(gained=((0, 1),) * 5_000),
    ],
)
def test_what_no_pop_would_say_is_refused(news: News) -> None:
    with pytest.raises(ValueError, match="news"):
        decoded(encoded(news), 100)


def test_a_line_that_is_too_long_is_not_read() -> None:
    with pytest.raises(ValueError, match="at most"):
        decoded(b" " * (NEWS_BYTES_MAX + 1), 100)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_garbage_is_refused_in_words(line: bytes) -> None:
    refused = None
    try:
        news = decoded(line, 100)
    except ValueError as error:
        refused = error
    if refused is None:
        assert decoded(encoded(news), 100) == news
    else:
        assert "news" in str(refused)
