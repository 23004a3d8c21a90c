"""Which of the PoPs that it remembers a PoP dials, and what it does where those are gone."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from littoral.adapters.fabric import FabricPlace, names
from tests.fabric_made import Pop
from tests.fabric_stand import RealStand

FILES = Path("chain"), Path("key"), Path("roots")
KNOWN = tuple(f"10.0.0.{number}:7402" for number in range(1, 6))


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[RealStand]:
    made = RealStand(tmp_path / "owner")
    yield made
    await made.end()


@pytest.fixture
def deaf() -> Iterator[tuple[str, ...]]:
    """Addresses at which nobody answers."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        yield tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)


def test_all_seeds_are_dialled_and_few_of_those_that_are_known() -> None:
    place = FabricPlace("127.0.0.1", 7402, *FILES, seeds=KNOWN[:1], known=KNOWN)
    assert place.dialled == tuple(f"tls/{each}" for each in KNOWN[:3])
    place = replace(place, seeds=KNOWN[:4])
    assert place.dialled == tuple(f"tls/{each}" for each in KNOWN[:4])


def test_who_is_to_dial_all_does_and_so_does_who_cant_be_dialled() -> None:
    place = FabricPlace("127.0.0.1", 7402, *FILES, known=KNOWN)
    every = tuple(f"tls/{each}" for each in KNOWN)
    assert replace(place, dials_all=True).dialled == every
    assert replace(place, listens=False).dialled == every


async def test_where_those_that_are_dialled_are_gone_all_others_are(
    stand: RealStand, deaf: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "FABRIC_FEW_S", 0.3)
    one = await stand.start(1)
    (seed,) = stand.place(Pop(2)).seeds
    place = replace(stand.place(Pop(2)), seeds=(), known=(*deaf, seed))
    assert f"tls/{seed}" not in place.dialled
    two = await stand.start(2, place=place)
    await stand.until(lambda: one.sees(two.pop) and two.sees(one.pop))
