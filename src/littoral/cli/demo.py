"""`littoral demo`: the network told as a story, by PoPs that run on this machine for the while."""

import asyncio
import signal
from typing import Annotated

import typer

from littoral.adapters.clock import SystemClock
from littoral.adapters.models import Catalogue
from littoral.cli.demo_shown import Teller
from littoral.cli.show import HomeOption, JsonOption, Show, command
from littoral.cli.up import Stopped, brought_in, stop_signal
from littoral.node.config import Config, load_config
from littoral.node.demo import MODEL, Story, Told, told
from littoral.node.drive import owned_tasks
from littoral.node.home import Home
from littoral.terms.errors import DemoFailedError

__all__ = ["register"]

_INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the PoPs running until Ctrl-C, to be tried.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what the network does, with three PoPs on this machine, and leave nothing behind.

    The model is brought into the home once. All else lies in a temporary folder and goes with it.
    """
    with command(as_json=as_json) as show:
        try:
            asyncio.run(_demo(load_config({"home": home}), show, keep=keep))
        except Stopped:
            show.note("stopped: all PoPs have ended")
            raise typer.Exit(_INTERRUPTED) from None
        except DemoFailedError as error:
            _last_words(show, error)
            raise


async def _demo(config: Config, show: Show, *, keep: bool) -> None:
    home, clock = Home(config.home), SystemClock()
    catalogue = Catalogue(home.models)
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # by nohup
    with Teller(show) as teller:
        async with stop_signal(*(() if ignored else (signal.SIGHUP,))) as stopping:
            if not catalogue.has(MODEL):
                home.make()
                await brought_in(catalogue, [MODEL], show, stopping)
            kept = asyncio.Event()

            def left_running(all_of_it: Told, story: Story) -> None:
                kept.set()
                teller.kept(all_of_it, story)

            async with owned_tasks() as tasks:
                telling = tasks.create_task(
                    told(catalogue, clock, teller.hear, left_running if keep else None)
                )
                stop = tasks.create_task(stopping.wait())
                await asyncio.wait({telling, stop}, return_when=asyncio.FIRST_COMPLETED)
                stop.cancel()
                telling.cancel()
        if not telling.cancelled():
            teller.ended(telling.result())
        elif kept.is_set():
            show.note("stopped: all PoPs have ended")
        else:
            raise Stopped


def _last_words(show: Show, error: DemoFailedError) -> None:
    """What the PoPs have logged last."""
    logs = error.details.get("logs")
    for name, lines in logs.items() if isinstance(logs, dict) else ():
        show.note(f"the last lines of {name}:" if lines else f"{name} has logged nothing")
        for line in lines:
            show.note(f"  {line}")
