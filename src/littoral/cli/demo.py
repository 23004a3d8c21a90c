"""`littoral demo`: the network told as a story, by PoPs that run on this machine for the while."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Annotated, TypeVar

import typer

from littoral.adapters.clock import SystemClock
from littoral.adapters.models import Catalogue
from littoral.cli.demo_delivered import DeliveryTeller
from littoral.cli.demo_shown import Teller
from littoral.cli.show import HomeOption, JsonOption, Show, command
from littoral.cli.up import Stopped, brought_in, stop_signal
from littoral.node.config import Config, load_config
from littoral.node.demo import MODEL, Story, Told, delivered, told
from littoral.node.drive import owned_tasks
from littoral.node.home import Home
from littoral.terms.errors import BadRequestError, DemoFailedError

__all__ = ["register"]

_INTERRUPTED = 130

T = TypeVar("T")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the PoPs running until Ctrl-C, to be tried.")
    ] = False,
    deliver: Annotated[
        bool, typer.Option("--deliver", help="Tell how a model gets to the PoPs instead.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what the network does, with three PoPs on this machine, and leave nothing behind.

    The model is brought into the home once. All else lies in a temporary folder and goes with it.
    """
    with command(as_json=as_json) as show:
        try:
            config = load_config({"home": home})
            if deliver:
                if keep:
                    raise BadRequestError("--keep goes without --deliver", advice="leave one out")
                asyncio.run(_deliver(config, show))
            else:
                asyncio.run(_demo(config, show, keep=keep))
        except Stopped:
            show.note("stopped: all PoPs have ended")
            raise typer.Exit(_INTERRUPTED) from None
        except DemoFailedError as error:
            _last_words(show, error)
            raise


async def _deliver(config: Config, show: Show) -> None:
    with DeliveryTeller(show) as teller:
        async with _stopping() as stopping:
            catalogue = await _catalogue(config, show, stopping)
            told = await _unless(stopping, delivered(catalogue, SystemClock(), teller.hear))
        if told is None:
            raise Stopped
        teller.ended(told)


async def _demo(config: Config, show: Show, *, keep: bool) -> None:
    with Teller(show) as teller:
        async with _stopping() as stopping:
            catalogue = await _catalogue(config, show, stopping)
            kept = asyncio.Event()

            def left_running(all_of_it: Told, story: Story) -> None:
                kept.set()
                teller.kept(all_of_it, story)

            story = told(catalogue, SystemClock(), teller.hear, left_running if keep else None)
            all_of_it = await _unless(stopping, story)
        if all_of_it is not None:
            teller.ended(all_of_it)
        elif kept.is_set():
            show.note("stopped: all PoPs have ended")
        else:
            raise Stopped


def _stopping() -> AbstractAsyncContextManager[asyncio.Event]:
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # by nohup
    return stop_signal(*(() if ignored else (signal.SIGHUP,)))


async def _catalogue(config: Config, show: Show, stopping: asyncio.Event) -> Catalogue:
    """Of the home, with the model."""
    home = Home(config.home)
    catalogue = Catalogue(home.models)
    if not catalogue.has(MODEL):
        home.make()
        await brought_in(catalogue, [MODEL], show, stopping)
    return catalogue


async def _unless(stopping: asyncio.Event, story: Coroutine[None, None, T]) -> T | None:
    """What a story comes to; None where it was stopped."""
    async with owned_tasks() as tasks:
        telling = tasks.create_task(story)
        stop = tasks.create_task(stopping.wait())
        await asyncio.wait({telling, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        telling.cancel()
    return None if telling.cancelled() else telling.result()


def _last_words(show: Show, error: DemoFailedError) -> None:
    """What the PoPs have logged last."""
    logs = error.details.get("logs")
    for name, lines in logs.items() if isinstance(logs, dict) else ():
        show.note(f"the last lines of {name}:" if lines else f"{name} has logged nothing")
        for line in lines:
            show.note(f"  {line}")
