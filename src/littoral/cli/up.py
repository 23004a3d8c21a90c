"""`littoral up`: run a PoP on this machine until Ctrl-C."""

import asyncio
import logging
import resource
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

import typer
import uvloop

from littoral.adapters.clock import SystemClock
from littoral.adapters.models import Catalogue, bring_in
from littoral.cli.options import with_settings
from littoral.cli.progress import progress_shown
from littoral.cli.show import JsonOption, Show, command
from littoral.cli.welcome import document, welcome
from littoral.node.config import Config
from littoral.node.drive import owned_tasks
from littoral.node.garbage import set_aside
from littoral.node.pop import Pop, running_pop
from littoral.terms.ids import ModelName, model_name
from littoral.terms.values import SECOND, ModelStatus

__all__ = ["Stopped", "brought_in", "register", "run_until_stopped", "stop_signal"]


class Stopped(Exception):  # noqa: N818 - not an error: it unwinds what is under way
    """Stopping was asked for before all was ready."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up")(with_settings(up))


def up(
    config: Config,
    as_json: JsonOption = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what happens to standard error.")
    ] = False,
) -> None:
    """Run a PoP on this machine until Ctrl-C.

    The first start makes the state directory, the PoP's identity and a first API key, and brings in
    the default models.
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    with command(as_json=as_json) as show:
        run_until_stopped(config, show)


def run_until_stopped(config: Config, show: Show) -> None:
    """Run the PoP of this home until Ctrl-C or a termination signal."""
    _allow_open_files()
    uvloop.run(_up(config, show))


def _allow_open_files() -> None:
    """Take all the open files that the system grants: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _up(config: Config, show: Show) -> None:
    clock = SystemClock()
    began = clock.now()
    async with stop_signal() as stopping, running_pop(config) as pop:
        try:
            statuses = await _get_ready(config, pop, show, stopping)
        except Stopped:
            return
        seconds = (clock.now() - began) / SECOND
        first_key = pop.keyring.make_first()
        show.data(document(pop, statuses, seconds, first_key))
        if not show.as_json:
            welcome(show, pop, statuses, seconds, first_key)
        set_aside()
        await stopping.wait()
        show.note("stopping: answers under way may end, then the engines stop")


async def _get_ready(
    config: Config, pop: Pop, show: Show, stopping: asyncio.Event
) -> list[ModelStatus]:
    """Bring in what is missing, load what is kept loaded; stopping ends either at once."""
    await brought_in(pop.catalogue, config.models, show, stopping)
    names = [model_name(name) for name in config.models]
    for name in names:
        pop.host.load(name)
    async with owned_tasks() as tasks:
        loading = tasks.create_task(_all_settled(pop, names))
        stop = tasks.create_task(stopping.wait())
        await asyncio.wait({loading, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        loading.cancel()
    if loading.cancelled():
        raise Stopped
    return loading.result()


async def brought_in(
    catalogue: Catalogue, names: Sequence[str], show: Show, stopping: asyncio.Event
) -> None:
    """Bring in those of these models that are missing, and show how far it is.

    Raises:
        Stopped: stopping was asked for.
        what `bring_in` raises.
    """
    with progress_shown(show) as progress:

        def watched(stage: str, done: int, total: int | None) -> None:
            if stopping.is_set():
                raise Stopped
            progress(stage, done, total)

        try:
            await asyncio.to_thread(bring_in, catalogue, names, watched)
        except Exception:
            if stopping.is_set():
                raise Stopped from None
            raise


async def _all_settled(pop: Pop, names: list[ModelName]) -> list[ModelStatus]:
    return [await pop.host.settled(name) for name in names]


@asynccontextmanager
async def stop_signal(*more: signal.Signals) -> AsyncIterator[asyncio.Event]:
    """An event that Ctrl-C or a termination signal sets, or one of `more`."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    numbers = (signal.SIGINT, signal.SIGTERM, *more)
    for number in numbers:
        loop.add_signal_handler(number, stopping.set)
    try:
        yield stopping
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
