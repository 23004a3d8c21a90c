"""Bodies that are small to send and large to read, and bodies that can be read in two ways."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests.hardening.ambiguous import h11_sees
from tests.hardening.neighbours import undisturbed
from tests.hardening.pops import CALLS, HardPop, body_of, check_error, hard_pop
from tests.hardening.upstreams import upstream

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("bombs")) as running:
        yield running


def beside(call: str, more: bytes, model: str = "echo") -> bytes:
    """The body of a call with more members, as they stand."""
    return body_of(call, model)[:-1] + b"," + more + b"}"


MILLION = 1_000_000
BOMBS = {
    "deep lists": b'"x":' + b"[" * MILLION + b"]" * MILLION,
    "deep objects": b'"x":' + b'{"a":' * MILLION + b"1" + b"}" * MILLION,
    "a number of a million digits": b'"x":' + b"9" * MILLION,
    "lists that never end": b'"x":' + b"[" * 5 * MILLION,
    "just too deep": b'"x":' + b"[" * 80 + b"]" * 80,
    "many empty objects": b'"x":[' + b"{}," * 3 * MILLION + b"{}]",
    "many names": b'"x":{' + b",".join(b'"%d":1' % n for n in range(400_000)) + b"}",
    "one name many times": b",".join([b'"x":1'] * 400_000),
    "many numbers": b'"x":[' + b"1," * 8 * MILLION + b"1]",
    "many strings": b'"x":[' + b'"",' * 6 * MILLION + b'""]',
    "numbers that are slow to read": b'"x":[' + b"1e308," * MILLION + b"1]",
    "long whole numbers": b'"x":[' + (b"9" * 4000 + b",") * 4000 + b"1]",
    "nested and wide": b'"x":[' + b"[[]]," * 3 * MILLION + b"[]]",
}
"""Too much to read: each is refused before it is."""

HEAVY = {
    "a number of sixty thousand digits": b'"x":' + b"9" * 60_000,
    "a fraction of sixty thousand digits": b'"x":0.' + b"9" * 60_000,
    "an exponent over all bounds": b'"x":1e' + b"9" * 1000,
    "a long string": b'"x":"' + b"a" * 8 * MEGABYTE + b'"',
    "a string of escapes": b'"x":"' + b"\\u0041" * MEGABYTE + b'"',
    "a string of brackets": b'"x":"' + b"[{" * 4 * MEGABYTE + b'"',
    "spaces": b" " * 16 * MEGABYTE + b'"x":1',
    "a long name": b'"' + b"x" * 8 * MEGABYTE + b'":1',
}
"""Much, and within bounds: taken or refused, in bounded time and memory."""


@pytest.mark.parametrize("name", BOMBS)
async def test_too_much_json_is_refused_as(pop: HardPop, name: str) -> None:
    with pop.grows_at_most(112 * MEGABYTE):
        async with undisturbed(pop):
            for call in ("chat", "messages"):
                answer = await pop.ask(CALLS[call][0], beside(call, BOMBS[name]))
                assert answer.status == 400
                assert check_error(CALLS[call][0], answer)["code"] == "invalid_request"


@pytest.mark.parametrize("name", HEAVY)
async def test_heavy_json_costs_little(pop: HardPop, name: str) -> None:
    began_s = pop.cpu_s()
    with pop.grows_at_most(192 * MEGABYTE):
        async with undisturbed(pop):
            for call in ("chat", "embedding", "messages"):
                answer = await pop.ask(CALLS[call][0], beside(call, HEAVY[name]))
                assert answer.status in {200, 400}
                if answer.status == 400:
                    check_error(CALLS[call][0], answer)
    assert pop.cpu_s() - began_s < 6


NOT_TEXT = (
    b'"x":"\xff"', b'"x":"\xc3"', b'"x":"\xed\xa0\x80"', b'"x":"\xc0\xaf"', b'"\xff":1',
    b'"x":"\\ud800"', b'"x":"\\udc00\\ud800"', b'"\\ud83d":1', b'"x":{"y":["\\uDEAD"]}',
    b'"x":"\xf8\x88\x80\x80\x80"', b'"x":"\xf4\x90\x80\x80"',
)  # fmt: skip
"""What UTF-8 can't say, in values and in names."""


@pytest.mark.parametrize("call", ["chat", "completion", "embedding", "messages", "responses"])
async def test_text_that_is_none_is_refused(pop: HardPop, call: str) -> None:
    path = CALLS[call][0]
    for more in NOT_TEXT:
        answer = await pop.ask(path, beside(call, more))
        assert answer.status == 400, more
        assert check_error(path, answer)["code"] == "invalid_request"


NOT_JSON = (
    b"", b" ", b"{", b"null", b"[]", b"7", b'"a"', b"{}{}", b'{"a":1}x', b"\xef\xbb\xbf{}",
    b"{'a':1}",
    b'{"a":NaN}', b'{"a":1,}', b'{"a" 1}', b"\x00", b'{"a":"\x00"}', b'{"a":01}', b'{"a":"\n"}',
    '{"a":1}'.encode("utf-16"), b'{"a":-}', b'{"a":1.}', b'{"a":"\\x41"}', b"/**/{}", b'{"a":tru}',
)  # fmt: skip


@pytest.mark.parametrize("call", ["chat", "completion", "embedding", "messages", "responses"])
async def test_a_body_that_is_no_json_object_is_refused(pop: HardPop, call: str) -> None:
    path = CALLS[call][0]
    for body in NOT_JSON:
        answer = await pop.ask(path, body)
        assert answer.status == 400, body
        check_error(path, answer)


def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of which no member is said twice."""
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"an upstream may read {names} in two ways"
    return dict(pairs)


SPELLINGS = (b'"model"', b'"mod\\u0065l"', b'"\\u006dodel"')
"""One name, as readers of JSON see it."""


@pytest.mark.parametrize("call", CALLS)
async def test_what_reaches_an_upstream_has_one_meaning(pop: HardPop, call: str) -> None:
    """A key's policy looks at the model; the upstream must not find another one in the body."""
    path = CALLS[call][0]
    async with upstream() as seen:
        model = pop.add(seen.port).encode()
        given = body_of(call, "PLACE").replace(b'"model": "PLACE"', b'"X":1')
        for first in SPELLINGS:
            for second in SPELLINGS:
                for names in ((model, b"forbidden"), (b"forbidden", model), (model, model)):
                    twice = b'{%b:"%b",%b:"%b",' % (first, names[0], second, names[1])
                    answer = await pop.ask(path, twice + given[1:])
                    assert answer.status in {200, 400, 404}
        other = (
            b'"messages":[]',
            b'"stream":true',
            b'"max_tokens":1',
            b'"n":1',
            b'"input":"z"',
            b'"prompt":"z"',
        )
        for more in other:
            answer = await pop.ask(path, beside(call, more + b"," + more, model.decode()))
            assert answer.status in {200, 400}
    for asked in seen.asked:
        body = json.loads(asked.body, object_pairs_hook=members)
        assert body["model"] == "theirs"
        (whole,) = h11_sees(asked.raw)
        assert whole.ends_at == len(asked.raw)


@pytest.mark.parametrize("call", ["chat", "messages"])
async def test_many_bombs_at_once_are_refused_and_disturb_nobody(pop: HardPop, call: str) -> None:
    bodies = [beside(call, bomb) for bomb in BOMBS.values()]
    with pop.grows_at_most(224 * MEGABYTE):
        async with undisturbed(pop):
            answers = await asyncio.gather(*[pop.ask(CALLS[call][0], body) for body in bodies])
    assert {answer.status for answer in answers} <= {400, 503}
