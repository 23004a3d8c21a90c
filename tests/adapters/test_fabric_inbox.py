"""The inbox and presence: what comes on any thread is heard on the loop, bounded and made one."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from littoral.adapters.fabric.inbox import Inbox
from littoral.adapters.fabric.presence import Presence
from littoral.terms import limits
from littoral.terms.heard import Gone, Heard, Here, Said
from littoral.terms.ids import PopId

POP = PopId("pop-1")


class Hearing:
    def __init__(self) -> None:
        self.calls: list[Sequence[Heard]] = []
        self.inbox = Inbox(asyncio.get_running_loop(), self.calls.append)

    async def heard(self) -> list[Heard]:
        """All that is waiting is heard in the next turn of the loop."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        heard = [each for call in self.calls for each in call]
        self.calls.clear()
        return heard


async def test_the_latest_of_each_key_is_heard_in_one_call() -> None:
    hearing = Hearing()

    def bring() -> None:
        for number in range(100):
            hearing.inbox.put("a", Said("a", b"%d" % number))
            hearing.inbox.put("b", Said("b", b"%d" % number))

    thread = threading.Thread(target=bring)
    thread.start()
    thread.join()
    assert await hearing.heard() == [Said("a", b"99"), Said("b", b"99")]
    hearing.inbox.put("a", Said("a", b"new"))
    await asyncio.sleep(0)
    assert hearing.calls == [[Said("a", b"new")]]


async def test_of_too_much_the_oldest_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("littoral.adapters.fabric.inbox.FABRIC_INBOX_BYTES_MAX", 3000)
    hearing = Hearing()
    for number in range(10):
        hearing.inbox.put(str(number), Said(str(number), bytes(1000)))
    hearing.inbox.put("9", Said("9", b""))
    assert [each.topic for each in await hearing.heard() if isinstance(each, Said)] == ["8", "9"]


async def test_nothing_is_heard_once_it_is_closed() -> None:
    hearing = Hearing()
    hearing.inbox.put("a", Said("a", b""))
    hearing.inbox.close()
    hearing.inbox.put("b", Said("b", b""))
    assert await hearing.heard() == []


async def test_a_pop_is_here_while_any_session_of_it_is_seen_by_any_of_ours() -> None:
    hearing = Hearing()
    presence = Presence(hearing.inbox)
    presence.seen(POP, ("old", "one"))
    presence.seen(POP, ("new", "one"))
    presence.seen(POP, ("new", "two"))
    presence.lost(POP, ("new", "one"))
    presence.left("old")
    assert await hearing.heard() == [Here(POP)]
    assert presence.of("new") == {POP}
    assert presence.of("old") == frozenset()
    presence.lost(POP, ("new", "one"))
    assert await hearing.heard() == []
    presence.lost(POP, ("new", "two"))
    assert await hearing.heard() == [Gone(POP)]
    assert not presence.is_seen(POP, ("new", "two"))


async def test_tokens_that_anybody_may_make_up_are_bounded() -> None:
    presence = Presence(Hearing().inbox)
    for number in range(4 * limits.FLEET_POPS_MAX):
        presence.seen(PopId(str(number)), ("ours", "theirs"))
    for number in range(100):
        presence.seen(PopId("0"), ("ours", str(number)))
    assert len(presence.of("ours")) == 2 * limits.FLEET_POPS_MAX
    assert not presence.is_seen(PopId("0"), ("ours", "99"))
