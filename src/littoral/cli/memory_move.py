"""`littoral memory move`: a collection from one driver to another, while no PoP uses the home."""

from contextlib import ExitStack, closing
from typing import Annotated

import typer

from littoral.cli.progress import progress_shown
from littoral.cli.show import HomeOption, JsonOption, command
from littoral.node.config import load_config
from littoral.node.home import Home
from littoral.node.memory.drivers import drivers_of
from littoral.node.memory.moving import Journal, Move, move
from littoral.terms.collections import Collections
from littoral.terms.errors import ConfigError, ConflictError, NotFoundError

__all__ = ["register"]

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The collection's name.")]


def register(app: typer.Typer) -> None:
    """Add `move` to `littoral memory`."""
    app.command("move")(move_one)


def move_one(
    name: NameArgument,
    *,
    to: Annotated[str, typer.Option("--to", metavar="DRIVER", help="What is to keep it.")],
    scope: Annotated[str, typer.Option(help="Whose it is, if not the PoP's own.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move a collection to another driver; run it again to go on with a move that broke off."""
    with command(as_json=as_json) as show:
        config = load_config({"home": home})
        place = Home(config.home)
        place.make()
        with place.held(), ExitStack() as open_now:
            drivers = drivers_of(config)
            for driver in drivers.values():
                open_now.enter_context(closing(driver))
            if to not in drivers:
                raise ConfigError(
                    f"nothing says where {to[:40]!r} is",
                    advice=f"name it in memory_servers, as in {to[:40]}=ADDRESS",
                )
            journal = Journal(config.home)
            wanted = Move(name, scope, _keeper(drivers, journal, name, scope, to), to)
            with progress_shown(show) as report:
                moved = move(
                    drivers,
                    wanted,
                    journal,
                    told=lambda done, every: report(f"{name} to {to}", done, every),
                )
        show.data(moved)
        show.line(f"{name} is kept by {to} now: {moved.records} records, proven to be the same")


def _keeper(
    drivers: dict[str, Collections], journal: Journal, name: str, scope: str, to: str
) -> str:
    """What keeps it now."""
    for begun in journal.moves():
        if (begun.name, begun.scope) == (name, scope):
            return begun.source
    for driver, collections in drivers.items():
        for shown in collections.describe():
            if (shown.spec.name, shown.spec.scope) == (name, scope):
                if driver == to:
                    raise ConflictError(f"{name} is kept by {to} already")
                return driver
    raise NotFoundError(
        f"there is no collection named {name!r}", advice="`littoral memory list` shows them"
    )
