"""Options of the command line, made from the rows of `node.settings`, so that they never differ."""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

import typer

from littoral.cli import show
from littoral.node.config import load_config
from littoral.node.setting import Setting, Value
from littoral.node.settings import CONFIG_FILE, SETTINGS

__all__ = ["with_settings"]

R = TypeVar("R")
Flags = Mapping[str, Value | None]


def with_settings(
    function: Callable[..., R], load: Callable[[Flags], object] = load_config
) -> Callable[..., R]:
    """Give a command one option for each setting, and `--config`; it gets them as `config`.

    The function takes `config` by keyword, and its own options beside it.

    Args:
        function: the command.
        load: what makes its `config` of the options that were given.
    """
    own = inspect.signature(function)
    kept = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in own.parameters.items()
        if name != "config"
    ]
    rows = (*SETTINGS, CONFIG_FILE)

    def command(**given: object) -> R:
        flags = {row.name: given.pop(row.name) for row in rows}
        with show.command(as_json=given.get("as_json") is True):
            config = load(flags)  # type: ignore[arg-type]  # typer has checked them
        return function(config=config, **given)

    command.__doc__ = function.__doc__
    command.__name__ = function.__name__
    signature = own.replace(parameters=[*kept, *map(_parameter, rows)])
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
