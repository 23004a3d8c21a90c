"""`littoral up --workers 2`: several processes that answer as one PoP, and what survives a kill."""

import asyncio
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import h11
import psutil
import pytest

from littoral.adapters.shared import Board
from littoral.node.home import Home
from littoral.terms.values import ToolSupport
from littoral.trust.receipts import stated
from tests.certificates import self_signed
from tests.conftest import started_pop
from tests.hardening.pops import HardPop, body_of, check_error, hard_pop, parted
from tests.hardening.upstreams import Asked, Upstream, chunk, head, truth, upstream
from tests.web.raw import PATIENCE_S, Client, get, post

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def pop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardPop]:
    with hard_pop(tmp_path_factory.mktemp("workers"), "--workers", "2") as running:
        yield running


class Held:
    """An upstream that streams its first event at once, and the rest when it is let go."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent
        """Not even the first event comes before it is let go."""
        self.let_go = asyncio.Event()
        self.askers: list[int] = []
        """The ports that it was asked from."""

    async def play(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        self.askers.append(writer.get_extra_info("peername")[1])
        true = truth(asked)
        if self.silent:
            await self.let_go.wait()
        writer.write(head(f"content-type: {true.type}", "transfer-encoding: chunked"))
        writer.write(chunk(true.pieces[0]))
        await self.let_go.wait()
        writer.write(b"".join(map(chunk, [*true.pieces[1:], b""])))
        return True


def workers_of(pid: int) -> list[psutil.Process]:
    """Those that live: one that was killed a moment ago may still be among the children."""
    found = []
    for each in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):  # a zombie is one, too
            if "littoral.node.worker" in each.cmdline():
                found.append(each)
    return found


def holder_of(pop: HardPop, port: int) -> int:
    """Which worker has a connection that begins or ends at this port of another process."""
    for worker in workers_of(pop.pid):
        for each in worker.net_connections("tcp"):
            if port in {each.laddr.port, each.raddr.port if each.raddr else 0}:
                return int(worker.pid)
    raise AssertionError(f"nobody has a connection with port {port}")


def worker_at(pop: HardPop, client: Client) -> int:
    return holder_of(pop, client.writer.get_extra_info("sockname")[1])


@asynccontextmanager
async def one_at_each(pop: HardPop) -> AsyncIterator[list[Client]]:
    """A connection to each worker."""
    async with AsyncExitStack() as stack:
        found: dict[int, Client] = {}
        async with asyncio.timeout(PATIENCE_S):
            while len(found) < 2:
                client = await stack.enter_async_context(pop.client())
                assert (await client.ask(get("/healthz"))).status == 200
                found.setdefault(worker_at(pop, client), client)
        yield list(found.values())


def with_key(key: str, body: bytes) -> bytes:
    return post(body, CHAT, f"Authorization: Bearer {key}")


async def requests_counted(pop: HardPop) -> float:
    async with pop.client() as client:
        told = await client.ask(get("/metrics", f"Authorization: Bearer {pop.key}"))
    assert told.status == 200
    found = re.findall(rb"^littoral_requests_total\{.*\} (\S+)$", told.body, re.MULTILINE)
    return sum(map(float, found))


async def test_two_workers_answer_on_one_address_and_count_together(pop: HardPop) -> None:
    async with upstream() as one, one_at_each(pop) as clients:
        model, before = pop.add(one.port), await requests_counted(pop)
        for client in clients:
            answer = await client.ask(pop.post(CHAT, body_of("chat stream", model)), "POST")
            assert answer.status == 200
            assert answer.headers["littoral-source"] == "upstream"
        assert await requests_counted(pop) == before + 2
        assert len(one.asked) == 2


async def test_a_key_revoked_elsewhere_opens_nothing_at_any_worker(pop: HardPop) -> None:
    made = pop.command("keys", "create", "short")
    body = body_of("chat", "echo")
    async with one_at_each(pop) as clients:
        for client in clients:
            assert (await client.ask(with_key(str(made["key"]), body), "POST")).status == 200
        pop.command("keys", "revoke", made["key_id"])
        for client in clients:
            assert (await client.ask(with_key(str(made["key"]), body), "POST")).status == 401


async def test_a_limit_holds_over_all_workers(pop: HardPop) -> None:
    key = pop.new_key("--requests-per-minute", "5")
    async with upstream() as one, one_at_each(pop) as clients:
        body = body_of("chat", pop.add(one.port))
        answers = [
            await client.ask(with_key(key, body), "POST") for _ in range(5) for client in clients
        ]
        assert sorted(each.status for each in answers) == [200] * 5 + [429] * 5
        assert len(one.asked) == 5


async def test_identical_streams_at_both_workers_are_one_request_upstream(pop: HardPop) -> None:
    held = Held()
    async with upstream(held.play) as one, AsyncExitStack() as stack:
        body = body_of("chat stream", pop.add(one.port, receipts=True), temperature=0)
        clients = [await stack.enter_async_context(pop.client()) for _ in range(200)]
        guesses = ("Littoral-Peer: guess", "Littoral-Origin: guess")
        for client in clients:
            await client.send(pop.post(CHAT, body, *guesses))
        for client in clients:
            await client.until(b"\n\n")
        for _ in range(40):  # in the middle of it, at either worker
            late = await stack.enter_async_context(pop.client())
            await late.send(pop.post(CHAT, body, *guesses))
            await late.until(b"\n\n")
            clients.append(late)
        assert {worker_at(pop, each) for each in clients} == {
            each.pid for each in workers_of(pop.pid)
        }
        held.let_go.set()
        answers = [await each.answer("POST") for each in clients]
        assert len(one.asked) == 1
        assert len({parted(each)[0] for each in answers}) == 1
        assert b"data: [DONE]" in answers[0].body
        sources = [each.headers["littoral-source"] for each in answers]
        assert (sources.count("upstream"), sources.count("cache")) == (1, 239)
        receipts = [stated(parted(each)[1]) for each in answers]
        assert len({each.rid for each in receipts}) == 240
        (first,) = [each for each in receipts if each.origin is None]
        assert {each.origin for each in receipts} == {None, first.rid}


async def test_what_was_answered_at_one_worker_is_given_again_at_the_other(pop: HardPop) -> None:
    async with upstream() as one, one_at_each(pop) as clients:
        body = body_of("chat", pop.add(one.port), temperature=0)
        first = await clients[0].ask(pop.post(CHAT, body), "POST")
        async with asyncio.timeout(PATIENCE_S):
            while (again := await clients[1].ask(pop.post(CHAT, body), "POST")).headers[
                "littoral-source"
            ] != "cache":
                await asyncio.sleep(0.01)
        assert again.body == first.body


async def loan(pop: HardPop, held: Held, one: Upstream, model: str) -> tuple[Client, int]:
    """A stream that waits at one worker for what another asks; and that other's process."""
    client = await pop.open()
    for seed in range(100):
        await client.send(pop.post(CHAT, body_of("chat stream", model, seed=seed)))
        await one.until_asked(seed + 1)
        asker = holder_of(pop, held.askers[-1])
        if asker != worker_at(pop, client):
            return client, asker
        held.let_go.set()
        await client.answer("POST")
        held.let_go.clear()
    raise AssertionError("one worker owns a hundred questions")


