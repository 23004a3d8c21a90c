"""`littoral memory move`: a collection from one driver to another, while no PoP uses the home."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn

from littoral.cli.show import HomeOption, JsonOption, Show, command
from littoral.node.config import load_config
from littoral.node.home import Home
from littoral.node.memory.drivers import drivers_of
from littoral.node.memory.moving import Journal, Move, move
from littoral.terms.collections import Collections
from littoral.terms.errors import ConfigError, ConflictError, NotFoundError
from littoral.terms.limits import MOVING_PAGE_RECORDS

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
            with _progress(show, f"{name} to {to}") as told:
                moved = move(drivers, wanted, journal, told=told)
        show.data(moved)
        show.line(f"{name} is kept by {to} now: {moved.records} records, proven to be the same")


@contextmanager
def _progress(show: Show, what: str) -> Iterator[Callable[[int, int], None]]:
    """Records of the pass that is under way; the first copies, the others compare."""
    if not show.err.is_terminal:
        yield lambda done, every: _note(show, what, done, every)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=12))
    amount = TextColumn("{task.completed:.0f} of {task.total:.0f} records looked at")
    with Progress(*columns, amount, console=show.err, transient=True) as progress:
        task = progress.add_task(what, total=1)
        yield lambda done, every: progress.update(task, completed=done, total=max(1, every))


def _note(show: Show, what: str, done: int, every: int) -> None:
    """A line for each tenth."""
    before = done - MOVING_PAGE_RECORDS
    if done == every or done * 10 // every != before * 10 // every:
        show.note(f"{what}: {done} of {every} records looked at")


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
