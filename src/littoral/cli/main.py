"""The `littoral` command: gathers the commands; prints and decides nothing.

A command that is named is loaded alone: all of them together take three times as long to load as
most take to do their work.
"""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Final

import typer

import littoral

__all__ = ["COMMANDS", "command_line", "main"]

COMMANDS: Final[Mapping[str, str]] = {
    "up": "up",
    "demo": "demo",
    "join": "join",
    "invite": "fabric",
    "pops": "fabric",
    "owners": "fabric",
    "route": "fabric",
    "run": "run",
    "models": "models",
    "origins": "origins",
    "place": "place",
    "pull": "pull",
    "pipeline": "pipeline",
    "memory": "memory",
    "keys": "keys",
    "receipts": "receipts",
    "cache": "cache",
    "verify": "verify",
    "simulate": "simulate",
    "store": "store",
    "config": "config",
    "doctor": "doctor",
}
"""Each command, and the module beside this one that registers it."""


def command_line(first: str = "") -> typer.Typer:
    """The whole command line; or of a command only what its module registers.

    Args:
        first: the first word that was given: the name of a command, or anything else.
    """
    app = typer.Typer(
        name="littoral",
        help="An open inference delivery network: run a PoP, ask its models, check its receipts.",
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    wanted = (COMMANDS[first],) if first in COMMANDS else dict.fromkeys(COMMANDS.values())
    for module in wanted:
        import_module(f"littoral.cli.{module}").register(app)
    return app


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"littoral {littoral.__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that come before the command."""


def main() -> None:
    """Entry point of the console script."""
    _open_standard_streams()
    command_line(*sys.argv[1:2])()


def _open_standard_streams() -> None:
    """Put nothing where a closed standard stream was: else a socket takes its place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, so this one