async def test_an_owner_killed_before_it_answers_is_done_without(pop: HardPop) -> None:
    held = Held(silent=True)
    async with upstream(held.play) as one:
        client, owner = await loan(pop, held, one, pop.add(one.port))
        asked = len(one.asked)
        os.kill(owner, signal.SIGKILL)
        await one.until_asked(asked + 1)
        held.let_go.set()
        answer = await client.answer("POST")
        assert answer.status == 200
        assert b"data: [DONE]" in answer.body
        assert answer.headers["littoral-source"] == "upstream"
        client.leave()
        await both_answer(pop)


async def test_an_owner_killed_amid_its_answer_ends_it_with_an_honest_error(pop: HardPop) -> None:
    held = Held()
    async with upstream(held.play) as one:
        client, owner = await loan(pop, held, one, pop.add(one.port))
        async with asyncio.timeout(PATIENCE_S):
            await client.reader.readuntil(b"\n\n")
            os.kill(owner, signal.SIGKILL)
            rest = await client.reader.readuntil(b"\r\n0\r\n\r\n")
        assert b'"error"' in rest
        assert b"[DONE]" not in rest
        client.leave()
        await both_answer(pop)


async def both_answer(pop: HardPop) -> None:
    """Return once there are two workers that take connections."""
    async with asyncio.timeout(PATIENCE_S):
        while len(workers_of(pop.pid)) < 2:
            await asyncio.sleep(0.01)
    async with one_at_each(pop):
        pass


