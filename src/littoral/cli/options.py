"""Options of the command line, made from the rows of `node.settings`, so that they never differ."""

import inspect
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from littoral.cli import show
from littoral.node.config import Config, load_config
from littoral.node.settings import SETTINGS, Setting

__all__ = ["with_settings"]

R = TypeVar("R")


def with_settings(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command one option for each setting; it gets them together as `config`.

    The function takes `config: Config` by keyword, and its own options beside it.
    """
    own = inspect.signature(function)
    kept = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in own.parameters.items()
        if name != "config"
    ]
    rows = [_parameter(row) for row in SETTINGS]
    names = {row.name for row in SETTINGS}

    def command(**given: object) -> R:
        flags = {name: given.pop(name) for name in names}
        with show.command(as_json=given.get("as_json") is True):
            config: Config = load_config(flags)  # type: ignore[arg-type]  # typer has checked them
        return function(config=config, **given)

    command.__doc__ = function.__doc__
    command.__name__ = function.__name__
    signature = own.replace(parameters=[*kept, *rows])
    command.__signature__ = signature  # type: ignore[attr-defined]  # what typer reads
    command.__annotations__ = {
        parameter.name: parameter.annotation for parameter in signature.parameters.values()
    }
    return command


def _parameter(row: Setting) -> inspect.Parameter:
    kind = type(row.default)
    shown = "" if kind is bool or row.default == "" else f" [default: {row.default}]"
    option = typer.Option(
        row.flag,
        help=f"{row.help}{shown}",
        show_default=False,
        rich_help_panel="Settings",
    )
    return inspect.Parameter(
        row.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )
