"""TLS between PoPs: both ends are known by name, also while certificates change."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop

from littoral.adapters.owner import Bundle, Checker, FabricFiles, Owner
from littoral.adapters.owner.tls import (
    client_context,
    inviter,
    newcomer_context,
    peer,
    renew,
    server_context,
    trust,
)
from littoral.terms.errors import IdentityError
from littoral.terms.limits import LEAF_S
from tests.adapters.owner.made import SetClock, answer_for, member_of, owner_at, pop_at
from tests.adapters.owner.made import identity as who

NOW_S = SetClock().unix_s


class RealTime(SetClock):
    """OpenSSL asks the machine's clock, so certificates are made by it."""

    def __init__(self) -> None:
        super().__init__()
        self.unix_s = self._random.unix_ns() // 1_000_000_000


@dataclass
class Ends:
    """Both ends of a connection, joined in memory."""

    client: ssl.SSLObject
    server: ssl.SSLObject
    carry: Callable[[], None]
    """Takes what each has written to the other."""

    def say(self, words: bytes) -> bytes:
        self.client.write(words)
        self.carry()
        return self.server.read(1000)


def connected(client: ssl.SSLContext, server: ssl.SSLContext) -> Ends:
    """A handshake.

    Raises:
        ssl.SSLError: one end refused the other.
    """
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()

    def carry() -> None:
        to_server.write(up.read())
        down.write(to_client.read())

    ends = Ends(
        client.wrap_bio(down, up, server_side=False),
        server.wrap_bio(to_server, to_client, server_side=True),
        carry,
    )
    waiting = [ends.client, ends.server]
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            else:
                waiting.remove(end)
            carry()
    assert not waiting
    return ends


def server_of(files: FabricFiles) -> ssl.SSLContext:
    return server_context(files, lambda _: None)


@pytest.fixture
def clock() -> RealTime:
    return RealTime()


@pytest.fixture
def owner(tmp_path: Path, clock: RealTime) -> Owner:
    return owner_at(tmp_path, clock)


@pytest.fixture
def one(tmp_path: Path, owner: Owner, clock: RealTime) -> FabricFiles:
    return pop_at(tmp_path / "one", owner, clock, 1)


@pytest.fixture
def two(tmp_path: Path, owner: Owner, clock: RealTime) -> FabricFiles:
    return pop_at(tmp_path / "two", owner, clock, 2)


def test_both_ends_know_each_other_by_name(
    owner: Owner, one: FabricFiles, two: FabricFiles, clock: RealTime
) -> None:
    ends = connected(client_context(two, owner.owner_id), server_of(one))
    checker = Checker(Bundle.read(one.bundle))
    at_server = peer(ends.server, checker, clock.unix_s)
    at_client = peer(ends.client, checker, clock.unix_s)
    assert at_server is not None
    assert at_client is not None
    assert at_server.member == member_of(owner, who(2).pop_id)
    assert at_client.member == member_of(owner, who(1).pop_id)
    assert at_server.expires_unix_s == clock.unix_s + LEAF_S
    assert ends.client.version() == "TLSv1.3"
    assert ends.client.selected_alpn_protocol() == "http/1.1"
    assert ends.say(b"hello") == b"hello"


def test_a_renewed_certificate_is_shown_from_the_next_handshake_on_and_the_last_connection_lives(
    owner: Owner, one: FabricFiles, two: FabricFiles, clock: RealTime
) -> None:
    client, server = client_context(two, owner.owner_id), server_of(one)
    before = connected(client, server)
    for number, files, context in ((1, one, server), (2, two, client)):
        shown = files.shown()
        files.keep(answer_for(owner, files, clock, number), clock)
        assert files.shown() != shown
        renew(context, files)
    after = connected(client, server)
    assert after.client.getpeercert(True) == one.shown()[0]
    assert after.server.getpeercert(True) == two.shown()[0]
    assert before.client.getpeercert(True) != one.shown()[0]
    assert before.say(b"still here") == after.say(b"still here") == b"still here"


def test_a_connection_without_a_certificate_is_nobodys(
    owner: Owner, one: FabricFiles, two: FabricFiles, clock: RealTime
) -> None:
    ends = connected(client_context(two, owner.owner_id, shows_itself=False), server_of(one))
    assert peer(ends.server, Checker(Bundle.read(one.bundle)), clock.unix_s) is None
    assert ends.client.getpeercert(True) == one.shown()[0]


def test_an_expired_certificate_is_refused_at_the_handshake(
    tmp_path: Path, owner: Owner, one: FabricFiles, clock: RealTime
) -> None:
    clock.unix_s -= LEAF_S + 1000
    late = pop_at(tmp_path / "late", owner, clock, 3)
    with pytest.raises(ssl.SSLError, match="certificate"):
        connected(client_context(late, owner.owner_id), server_of(one))
    ends = connected(client_context(late, owner.owner_id, shows_itself=False), server_of(one))
    assert ends.say(b"I am back") == b"I am back"