async def test_a_killed_worker_loses_its_own_streams_and_nothing_else(pop: HardPop) -> None:
    held = Held()
    key = pop.new_key("--requests-per-minute", "3")
    async with upstream() as well, upstream(held.play) as one, AsyncExitStack() as stack:
        quick, slow = pop.add(well.port), pop.add(one.port)
        kept = body_of("chat", quick, temperature=0)
        async with one_at_each(pop) as clients:
            for client in clients:
                await client.ask(with_key(key, body_of("chat", quick)), "POST")
                await client.ask(pop.post(CHAT, kept), "POST")
        streams = [await stack.enter_async_context(pop.client()) for _ in range(24)]
        for each in streams:
            await each.send(pop.post(CHAT, body_of("chat stream", slow)))
        await one.until_asked(24)
        victim = workers_of(pop.pid)[0].pid
        lost = [each for each in streams if worker_at(pop, each) == victim]
        others = [each for each in streams if each not in lost]
        assert lost
        assert others
        before = await counted_without(pop, victim)

        os.kill(victim, signal.SIGKILL)
        for each in lost:
            with pytest.raises((h11.RemoteProtocolError, ConnectionResetError)):
                await each.answer("POST")
        held.let_go.set()
        for each in others:
            assert b"data: [DONE]" in (await each.answer("POST")).body

        await both_answer(pop)
        assert await requests_counted(pop) >= before + len(others)
        asked = len(well.asked)
        async with one_at_each(pop) as clients:
            for client in clients:
                again = await client.ask(pop.post(CHAT, kept), "POST")
                assert again.headers["littoral-source"] == "cache"
            assert len(well.asked) == asked
            statuses = [
                (await each.ask(with_key(key, body_of("chat", quick)), "POST")).status
                for each in clients
            ]
        assert sorted(statuses) == [200, 429], "two of three were used before"


