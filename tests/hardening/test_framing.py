"""Where a request ends: whatever we take, h11 takes too, and ends it at the same byte.

We may be stricter than h11, never more lenient: whoever stands before us may be as lenient as h11
is, and what we would read as a second request there would be one that nobody has checked.
"""

import asyncio
from collections import defaultdict

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from littoral.terms.errors import LittoralError
from littoral.web.arrival import Arrival
from littoral.web.http import HttpBounds, Request, Responder
from tests.hardening.ambiguous import Seen, cut, h11_sees, transmissions
from tests.web.raw import get, post, serving

CUTS = st.lists(st.integers(0, 2000), max_size=12)
BOUNDS = HttpBounds()
CHUNKED = b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def we_see(pieces: list[bytes]) -> list[Seen]:
    """The whole requests that we find, up to the first thing that we refuse."""
    seen: list[Seen] = []
    arrival, used, waiting = Arrival(BOUNDS), 0, b""
    for piece in pieces:
        used += len(piece)
        waiting = piece
        while waiting:
            try:
                rest = arrival.feed(waiting)
            except LittoralError:
                return seen
            if rest is None:
                break
            head = arrival.head
            assert head is not None
            ends_at = used - len(rest)
            seen.append(Seen(head.method, head.path, head.query, arrival.body, ends_at))
            if not head.keep_alive:
                return seen
            arrival, waiting = Arrival(BOUNDS), rest
    return seen


@settings(max_examples=1800, suppress_health_check=[HealthCheck.too_slow])
@given(transmissions(), CUTS)
@example(CHUNKED + b"5 ;a\r\nhello\r\n0\r\n\r\n", [])
@example(CHUNKED + b"0\r\nContent-Length: x\r\n\r\n", [])
@example(CHUNKED + b"0\r\nTransfer-Encoding: gzip\r\n\r\n", [])
def test_what_we_take_h11_takes_and_ends_at_the_same_byte(data: bytes, places: list[int]) -> None:
    ours, theirs = we_see(cut(data, places)), h11_sees(data)
    assert ours == theirs[: len(ours)]


@settings(max_examples=700, suppress_health_check=[HealthCheck.too_slow])
@given(transmissions(), CUTS)
def test_how_the_bytes_were_cut_makes_no_difference(data: bytes, places: list[int]) -> None:
    assert we_see(cut(data, places)) == we_see([data])


@settings(max_examples=100)
@given(st.lists(st.sampled_from([get("/a?b"), post(b"hello", "/c"), post(b"", "/d")]), max_size=9))
def test_what_is_well_formed_is_taken_by_both(requests: list[bytes]) -> None:
    data = b"".join(requests)
    assert len(we_see([data])) == len(h11_sees(data)) == len(requests)


def a_byte_at_a_time(data: bytes) -> list[Seen]:
    return we_see([data[at : at + 1] for at in range(len(data))])


@settings(max_examples=60)
@given(transmissions())
def test_one_byte_at_a_time_makes_no_difference(data: bytes) -> None:
    assert a_byte_at_a_time(data) == we_see([data])


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(transmissions(), CUTS), min_size=1, max_size=16))
async def test_no_handler_gets_a_request_that_h11_does_not_see(
    clients: list[tuple[bytes, list[int]]],
) -> None:
    handled: dict[str, list[Seen]] = defaultdict(list)

    async def note(request: Request, responder: Responder) -> None:
        seen = Seen(request.method, request.path, request.query, request.body, 0)
        handled[request.peer].append(seen)
        await responder.send(200, {}, b"")

    bounds = HttpBounds(head_wait_s=0.02, body_wait_s=0.02, idle_wait_s=0.02, linger_wait_s=0.02)
    async with serving(note, bounds=bounds) as served:

        async def transmit(data: bytes, places: list[int]) -> tuple[str, list[Seen]]:
            client = await served.client()
            host, port = client.writer.get_extra_info("sockname")
            for piece in cut(data, places):
                client.writer.write(piece)
                await asyncio.sleep(0)
            await client.until_closed()
            return f"{host}:{port}", h11_sees(data)

        received = await asyncio.gather(*[transmit(*each) for each in clients])
        assert not served.defects
    for peer, theirs in received:
        ours = handled[peer]
        expected = [Seen(each.method, each.path, each.query, each.body, 0) for each in theirs]
        assert ours == expected[: len(ours)]
