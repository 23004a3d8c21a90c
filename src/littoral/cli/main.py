"""The `littoral` command: gathers the commands, one module each; prints and decides nothing."""

import os
from typing import Annotated

import typer

from littoral import __version__
from littoral.cli import (
    cache,
    config,
    demo,
    doctor,
    fabric,
    join,
    keys,
    memory,
    models,
    origins,
    pipeline,
    place,
    pull,
    receipts,
    run,
    simulate,
    store,
    up,
    verify,
)

__all__ = ["app", "main"]

app = typer.Typer(
    name="littoral",
    help="An open inference delivery network: run a PoP, ask its models, check its receipts.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"littoral {__version__}")
        raise typer.Exit


for module in (
    up,
    demo,
    join,
    fabric,
    run,
    models,
    origins,
    place,
    pull,
    pipeline,
    memory,
    keys,
    receipts,
    cache,
    verify,
    simulate,
    store,
    config,
    doctor,
):
    module.register(app)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that come before the command."""


def main() -> None:
    """Entry point of the console script."""
    _open_standard_streams()
    app()


def _open_standard_streams() -> None:
    """Put nothing where a closed standard stream was: else a socket takes its place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, so this one
