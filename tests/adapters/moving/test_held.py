"""A mover that can't be dialled gives all the same, over connections that it holds to others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from littoral.adapters.http.words import ConnectFailedError
from littoral.adapters.moving import held
from littoral.adapters.moving.held import Holder
from littoral.adapters.moving.words import Peer, RefusedError
from littoral.adapters.owner import Owner
from littoral.delivery.chunk_set import ChunkSet
from tests.adapters.moving.made import (
    GROUP,
    FileShelf,
    Mover,
    Talk,
    Told,
    a_pop,
    acquainted,
    now,
    until,
)

PIECE = 50_000
DATA = bytes(range(250)) * 4_000

Both = tuple[Mover, Mover, Holder]


@pytest.fixture
async def both(tmp_path: Path, owner: Owner) -> AsyncIterator[Both]:
    """One that is dialled, and one behind a router, which has something."""
    there, hidden = (
        Mover(a_pop(tmp_path / f"pop{number}", owner, number), now()) for number in (1, 2)
    )
    acquainted(there, hidden)
    there.listen()
    there.server.hold = there.client.hold
    hidden.library.shelves[GROUP] = FileShelf.full(tmp_path / "full", DATA, PIECE)
    hidden.library.documents[GROUP, "manifest"] = b"manifest"
    holder = Holder(hidden.access, hidden.server)
    yield there, hidden, holder
    holder.hold(())
    for each in (there, hidden):
        each.close()


def unreachable(mover: Mover) -> Peer:
    return Peer(mover.member, "", 0)


async def document(asks: Mover, of: Mover) -> bytes:
    return await asks.client.document(unreachable(of), GROUP, "manifest", bytes_max=100)


async def test_chunks_documents_and_news_come_from_who_can_not_be_dialled(
    both: Both, tmp_path: Path
) -> None:
    there, hidden, holder = both
    holder.hold([there.at()])
    assert await document(there, hidden) == b"manifest"
    shelf = hidden.library.shelves[GROUP].empty(tmp_path / "empty")
    everything, told = ChunkSet.of(range(len(shelf))), Told()
    there.client.fetch(unreachable(hidden), GROUP, everything, shelf, told)
    await until(lambda: told.ends)
    assert told.ends == [None]
    assert bytes(shelf.data) == DATA
    talk = Talk()
    news = there.client.news(unreachable(hidden), GROUP, talk)
    news.say(b"hello")
    await until(lambda: hidden.library.callers and hidden.library.callers[0].heard)
    assert hidden.library.callers[0].heard == [b"hello"]
    news.drop()
    await until(lambda: hidden.library.callers[0].over)


async def test_as_many_are_opened_as_are_needed_and_no_more(both: Both) -> None:
    there, hidden, holder = both
    holder.hold([there.at()])
    talks = [Talk() for _ in range(10)]
    calls = [there.client.news(unreachable(hidden), GROUP, talk) for talk in talks]
    await until(lambda: len(hidden.library.callers) == len(talks))
    for call in calls:
        call.drop()
    await until(lambda: len(hidden.server.peers) == held._SPARE)
    for _ in range(5):
        assert await document(there, hidden) == b"manifest"
    assert len(hidden.server.peers) <= held._SPARE + 1


async def test_without_one_that_is_held_it_is_told_that_it_can_not_be_dialled(both: Both) -> None:
    there, hidden, holder = both
    with pytest.raises(ConnectFailedError, match="can't be dialled"):
        await document(there, hidden)
    waiting = asyncio.create_task(document(there, hidden))
    await asyncio.sleep(0)
    holder.hold([there.at()])
    assert await waiting == b"manifest", "it had come in time"
    holder.hold(())
    with pytest.raises(ConnectFailedError, match="can't be dialled"):
        await document(there, hidden)
    assert not hidden.server.peers


async def test_where_the_other_begins_anew_they_are_held_again(both: Both) -> None:
    there, hidden, holder = both
    holder.hold([there.at()])
    assert await document(there, hidden) == b"manifest"
    there.client.close()
    assert await document(there, hidden) == b"manifest"


async def test_who_is_not_let_in_is_neither_asked_nor_answered(
    both: Both, tmp_path: Path, owner: Owner
) -> None:
    there, hidden, holder = both
    holder.hold([there.at()])
    assert await document(there, hidden) == b"manifest"
    hidden.access.allow(())
    hidden.server.looked()
    with pytest.raises(ConnectFailedError):
        await document(there, hidden)
    hidden.access.allow([there.member.name])
    there.access.allow([there.member.name])
    with pytest.raises(ConnectFailedError, match="list of those let in"):
        await document(there, hidden)


async def test_who_takes_none_is_asked_again_with_pauses(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "_PAUSE_S", 0.01)
    there, hidden, holder = both
    there.server.hold = None
    holder.hold([there.at()])
    await until(lambda: holder._places[there.at()].pause_s > 0.03)
    assert not hidden.server.peers
    there.server.hold = there.client.hold
    assert await document(there, hidden) == b"manifest"
    with pytest.raises(RefusedError):
        await there.client.document(unreachable(hidden), GROUP, "claims", bytes_max=100)