def test_another_owners_pop_is_refused_until_bundles_are_exchanged(
    tmp_path: Path, owner: Owner, one: FabricFiles, clock: RealTime
) -> None:
    other = owner_at(tmp_path / "other", clock, 4)
    theirs = pop_at(tmp_path / "other", other, clock, 4)
    server = server_of(one)
    both = Bundle([owner.root, other.root])
    both.write(theirs.bundle)
    with pytest.raises(ssl.SSLError, match="certificate"):
        connected(client_context(theirs, owner.owner_id), server)
    trust(server, both)
    ends = connected(client_context(theirs, owner.owner_id), server)
    known = peer(ends.server, Checker(both), clock.unix_s)
    assert known is not None
    assert known.member.owner == other.owner_id
    with pytest.raises(IdentityError, match="not known here"):
        peer(ends.server, Checker(both.without(other.owner_id)), clock.unix_s)


def test_a_newcomer_knows_the_owner_by_the_tickets_fingerprint(
    tmp_path: Path, owner: Owner, one: FabricFiles, clock: RealTime
) -> None:
    ends = connected(newcomer_context(), server_of(one))
    checked, root = inviter(ends.client, owner.fingerprint, clock.unix_s)
    assert checked.member == member_of(owner, who(1).pop_id)
    assert root == owner.root
    assert peer(ends.server, Checker(Bundle([owner.root])), clock.unix_s) is None
    other = owner_at(tmp_path / "other", clock, 4)
    between = pop_at(tmp_path / "other", other, clock, 4)
    ends = connected(newcomer_context(), server_of(between))
    with pytest.raises(IdentityError, match="not of the owner whose ticket this is"):
        inviter(ends.client, owner.fingerprint, clock.unix_s)


def test_someone_between_who_shows_the_right_root_is_not_believed(
    tmp_path: Path, owner: Owner, clock: RealTime
) -> None:
    other = owner_at(tmp_path / "other", clock, 4)
    between = pop_at(tmp_path / "other", other, clock, 4)
    with between.chain.open("ab") as file:
        file.write(Bundle([owner.root]).pem())
    ends = connected(newcomer_context(), server_of(between))
    with pytest.raises(IdentityError):
        inviter(ends.client, owner.fingerprint, clock.unix_s)


def test_older_tls_is_not_spoken(one: FabricFiles) -> None:
    old = newcomer_context()
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="protocol"):
        connected(old, server_of(one))


@pytest.mark.parametrize("name", ["bundle", "chain", "key"])
def test_files_that_can_not_be_used_are_named(owner: Owner, one: FabricFiles, name: str) -> None:
    path: Path = getattr(one, name)
    path.write_bytes(b"nonsense")
    with pytest.raises(IdentityError, match=r"can't be used|not a bundle"):
        server_of(one)
    path.unlink()
    with pytest.raises(IdentityError, match=f"{path.name}.* can't be"):
        client_context(one, owner.owner_id)


@pytest.mark.parametrize(
    "runner", [asyncio.Runner, lambda: asyncio.Runner(loop_factory=uvloop.new_event_loop)]
)
def test_a_transports_peer_is_known(
    owner: Owner,
    one: FabricFiles,
    two: FabricFiles,
    clock: RealTime,
    runner: Callable[[], asyncio.Runner],
) -> None:
    async def dialled() -> list[object]:
        known: asyncio.Queue[object] = asyncio.Queue()
        checker = Checker(Bundle([owner.root]))

        def see(writer: asyncio.StreamWriter) -> None:
            checked = peer(writer.get_extra_info("ssl_object"), checker, clock.unix_s)
            known.put_nowait(checked and checked.member.pop)

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            see(writer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_of(one))
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client_context(two, owner.owner_id), server_hostname=""
            )
            see(writer)
            await reader.read()
            writer.close()
            async with asyncio.timeout(10):
                return [await known.get(), await known.get()]

    with runner() as running:
        assert set(running.run(dialled())) == {who(1).pop_id, who(2).pop_id}


@pytest.mark.parametrize(
    "runner", [asyncio.Runner, lambda: asyncio.Runner(loop_factory=uvloop.new_event_loop)]
)
def test_a_listener_tells_of_whoever_it_refuses_in_the_handshake(
    tmp_path: Path,
    owner: Owner,
    one: FabricFiles,
    clock: RealTime,
    runner: Callable[[], asyncio.Runner],
) -> None:
    stranger = pop_at(tmp_path / "other", owner_at(tmp_path / "other", clock, 4), clock, 4)
    Bundle([owner.root]).write(stranger.bundle)

    async def refused() -> str:
        told: asyncio.Queue[str] = asyncio.Queue()
        server = await asyncio.start_server(
            lambda _, writer: writer.close(),
            *("127.0.0.1", 0),
            ssl=server_context(one, told.put_nowait),
        )
        async with server, asyncio.timeout(10):
            port = server.sockets[0].getsockname()[1]
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(
                    *("127.0.0.1", port),
                    ssl=client_context(stranger, owner.owner_id),
                    server_hostname="",
                )
                with suppress(OSError):
                    assert await reader.read() == b""
                writer.transport.abort()
            return await told.get()

    with runner() as running:
        assert "self-signed certificate" in running.run(refused())
