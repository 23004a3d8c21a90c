"""News goes both ways as it is said; documents and files come whole or in spans."""

from pathlib import Path

import pytest

from littoral.adapters.http.words import (
    ConnectFailedError,
    ConnectionLostError,
    MalformedError,
    WaitedTooLongError,
)
from littoral.adapters.moving.heads import span_of
from littoral.adapters.moving.words import RefusedError
from littoral.terms.limits import DELIVERY_NEWS_BYTES_MAX, DELIVERY_NEWS_LINE_BYTES_MAX
from tests.adapters.moving.made import GROUP, Mover, Talk, until
from tests.adapters.moving.test_odd_peers import caller, hurried, impostor, left, saying

__all__ = ["hurried"]

Pair = tuple[Mover, Mover]

FILE = bytes(range(256)) * 1_000


async def test_news_goes_both_ways_in_order(pair: Pair) -> None:
    one, two = pair
    talk = Talk()
    news = two.client.news(one.at(), GROUP, talk)
    news.say(b"early")
    await until(lambda: one.library.callers)
    there = one.library.callers[0]
    for number in range(50):
        news.say(b"%d" % number)
        there.say(b"-%d" % number)
    long = b"x" * DELIVERY_NEWS_LINE_BYTES_MAX
    there.say(long)
    news.say(b"last")
    await until(lambda: b"last" in there.heard and long in talk.heard)
    assert there.heard == [b"early", *(b"%d" % number for number in range(50)), b"last"]
    assert talk.heard == [*(b"-%d" % number for number in range(50)), long]
    news.drop()
    await until(lambda: there.over)
    assert not talk.over
    there.say(b"to nobody")


async def test_both_ends_learn_that_the_other_has_gone(pair: Pair) -> None:
    one, two = pair
    talk = Talk()
    news = two.client.news(one.at(), GROUP, talk)
    await until(lambda: one.library.callers)
    one.server.close()
    await until(lambda: talk.over)
    assert isinstance(talk.over[0], ConnectionLostError)
    news.say(b"to nobody")
    assert one.library.callers[0].over


async def test_news_that_is_not_wanted_is_refused(pair: Pair) -> None:
    one, two = pair
    one.library.takes_news = False
    talk = Talk()
    two.client.news(one.at(), GROUP, talk)
    await until(lambda: talk.over)
    assert isinstance(talk.over[0], RefusedError)


@pytest.mark.usefixtures("hurried")
async def test_silence_is_filled_with_signs_of_life_and_ends_where_there_are_none(
    pair: Pair,
) -> None:
    one, two = pair
    talk, other = Talk(), Talk()
    two.client.news(one.at(), GROUP, talk)
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with impostor(one, saying(head)) as silent:
        two.client.news(silent, GROUP, other)
        await until(lambda: other.over)
    assert isinstance(other.over[0], WaitedTooLongError)
    assert not talk.over
    assert not talk.heard
    async with caller(one, two) as (reader, writer):
        writer.write(b"POST /v1/delivery/%b/news HTTP/1.1\r\nhost: a\r\n" % GROUP.encode())
        writer.write(b"transfer-encoding: chunked\r\n\r\n")
        assert (await left(reader)).startswith(head[:15])
    assert isinstance(one.library.callers[-1].over[0], WaitedTooLongError)


async def test_a_line_without_an_end_is_refused(pair: Pair) -> None:
    one, two = pair
    async with caller(one, two) as (reader, writer):
        writer.write(b"POST /v1/delivery/%b/news HTTP/1.1\r\nhost: a\r\n" % GROUP.encode())
        writer.write(b"transfer-encoding: chunked\r\n\r\n")
        size = DELIVERY_NEWS_LINE_BYTES_MAX + 1
        writer.write(b"%x\r\n" % size + bytes([65]) * size)
        await left(reader)
    assert isinstance(one.library.callers[0].over[0], MalformedError)


async def test_a_peer_that_takes_no_news_is_given_up(pair: Pair) -> None:
    one, two = pair
    talk = Talk()
    news = two.client.news(one.at(), GROUP, talk)
    await until(lambda: one.library.callers)
    line = b"x" * DELIVERY_NEWS_LINE_BYTES_MAX
    for _ in range(DELIVERY_NEWS_BYTES_MAX // len(line) + 4):  # the loop sends nothing meanwhile
        news.say(line)
    assert isinstance(talk.over[0], ConnectionLostError)


async def test_documents_come_whole_and_in_spans(pair: Pair) -> None:
    one, two = pair
    one.library.documents = {
        (GROUP, "manifest"): b"{}",
        (GROUP, "claims"): b"[]",
        (GROUP, "files/3"): FILE,
    }
    ask = two.client.document
    assert await ask(one.at(), GROUP, "manifest", bytes_max=2) == b"{}"
    assert await ask(one.at(), GROUP, "claims", bytes_max=2) == b"[]"
    assert await ask(one.at(), GROUP, "files/3", bytes_max=1 << 20) == FILE
    span = (1_000, 200_000)
    part = await ask(one.at(), GROUP, "files/3", bytes_max=1 << 20, span=span)
    assert part == FILE[1_000:200_000]
    assert len(one.server.peers) == 1


async def test_what_can_not_be_given_is_refused(pair: Pair) -> None:
    one, two = pair
    one.library.documents = {(GROUP, "files/3"): FILE}
    for name, options, status in (
        ("manifest", {}, 404),
        ("elsewhere", {}, 404),
        ("files/3", {"span": (len(FILE), len(FILE) + 1)}, 416),
    ):
        with pytest.raises(RefusedError) as refused:
            await two.client.document(one.at(), GROUP, name, bytes_max=1 << 20, **options)
        assert refused.value.status == status
    with pytest.raises(MalformedError, match="bounds"):
        await two.client.document(one.at(), GROUP, "files/3", bytes_max=1_000)
    with pytest.raises(MalformedError, match="another span"):
        await two.client.document(
            one.at(), GROUP, "files/3", bytes_max=1 << 20, span=(0, len(FILE) + 9)
        )
    two.access.allow([])
    with pytest.raises(ConnectFailedError):
        await two.client.document(one.at(), GROUP, "files/3", bytes_max=1 << 20)


async def test_a_foreign_client_may_ask_for_the_head_alone(pair: Pair, tmp_path: Path) -> None:
    one, two = pair
    one.library.documents = {(GROUP, "files/0"): FILE}
    async with caller(one, two) as (reader, writer):
        writer.write(b"HEAD /v1/delivery/%b/files/0 HTTP/1.1\r\n" % GROUP.encode())
        writer.write(b"host: a\r\nconnection: close\r\n\r\n")
        said = await left(reader)
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 256000\r\n" in said
    assert said.endswith(b"\r\n\r\n")
    async with caller(one, two) as (reader, writer):
        writer.write(b"PUT /v1/delivery/%b/files/0 HTTP/1.1\r\n" % GROUP.encode())
        writer.write(b"host: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        assert (await left(reader)).startswith(b"HTTP/1.1 405 ")


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=90-", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes=50-1000", (50, 100)),
        ("bytes=100-", None),
        ("bytes=-0", None),
        ("bytes=9-3", (0, 100)),
        ("bytes=-", (0, 100)),
        ("bytes=0-1,5-6", (0, 100)),
        ("lines=0-1", (0, 100)),
    ],
)
def test_ranges_mean_what_they_say(value: str, span: tuple[int, int] | None) -> None:
    assert span_of(value, 100) == span
