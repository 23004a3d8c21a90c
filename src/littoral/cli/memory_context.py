"""`littoral memory context`: have a model place the passages of a collection, in the background."""

from typing import Annotated

import typer

from littoral.cli.memory import NameArgument, at, in_words
from littoral.cli.operate import ask, tell, untell
from littoral.cli.show import HomeOption, JsonOption, command
from littoral.node.config import load_config
from littoral.terms.contextual import ContextShown, ContextWanted
from littoral.terms.errors import ConfigError

__all__ = ["register"]


def register(memory_app: typer.Typer) -> None:
    """Add the command to `littoral memory`."""
    memory_app.command("context")(context)


def context(
    name: NameArgument,
    *,
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="The chat model that writes; begins the work.")
    ] = "",
    stop: Annotated[
        bool, typer.Option("--stop", help="Go no further; what was written stays.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a model say where each passage stands in its document, so that it is found by that."""
    with command(as_json=as_json) as show:
        if model and stop:
            raise ConfigError("--model begins the work and --stop ends it", advice="say one")
        config, path = load_config({"home": home}), at(name, "context")
        if model:
            shown = tell(config, path, ContextWanted(model), ContextShown)
        elif stop:
            shown = untell(config, path, ContextShown)
        else:
            shown = ask(config, path, ContextShown)
        show.data(shown)
        show.line(in_words(shown))