async def test_delivery_yields_to_what_a_worker_answers_until_that_ends_or_dies(
    pop: HardPop,
) -> None:
    held = Held()

    async def come_to(count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while sum(at_work.words) != count:
                await asyncio.sleep(0.01)

    with Board.open(Home(pop.home).run / "at-work.bin") as at_work:
        await come_to(0)
        for end in (held.let_go.set, None):
            async with upstream(held.play) as one, pop.client() as client:
                held.let_go.clear()
                await client.send(pop.post(CHAT, body_of("chat stream", pop.add(one.port))))
                await client.until(b"\n\n")
                await come_to(1)
                if end is None:
                    os.kill(worker_at(pop, client), signal.SIGKILL)
                else:
                    end()
                await come_to(0)
                held.let_go.set()
    await both_answer(pop)


async def counted_without(pop: HardPop, victim: int) -> float:
    """What is counted, as a worker that will live tells it."""
    async with one_at_each(pop) as clients:
        (client,) = [each for each in clients if worker_at(pop, each) != victim]
        told = await client.ask(get("/metrics", f"Authorization: Bearer {pop.key}"))
    found = re.findall(rb"^littoral_requests_total\{.*\} (\S+)$", told.body, re.MULTILINE)
    return sum(map(float, found))


async def test_a_local_model_answers_through_a_worker(pop: HardPop) -> None:
    body = body_of("chat stream", "echo", temperature=0)
    async with one_at_each(pop) as clients:
        answers = [await each.ask(pop.post(CHAT, body), "POST") for each in clients]
        assert [each.status for each in answers] == [200, 200]
        assert answers[0].headers["littoral-source"] == "echo"
        for each in answers:
            assert b"data: [DONE]" in each.body
            receipt = each.headers["littoral-receipt"]
            told = await clients[1].ask(
                get(f"/v1/receipts/{receipt}", f"Authorization: Bearer {pop.key}")
            )
            assert told.status == 200


async def test_a_model_whose_chat_is_translated_is_answered_through_a_worker(pop: HardPop) -> None:
    async with upstream() as one:
        model = pop.add(one.port, tools=ToolSupport.NONE)
        answer = await pop.call("chat", model)
        assert answer.status == 200
        assert len(one.asked) == 1


async def test_a_form_with_a_file_comes_through_a_worker_as_it_was_sent(pop: HardPop) -> None:
    raw = bytes(range(256))
    form = b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--x\r\n'
    form += b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n%b\r\n--x--' % raw
    key = f"Authorization: Bearer {pop.key}"
    kind = "Content-Type: multipart/form-data; boundary=x"
    async with pop.client() as client:
        sent = await client.ask(post(form, "/v1/files", key, kind))
        assert sent.status == 200
        file = json.loads(sent.body)["id"]
        assert (await client.ask(get(f"/v1/files/{file}/content", key))).body == raw


async def test_what_needs_an_operator_or_is_not_there_is_refused_through_a_worker(
    pop: HardPop,
) -> None:
    plain = pop.new_key()
    async with pop.client() as client:
        told = await client.ask(get("/metrics", f"Authorization: Bearer {plain}"))
        assert told.status == 403
        assert (await client.ask(get("/nothing"))).status == 404
        headed = b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        assert (await client.ask(headed, "HEAD")).status == 200


async def test_what_is_refused_through_a_worker_has_one_request_id(pop: HardPop) -> None:
    answer = await pop.call("messages", "nobody")
    assert answer.status == 404
    check_error("/v1/messages", answer)


async def test_only_workers_of_this_run_are_answered_at_a_worker_s_socket(pop: HardPop) -> None:
    path = pop.home / "run" / "worker-1.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    client = Client(*await asyncio.open_unix_connection(str(path)))
    body = body_of("chat", "echo", temperature=0)
    for fields in ((), ("Littoral-Peer: guess",)):
        request = post(body, CHAT, f"Authorization: Bearer {pop.key}", *fields)
        assert (await client.ask(request, "POST")).status == 401
    client.leave()


def test_a_stop_leaves_no_process_socket_or_file(tmp_path: Path) -> None:
    starter = started_pop(tmp_path, "--workers", "2", models="echo")
    with starter as pop:
        workers = workers_of(pop.pid)
        assert len(workers) == 2
        starter.process.send_signal(signal.SIGTERM)
        starter.process.wait(timeout=5)
        assert starter.process.returncode == 0
        assert [each for each in workers if each.is_running()] == []
        assert list((tmp_path / "run").iterdir()) == []


async def test_a_stream_under_way_at_a_stop_ends_with_an_honest_error(tmp_path: Path) -> None:
    held = Held()
    async with upstream(held.play) as one:
        with hard_pop(tmp_path, "--workers", "2", "--drain-s", "0.2") as pop:
            model = pop.add(one.port)
            async with one_at_each(pop) as clients:
                for client in clients:
                    await client.send(pop.post(CHAT, body_of("chat stream", model)))
                async with asyncio.timeout(PATIENCE_S):
                    for client in clients:
                        await client.reader.readuntil(b"data: ")
                os.kill(pop.pid, signal.SIGINT)
                for client in clients:
                    assert b'"draining"' in await client.until_closed()


def test_workers_end_with_a_killed_conductor(tmp_path: Path) -> None:
    starter = started_pop(tmp_path, "--workers", "2", models="echo")
    with starter as pop:
        workers = workers_of(pop.pid)
        os.kill(pop.pid, signal.SIGKILL)
        starter.process.wait(timeout=5)
        _, alive = psutil.wait_procs(workers, timeout=5)
        assert alive == []


def test_a_worker_has_its_settings_from_the_conductor_and_not_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "littoral.toml"
    file.write_text("workers = 2")
    file.chmod(0o600)
    with started_pop(tmp_path, models="echo") as pop:
        first = workers_of(pop.pid)
        assert len(first) == 2
        file.write_text("nonsense")
        first[0].kill()
        deadline = time.monotonic() + PATIENCE_S
        while not [each for each in workers_of(pop.pid) if each not in first and listens(each)]:
            assert time.monotonic() < deadline
            psutil.wait_procs(workers_of(pop.pid), timeout=0.05)


def listens(worker: psutil.Process) -> bool:
    return any(each.status == psutil.CONN_LISTEN for each in worker.net_connections("tcp"))


def test_a_port_shared_by_another_pop_s_workers_is_in_use(tmp_path: Path) -> None:
    with started_pop(tmp_path / "one", "--workers", "2", models="echo") as pop:
        port = pop.url.rpartition(":")[2]
        options = ("--home", str(tmp_path / "two"), "--port", port, "--workers", "2")
        refused = subprocess.run(
            [sys.executable, "-m", "littoral.cli", "up", *options],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert refused.returncode == 3
        assert port in refused.stderr


async def test_workers_speak_tls(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, "localhost")
    options = ("--workers", "2", "--tls-cert", certificate, "--tls-key", key)
    with started_pop(tmp_path / "home", *options, models="echo") as pop:
        context = ssl.create_default_context(cafile=certificate)
        port = int(pop.url.rpartition(":")[2])
        assert pop.url.startswith("https://")
        for _ in range(4):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )
            client = Client(reader, writer)
            answer = await client.ask(with_key(pop.key, body_of("chat stream", "echo")), "POST")
            assert b"data: [DONE]" in answer.body
            client.leave()
