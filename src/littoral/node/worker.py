"""One worker of a PoP: a process that answers hot requests at the PoP's address beside others.

It opens what the processes of a PoP share (keys, budgets, targets, cache, meters) under a number
of its own, and passes what it does not answer itself to the conductor (conductor.py), which started
it. Told to end, it takes nothing new and lets answers under way end; without its conductor, it ends
at once (lifeline.py).

This module runs in worker processes only.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from littoral.adapters.clock import SystemClock
from littoral.adapters.engines.lifeline import Line, begin
from littoral.adapters.identity import Identity, open_identity
from littoral.adapters.models import Catalogue
from littoral.adapters.store import Store, open_store
from littoral.node.config import Config
from littoral.node.drive import owned_tasks
from littoral.node.entries import Entries, watch
from littoral.node.forward import Forward
from littoral.node.garbage import set_aside
from littoral.node.home import Home
from littoral.node.keyring import Keyring, authenticated, budget_board
from littoral.node.onward import Onward
from littoral.node.relay.build import (
    HotState,
    hand_over_counts,
    hot_state,
    keeping_on,
    say_at_work,
    upstreams_on,
)
from littoral.node.relay.desk import Desk
from littoral.node.relay.lent import Lending
from littoral.node.relay.peers import Peers
from littoral.node.relay.relay import Relay
from littoral.node.relay.reusing import Wishes
from littoral.node.relay.standing import Work
from littoral.node.relay.ways import Ways
from littoral.node.scribe import Scribe
from littoral.node.surface import LAST_WORDS_S, bind_of, bounds_of, log_defect, processes_of, tls_of
from littoral.node.telemetry import Telemetry, own_meters
from littoral.terms.errors import LittoralError, NotFoundError
from littoral.terms.ports import Clock, Observe
from littoral.trust.issuing import Issuer
from littoral.trust.keys import KeyRecord
from littoral.web.http import Request, Responder
from littoral.web.listener import Server, listening
from littoral.web.routes import RECEIPTS, key_of
from littoral.web.service import Answers, Gate

__all__ = ["Charge", "conductor_socket", "main", "worker_socket"]


class Charge(msgspec.Struct, frozen=True):
    """What a worker is told by its conductor, over standard input: secrets are among it."""

    number: int
    """From 1; the conductor is 0."""
    workers: int
    settings: dict[str, str | int | float | bool]
    """Of the PoP, as flags; the port is the one that all listen on."""
    key_record: KeyRecord
    key: str
    """The operator key for commands on this machine."""
    secret: str
    """What the workers know each other by."""
    log_level: int


def conductor_socket(home: Home) -> Path:
    """Where the conductor answers its workers."""
    return home.run / "conductor.sock"


def worker_socket(home: Home, number: int) -> Path:
    """Where a worker answers the others."""
    return home.run / f"worker-{number}.sock"


def main() -> None:
    """Run until told to end."""
    arguments, line = begin()
    charge = msgspec.convert(arguments, Charge)
    logging.basicConfig(
        level=charge.log_level, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    try:
        uvloop.run(_run(charge, line))
    except LittoralError as error:
        line.fail(str(error))
        raise SystemExit(error.exit_code) from None


async def _run(charge: Charge, line: Line) -> None:
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    config = Config.from_flags(charge.settings)
    async with _serving(charge, config) as (server, relay):
        line.ready()
        set_aside()
        await ending.wait()
        relay.closing = True
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.drain(config.drain_s + LAST_WORDS_S))
            with suppress(TimeoutError):  # what other workers have borrowed is among it
                async with asyncio.timeout(config.drain_s):
                    await relay.legs.none.wait()
            relay.end_all()


@asynccontextmanager
async def _serving(charge: Charge, config: Config) -> AsyncIterator[tuple[Server, Relay]]:
    """Everything open and listening; closed again in the right order."""
    clock, home = SystemClock(), Home(config.home)
    async with AsyncExitStack() as stack:
        shared = _opened(charge, config, home, clock, stack)
        tasks = await stack.enter_async_context(owned_tasks())
        relay = _relay(charge, config, shared, stack, tasks)
        saying = say_at_work(shared.hot, lambda: len(relay.legs))
        stack.callback(tasks.create_task(saying).cancel)
        await stack.enter_async_context(
            listening(
                Answers(_nothing_else, hot=Lending(relay.lend, charge.secret)),
                worker_socket(home, charge.number),
                bounds_of(config),
                clock=clock,
                on_defect=log_defect,
            )
        )
        forward = Forward(conductor_socket(home), config.connections_max)
        stack.callback(forward.close)

        async def pass_on(request: Request, responder: Responder) -> None:
            if request.path.startswith(RECEIPTS):
                shared.scribe.flush()  # what is asked for may still wait here
            await forward.handle(request, responder)

        server = await stack.enter_async_context(
            listening(
                Answers(pass_on, _gate(shared), relay),
                replace(bind_of(config), shared=True),
                bounds_of(config),
                clock=clock,
                on_defect=log_defect,
                tls=tls_of(config),
            )
        )
        yield server, relay


@dataclass(frozen=True, slots=True)
class _Opened:
    """What the processes of a PoP share, as this one has it open."""

    home: Home
    clock: Clock
    identity: Identity
    store: Store
    keyring: Keyring
    observe: Observe
    scribe: Scribe
    hot: HotState


def _opened(
    charge: Charge, config: Config, home: Home, clock: Clock, stack: AsyncExitStack
) -> _Opened:
    number, local = charge.number, (charge.key_record, charge.key)
    store = stack.enter_context(open_store(home.path))
    board = stack.enter_context(budget_board(home.run))
    keyring = Keyring(store, clock, board, worker=number, local=local)
    observe = Telemetry(stack.enter_context(own_meters(home.run, number)), clock).observe
    hot = stack.enter_context(
        hot_state(
            config,
            home.run,
            worker=number,
            workers=processes_of(config),
            clock=clock,
            observe=observe,
        )
    )
    identity = open_identity(home.path, clock)
    loop = asyncio.get_running_loop()
    scribe = Scribe(store.receipts, Issuer(identity), loop, observe, log_defect)
    stack.callback(scribe.close)
    return _Opened(home, clock, identity, store, keyring, observe, scribe, hot)


def _relay(
    charge: Charge,
    config: Config,
    shared: _Opened,
    stack: AsyncExitStack,
    tasks: asyncio.TaskGroup,
) -> Relay:
    """The hot path; what it has running ends with the stack."""
    entries = Entries(Catalogue(shared.home.models), config.kv_tokens)
    stack.callback(tasks.create_task(watch(entries.rescan)).cancel)
    stack.callback(tasks.create_task(hand_over_counts(shared.hot)).cancel)
    upstreams = upstreams_on(
        shared.hot, spawn=tasks.create_task, clock=shared.clock, observe=shared.observe
    )
    stack.callback(upstreams.close)
    peers = Peers(
        charge.number,
        charge.workers,
        lambda other: worker_socket(shared.home, other),
        charge.secret,
        models=entries,
        spawn=tasks.create_task,
        on_defect=log_defect,
    )
    stack.callback(peers.close)
    desk = Desk(
        pop=shared.identity.pop_id,
        keyring=shared.keyring,
        scribe=shared.scribe,
        clock=shared.clock,
        observe=shared.observe,
    )
    wishes = Wishes(config.reuse_error_max)
    keeping = keeping_on(config, shared.hot, shared.clock, wishes=wishes)
    return Relay(
        authenticate=partial(authenticated, shared.keyring, shared.observe),
        host=entries,
        desk=desk,
        ways=Ways(
            host=entries,
            upstreams=upstreams,
            keeping=keeping,
            peers=peers,
            onward=Onward(shared.identity.pop_id, shared.identity),
        ),
        keeping=keeping,
        handler=None,
        work=Work(tasks.create_task, log_defect),
    )


def _gate(shared: _Opened) -> Gate:
    """Lets in who has a key; nothing that needs none has a body to wait for."""

    def check(_method: str, _path: str, headers: Mapping[str, str]) -> None:
        authenticated(shared.keyring, shared.observe, key_of(headers))

    return check


async def _nothing_else(request: Request, _: Responder) -> None:
    raise NotFoundError(f"there is nothing at {request.path[:200]}")


if __name__ == "__main__":
    main()
